"""Data sets of two domains, by the names that config files use."""

import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from gan_jax.core import memory
from gan_jax.core.errors import InputError
from gan_jax.data import folders, tfds_images
from gan_jax.data.batches import random_generator
from gan_jax.data.image_files import Source, StoredImages

# The splits are part of a data set's definition: no config changes this seed.
_SPLIT_SEED = 0

Images = np.ndarray | StoredImages  # [N, H, W, C], uint8


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


def _make_dataset(
  config: ConfigDict,
  splits: Mapping[str, tuple[Source, Source]],
  channels: Mapping[str, int],
  *,
  aligned: bool,
) -> DomainDataset:
  """A data set whose validation part is taken from its training split.

  All images are read once, so that none is broken, and kept if they fit.

  Args:
    config: the group `data`.
    splits: 'train' and 'test', each with what a and b are read from.
    channels: of the images of a and of b.
    aligned: whether rows belong together.
  """
  memory.check(
    f'a batch of {config.batch_size} images of each domain',
    config.batch_size * config.load_size**2 * sum(channels.values()),
    memory.host_bytes(),
    f'config.data.load_size = {config.load_size} must be smaller',
  )
  parts = {'train': {}, 'validation': {}, 'test': {}}
  small, large = ((n, n) for n in (config.crop_size, config.load_size))
  for domain, train, test in zip('ab', *splits.values(), strict=True):
    num, num_validation = len(train), config.num_validation
    if num_validation >= num:
      raise InputError(
        f'config.data.num_validation = {num_validation} leaves nothing of the '
        f'{num} training images of domain {domain}'
      )
    order = random_generator(_SPLIT_SEED, 'validation').permutation(num)
    held, rest = (np.sort(part) for part in np.split(order, [num_validation]))
    for part, source, size in (
      ('train', train.take(rest), large),
      ('validation', train.take(held), small),
      ('test', test, small),
    ):
      parts[part][domain] = StoredImages(source, size, channels[domain])
  images = [x for part in parts.values() for x in part.values()]
  num_bytes = sum(math.prod(x.shape) for x in images)
  if num_bytes <= config.memory_gb * 1e9:
    for part in parts.values():
      part.update({domain: x.kept() for domain, x in part.items()})
  else:
    for x in images:
      x.check()
  return DomainDataset(
    config.name, *(Domains(**part) for part in parts.values()), aligned
  )


_RGB = {'a': 3, 'b': 3}


def load_pairs(config: ConfigDict) -> DomainDataset:
  """Aligned pairs of images; see `folders.find_pairs` for the layouts."""
  splits = folders.find_pairs(config.data_dir)
  return _make_dataset(config, splits, _RGB, aligned=True)


def load_domains(config: ConfigDict) -> DomainDataset:
  """Two sets of images; see `folders.find_domains` for the layout."""
  splits = folders.find_domains(config.data_dir)
  return _make_dataset(config, splits, _RGB, aligned=False)


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
    num = len(splits['train'])
    order = random_generator(_SPLIT_SEED, 'test').permutation(num)
    test, train = np.split(order, [max(1, num // 10)])
    splits = {
      part: splits['train'].take(np.sort(rows))
      for part, rows in (('train', train), ('test', test))
    }
  both = {part: (pictures, pictures) for part, pictures in splits.items()}
  return _make_dataset(config, both, {'a': 1, 'b': 3}, aligned=True)


def load_cycle_gan(name: str, config: ConfigDict) -> DomainDataset:
  """The data sets of the CycleGAN paper, prepared by TensorFlow Datasets."""
  splits = {
    split: tuple(
      tfds_images.open_images(name, config.data_dir, f'{split}{side}')
      for side in 'AB'
    )
    for split in ('train', 'test')
  }
  return _make_dataset(config, splits, _RGB, aligned=False)


# name -> function(config group data) -> DomainDataset
DATASETS = {
  'pairs': load_pairs,
  'domains': load_domains,
  'gray_to_colour': load_gray_to_colour,
} | {
  name: functools.partial(load_cycle_gan, name)
  for name in tfds_images.CYCLE_GAN
}
