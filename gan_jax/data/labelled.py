"""Labelled images in memory, for systems with one domain."""

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from ml_collections import ConfigDict

from gan_jax.config import (
  boolean,
  integer,
  integers,
  key,
  optional,
  string,
)
from gan_jax.core.errors import InputError, choice
from gan_jax.data import digits, folders, published, tfds_images
from gan_jax.data.batches import Sampler
from gan_jax.data.dataset import Dataset, label_mask, prepare, select
from gan_jax.data.image_files import ON_BAD_FILE
from gan_jax.data.spec import DataSpec, Stream
from gan_jax.data.synthetic import points
from gan_jax.data.synthetic.random_images import made_up_like
from gan_jax.data.synthetic.stacked import stack

_LOADERS = {
  'digits': digits.load,
  **published.LOADERS,
  **tfds_images.LOADERS,
  **{name: functools.partial(points.load, name) for name in points.MIXTURES},
}


def _from_loader(load):
  return lambda config: load(config.data_dir, config.num_validation)


# name -> function(config group data) -> Dataset
DATASETS = {name: _from_loader(load) for name, load in _LOADERS.items()}
DATASETS['image_folder'] = folders.load_image_folder
# Stacks of three images of the data set with this name without the prefix.
_STACKED = 'stacked_'
DATASETS |= {
  _STACKED + name: DATASETS[name] for name in ('digits', 'idx', 'mnist')
}


class LabelledData:
  """Data set of labelled images, as a config describes it.

  Args:
    config: the group `data`; see OPTIONS.
    dataset: replaces the one that `config.name` names.
    epoch_rows: training images per step; None: the batch size.

  Raises:
    InputError: no such data set, or one that does not fit the config.
  """

  OPTIONS: ClassVar = {
    'data.name': key('digits', string, f'one of: {", ".join(DATASETS)}'),
    'data.classes': key(
      None,
      optional(integers(0)),
      'labels of the classes to keep, renumbered in this order; None: all',
      since=3,
    ),
    'data.num_train': key(
      None,
      optional(integer(1)),
      'number of training images to keep, class-balanced; None: all',
      since=3,
    ),
    'data.flip': key(
      False,
      boolean,
      'whether to mirror training images with probability 1/2',
      since=3,
    ),
    'data.num_labels': key(
      None,
      optional(integer(1)),
      'number of training labels to keep, class-balanced; None: all',
    ),
    'data.label_seed': key(
      0, integer(0, 2**32 - 1), 'seed of the subset of labels to keep'
    ),
    'data.image_size': key(
      None,
      optional(integer(1)),
      'side to which images are zero-padded, or those of image_folder resized; '
      'None: unchanged',
    ),
    'data.num_test': key(
      None,
      optional(integer(0)),
      'test images to hold out from an image_folder without a test part; None: '
      'a tenth',
      since=4,
    ),
    'data.on_bad_file': ON_BAD_FILE,
  }
  SMOKE: ClassVar = {
    'data.batch_size': 10,
    'data.classes': None,
    'data.num_train': None,
    'data.num_labels': 20,
    'data.num_validation': 20,
  }
  SPEC = DataSpec

  def __init__(
    self,
    config: ConfigDict,
    dataset: Dataset | None = None,
    *,
    epoch_rows: int | None = None,
  ):
    self.dataset = _load(config) if dataset is None else dataset
    self._flip = config.flip
    train = self.dataset.train
    if self.dataset.num_stacked and config.num_labels is not None:
      raise InputError(
        f'config.data.num_labels = {config.num_labels}, but each pass over '
        f'{self.dataset.name} has new images with new labels; set it to None'
      )
    self.mask = label_mask(train.label, config, self.dataset.num_classes)
    self.num_train = len(train.label)
    self.spec = DataSpec(
      image_shape=tuple(train.image.shape[1:]),
      native_size=tuple(self.dataset.native_size),
      num_classes=self.dataset.num_classes,
      steps_per_epoch=max(
        1, self.num_train // (epoch_rows or config.batch_size)
      ),
      class_counts=tuple(
        np.bincount(train.label, minlength=self.dataset.num_classes).tolist()
      ),
    )

  def sampler(
    self,
    batch_spec: Mapping[str, Stream],
    seed: int,
    part: tuple[int, int] = (0, 1),
  ) -> Sampler:
    """Maps a step to the batch of that step, or to one of its parts."""
    train = self.dataset.train
    return Sampler(
      train,
      self.mask,
      batch_spec,
      seed,
      part,
      flip=self._flip,
      num_stacked=self.dataset.num_stacked,
    )

  def contents(self) -> dict[str, Any]:
    """Returns everything that results depend on, for a run to hash."""
    parts = ('train', 'validation', 'test')
    return {
      **{part: getattr(self.dataset, part)._asdict() for part in parts},
      'labels_kept': np.flatnonzero(self.mask),
    }

  def __str__(self) -> str:
    shape = 'x'.join(map(str, self.spec.image_shape))
    sizes = ', '.join(
      f'{len(getattr(self.dataset, part).label)} {part}'
      for part in ('train', 'validation', 'test')
    )
    skipped = self.dataset.num_skipped
    sizes += f', {skipped} skipped' if skipped else ''
    labels = '' if self.mask.all() else f'; {self.mask.sum()} labels'
    return f'{self.dataset.name}, {shape}, {sizes}{labels}'


def _load(config: ConfigDict) -> Dataset:
  if config.name not in DATASETS:
    raise choice('data set', config.name, DATASETS)
  if config.num_test and config.name != 'image_folder':
    raise InputError(
      f'config.data.num_test = {config.num_test}, but {config.name} has a test '
      'part of its own; set it to 0'
    )
  made_up = config.made_up and config.name not in points.MIXTURES
  load = made_up_like if made_up else DATASETS[config.name]
  dataset = select(load(config), config.classes, config.num_train)
  if config.name.startswith(_STACKED):
    dataset = stack(dataset)
  return prepare(dataset, config.image_size)
