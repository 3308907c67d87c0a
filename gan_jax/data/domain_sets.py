"""Data sets of two domains, by the names that config files use."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from gan_jax.data import folders, tfds_images
from gan_jax.data.batches import random_generator
from gan_jax.data.images import ImageFiles, Pictures, resize
from gan_jax.errors import InputError

# The splits are part of a data set's definition: no config changes this seed.
_SPLIT_SEED = 0

Images = np.ndarray | ImageFiles  # [N, H, W, C], uint8


class Domains(NamedTuple):
  """A split; in aligned data, each row of a belongs to the same row of b."""

  a: Images
  b: Images


class DomainDataset(NamedTuple):
  """Training images have `load_size`, all others `crop_size`."""

  name: str
  train: Domains
  validation: Domains
  test: Domains
  aligned: bool


_Source = Pictures | np.ndarray  # the latter [N, H, W, C]


def _count(source: _Source) -> int:
  return len(source.paths if isinstance(source, Pictures) else source)


def _take(source: _Source, rows: np.ndarray) -> _Source:
  if isinstance(source, Pictures):
    return source._replace(paths=tuple(source.paths[i] for i in rows))
  return source[rows]


def _make_dataset(
  config: ConfigDict,
  splits: Mapping[str, tuple[_Source, _Source]],
  open_images: Callable[[_Source, str, tuple[int, int]], Images],
  *,
  aligned: bool,
) -> DomainDataset:
  """A data set whose validation part is taken from its training split.

  Args:
    config: the group `data`.
    splits: 'train' and 'test', each with what a and b are read from.
    open_images: (source, domain, size) to images.
    aligned: whether rows belong together.
  """
  parts = {'train': {}, 'validation': {}, 'test': {}}
  small, large = ((n, n) for n in (config.crop_size, config.load_size))
  for domain, train, test in zip('ab', *splits.values(), strict=True):
    num, num_validation = _count(train), config.num_validation
    if num_validation >= num:
      raise InputError(
        f'config.data.num_validation = {num_validation} leaves nothing of the '
        f'{num} training images of domain {domain}'
      )
    order = random_generator(_SPLIT_SEED, 'validation').permutation(num)
    held, rest = (np.sort(part) for part in np.split(order, [num_validation]))
    parts['train'][domain] = open_images(_take(train, rest), domain, large)
    parts['validation'][domain] = open_images(_take(train, held), domain, small)
    parts['test'][domain] = open_images(test, domain, small)
  return DomainDataset(
    config.name, *(Domains(**part) for part in parts.values()), aligned
  )


def _load_files(
  config: ConfigDict,
  splits: Mapping[str, tuple[Pictures, Pictures]],
  channels: Mapping[str, int],
  *,
  aligned: bool,
) -> DomainDataset:
  """A data set of image files; all are read once, so that none is broken."""
  dataset = _make_dataset(
    config,
    splits,
    lambda pictures, domain, size: ImageFiles(pictures, size, channels[domain]),
    aligned=aligned,
  )
  num_bytes = sum(math.prod(images.shape) for images in dataset.train)
  if num_bytes <= config.memory_gb * 1e9:
    return dataset._replace(
      **{
        part: Domains(*(images.kept() for images in getattr(dataset, part)))
        for part in ('train', 'validation', 'test')
      }
    )
  for split in (dataset.train, dataset.validation, dataset.test):
    for images in split:
      images.check()
  return dataset


_RGB = {'a': 3, 'b': 3}


def load_pairs(config: ConfigDict) -> DomainDataset:
  """Aligned pairs of images; see `folders.find_pairs` for the layouts."""
  splits = folders.find_pairs(config.data_dir)
  return _load_files(config, splits, _RGB, aligned=True)


def load_domains(config: ConfigDict) -> DomainDataset:
  """Two sets of images; see `folders.find_domains` for the layout."""
  splits = folders.find_domains(config.data_dir)
  return _load_files(config, splits, _RGB, aligned=False)


def load_gray_to_colour(config: ConfigDict) -> DomainDataset:
  """Any folder of images as b, in gray as a: pairs for colourisation.

  See `folders.find_classes` for the layouts; classes do not count. Where there
  is no test split, a tenth of the images is.
  """
  splits = {
    split: pictures
    for split, (pictures, _) in folders.find_classes(config.data_dir).items()
  }
  if 'test' not in splits:
    num = _count(splits['train'])
    order = random_generator(_SPLIT_SEED, 'test').permutation(num)
    test, train = np.split(order, [max(1, num // 10)])
    splits = {
      part: _take(splits['train'], np.sort(rows))
      for part, rows in (('train', train), ('test', test))
    }
  both = {part: (pictures, pictures) for part, pictures in splits.items()}
  return _load_files(config, both, {'a': 1, 'b': 3}, aligned=True)


def load_cycle_gan(name: str, config: ConfigDict) -> DomainDataset:
  """The data sets of the CycleGAN paper, prepared by TensorFlow Datasets."""
  splits = {
    split: tuple(
      tfds_images.read_images(name, config.data_dir, f'{split}{side}')
      for side in 'AB'
    )
    for split in ('train', 'test')
  }

  def resized(images, _, size):
    return np.stack([resize(image, size) for image in images])

  return _make_dataset(config, splits, resized, aligned=False)


# name -> function(config group data) -> DomainDataset
DATASETS = {
  'pairs': load_pairs,
  'domains': load_domains,
  'gray_to_colour': load_gray_to_colour,
} | {
  name: functools.partial(load_cycle_gan, name)
  for name in tfds_images.CYCLE_GAN
}
