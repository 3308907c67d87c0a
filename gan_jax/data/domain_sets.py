"""Data sets of two domains, by their names in configs."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from gan_jax.core import memory
from gan_jax.core.errors import InputError, enumeration
from gan_jax.data import folders, tfds_images
from gan_jax.data.batches import random_generator
from gan_jax.data.image_files import (
  Scan,
  Source,
  StoredImages,
  note_skipped,
  refuse_bad,
  scan,
)
from gan_jax.data.preprocess import Preprocess, make_preprocess

# The splits are part of a data set's definition: no config changes this seed.
_SPLIT_SEED = 0

Images = np.ndarray | StoredImages  # [N, H, W, C], uint8


class Domains(NamedTuple):
  """Images of a split by domain; in aligned data, a and b are paired by row."""

  a: Images
  b: Images


class DomainDataset(NamedTuple):
  """Data set of two domains.

  Training images have the size before the random crop, others that of a step.
  """

  name: str
  train: Domains
  validation: Domains
  test: Domains  # may be empty
  aligned: bool
  num_skipped: int = 0  # files that could not be read


class _Part(NamedTuple):
  """Source of a part's images, and their sizes."""

  source: Source
  sizes: list[tuple[int, int]]

  def take(self, rows: Sequence[int]) -> '_Part':
    return _Part(self.source.take(rows), [self.sizes[i] for i in rows])


def _make_dataset(
  config: ConfigDict,
  splits: Mapping[str, tuple[Source, Source]],
  channels: Mapping[str, int],
  *,
  aligned: bool,
) -> DomainDataset:
  """Builds a data set with a validation part from its training split.

  All images are read once, to find broken ones, and kept in memory if they fit.

  Args:
    config: the group `data`.
    splits: the sources of a and b by split: 'train' and, if there is one,
      'test'.
    channels: the number of channels by domain.
    aligned: whether the rows of a and b are paired.
  """
  preprocess = make_preprocess(config)
  usable, num_skipped = _usable(config, splits, channels, aligned)
  parts = {'train': {}, 'validation': {}, 'test': {}}
  num_bytes, row_bytes = 0, 0
  for domain in 'ab':
    test = usable['test'][domain] if 'test' in usable else None
    found = _put_aside(config, domain, usable['train'][domain], test)
    _check_sizes(preprocess, domain, found)
    for part, images in found.items():
      training = part == 'train'
      parts[part][domain] = _stored(
        images, preprocess, channels[domain], training
      )
      sizes = [
        channels[domain] * math.prod(preprocess.kept(size, training))
        for size in images.sizes
      ]
      num_bytes, row_bytes = num_bytes + sum(sizes), max(row_bytes, *sizes, 0)
  memory.check(
    f'a batch of {config.batch_size} images of each domain',
    config.batch_size * 2 * row_bytes,
    memory.host_bytes(),
    f'reduce config.data.load_size = {config.load_size}',
  )
  if num_bytes <= config.memory_gb * 1e9:
    for part in parts.values():
      part.update({domain: x.kept() for domain, x in part.items()})
  return DomainDataset(
    config.name,
    *(Domains(**part) for part in parts.values()),
    aligned,
    num_skipped,
  )


def _usable(
  config: ConfigDict,
  splits: Mapping[str, tuple[Source, Source]],
  channels: Mapping[str, int],
  aligned: bool,
) -> tuple[dict[str, dict[str, _Part]], int]:
  """Returns readable images by split and domain, and the number skipped.

  Raises:
    InputError: some cannot be read and are not to be skipped; it names them.
  """
  scans = {
    (split, domain): scan(source, channels[domain])
    for split, sources in splits.items()
    for domain, source in zip('ab', sources, strict=True)
  }
  if aligned:
    for split, sources in splits.items():
      _compare_partners(sources, *(scans[split, domain] for domain in 'ab'))
  bad = [reason for each in scans.values() for reason in each.bad.values()]
  if bad and config.on_bad_file == 'stop':
    refuse_bad(bad, sum(len(each.sizes) for each in scans.values()))
  note_skipped(bad)
  usable, num_skipped = {}, 0
  for split, sources in splits.items():
    found = [scans[split, domain] for domain in 'ab']
    without = [set(each.bad) for each in found]
    if aligned:  # a partner is skipped too
      without = [without[0] | without[1]] * 2
    num_skipped += len(without[0]) + (0 if aligned else len(without[1]))
    usable[split] = {}
    for domain, source, each, gone in zip(
      'ab', sources, found, without, strict=True
    ):
      rows = [i for i in range(len(each.sizes)) if i not in gone]
      if not rows:
        raise InputError(
          f'no {split} image of domain {domain} can be read, e.g. {bad[0]}'
        )
      whole = _Part(source, each.sizes)
      usable[split][domain] = whole.take(rows) if gone else whole
  return usable, num_skipped


