"""Labelled images in memory, as systems without a second domain want them."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from ml_collections import ConfigDict

from gan_jax import config as cfg
from gan_jax.core.errors import choice
from gan_jax.data import digits, folders, published, tfds_images
from gan_jax.data.batches import Sampler
from gan_jax.data.dataset import Dataset, label_mask, prepare
from gan_jax.data.spec import DataSpec, Stream

_LOADERS = {'digits': digits.load} | published.LOADERS | tfds_images.LOADERS


def _from_loader(load):
  return lambda config: load(config.data_dir, config.num_validation)


# name -> function(config group data) -> Dataset
DATASETS = {name: _from_loader(load) for name, load in _LOADERS.items()}
DATASETS['image_folder'] = folders.load_image_folder


class LabelledData:
  """A data set of which some labels are kept.

  Args:
    config: the group `data`; see SCHEMA.
    dataset: instead of the one that `config.name` names.

  Raises:
    InputError: no such data set, or one that does not fit the config.
  """

  SCHEMA: ClassVar = {
    'num_labels': cfg.optional(cfg.integer(1)),  # None: all of them
    'label_seed': cfg.integer(0, 2**32 - 1),
    # Images are zero-padded to this; None: as they are.
    'image_size': cfg.optional(cfg.integer(1)),
  }
  SPEC = DataSpec

  def __init__(self, config: ConfigDict, dataset: Dataset | None = None):
    self.dataset = _load(config) if dataset is None else dataset
    train = self.dataset.train
    self.mask = label_mask(train.label, config, self.dataset.num_classes)
    self.num_train = len(train.label)
    self.spec = DataSpec(
      image_shape=tuple(train.image.shape[1:]),
      native_size=tuple(self.dataset.native_size),
      num_classes=self.dataset.num_classes,
      steps_per_epoch=max(1, self.num_train // config.batch_size),
    )

  def sampler(
    self,
    batch_spec: Mapping[str, Stream],
    seed: int,
    part: tuple[int, int] = (0, 1),
  ) -> Sampler:
    """Maps a step to the batch of that step, or to one of its parts."""
    return Sampler(self.dataset.train, self.mask, batch_spec, seed, part)

  def contents(self) -> dict[str, Any]:
    """All that results depend on, as pytrees: a run records their hashes."""
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
    return f'{self.dataset.name}, {shape}, {sizes}; {self.mask.sum()} labels'


def _load(config: ConfigDict) -> Dataset:
  if config.name not in DATASETS:
    raise choice('data set', config.name, DATASETS)
  return prepare(DATASETS[config.name](config), config.image_size)