def _compare_partners(sources: tuple[Source, Source], a: Scan, b: Scan) -> None:
  """Marks pairs whose images differ in size as bad."""
  for i, sizes in enumerate(zip(a.sizes, b.sizes, strict=True)):
    if None not in sizes and sizes[0] != sizes[1]:
      (name, other), (size, other_size) = (
        [source.name(i) for source in sources],
        ['x'.join(map(str, size)) for size in sizes],
      )
      a.bad[i] = (
        f'{name} is {size} and its partner {other} {other_size} pixels; '
        'partners must have the same size: replace or remove them'
      )


def _put_aside(
  config: ConfigDict,
  domain: str,
  images: _Part,
  test: _Part | None,
) -> dict[str, _Part]:
  """Splits a domain's images into parts, always the same for given numbers."""
  if test is None:
    num = len(images.sizes)
    num_test = max(1, num // 10) if config.num_test is None else config.num_test
    images, test = _take_out(images, num_test, 'test', domain)
  elif config.num_test:
    raise InputError(
      f'config.data.num_test = {config.num_test}, but '
      f'{config.data_dir or config.name} has a test part of its own; set it to '
      '0'
    )
  train, validation = _take_out(
    images, config.num_validation, 'validation', domain
  )
  return {'train': train, 'validation': validation, 'test': test}


def _take_out(
  images: _Part, num: int, name: str, domain: str
) -> tuple[_Part, _Part]:
  """Splits off some random images; returns (rest, taken), in order."""
  total = len(images.sizes)
  if num >= total:
    raise InputError(
      f'config.data.num_{name} = {num} leaves none of the {total} training '
      f'images of domain {domain}'
    )
  order = random_generator(_SPLIT_SEED, name).permutation(total)
  held, rest = (np.sort(part) for part in np.split(order, [num]))
  return images.take(rest), images.take(held)


def _check_sizes(
  preprocess: Preprocess, domain: str, found: Mapping[str, _Part]
) -> None:
  """Raises InputError for images that are too small or differ in size."""
  resized = {
    preprocess.resized(size) for part in found.values() for size in part.sizes
  }
  names = [f'{height}x{width}' for height, width in sorted(resized)]
  mode = f'config.data.preprocess = {preprocess.mode}'
  if preprocess.crops:
    small = [
      f'{height}x{width}'
      for height, width in sorted(resized)
      if height < preprocess.crop[0] or width < preprocess.crop[1]
    ]
    if small:
      raise InputError(
        f'images of domain {domain} are {enumeration(small)} pixels with '
        f'{mode}, less than config.data.crop_size = '
        f'{"x".join(map(str, preprocess.crop))}; reduce that, or choose '
        'resize_and_crop'
      )
  elif len(names) > 1:
    raise InputError(
      f'images of domain {domain} are {enumeration(names)} pixels with {mode}, '
      'but a step needs images of one size; choose resize_and_crop, or crop'
    )


def _stored(
  images: _Part, preprocess: Preprocess, channels: int, training: bool
) -> StoredImages:
  """Returns a part's images, preprocessed for training or for evaluation."""
  sizes = {preprocess.kept(size, training) for size in images.sizes}
  size = next(iter(sizes)) if len(sizes) == 1 else None
  prepare = functools.partial(preprocess.apply, training=training)
  return StoredImages(images.source, size, channels, prepare)


_RGB = {'a': 3, 'b': 3}


def load_pairs(config: ConfigDict) -> DomainDataset:
  """Loads aligned pairs of images; see `folders.find_pairs` for the layouts."""
  splits = folders.find_pairs(config.data_dir)
  return _make_dataset(config, splits, _RGB, aligned=True)


def load_domains(config: ConfigDict) -> DomainDataset:
  """Loads two sets of images; see `folders.find_domains` for the layout."""
  splits = folders.find_domains(config.data_dir)
  return _make_dataset(config, splits, _RGB, aligned=False)


def load_gray_to_colour(config: ConfigDict) -> DomainDataset:
  """Loads a folder of images as pairs for colourisation: a is b in gray.

  See `folders.find_classes` for the layouts; classes are ignored.
  """
  both = {
    split: (pictures, pictures)
    for split, (pictures, _) in folders.find_classes(config.data_dir).items()
  }
  return _make_dataset(config, both, {'a': 1, 'b': 3}, aligned=True)


def load_cycle_gan(name: str, config: ConfigDict) -> DomainDataset:
  """Loads a data set of the CycleGAN paper, prepared by TensorFlow Datasets."""
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
