"""Made-up data sets, of random pixels."""

import numpy as np

from gan_jax.data.dataset import Dataset, Examples
from gan_jax.data.domain_sets import DomainDataset, Domains


def labelled(num_train, size, channels):
  """Ten classes: `num_train` images, 20 for validation and 30 for test."""
  rng = np.random.default_rng(0)

  def examples(num):
    image = rng.integers(0, 256, (num, size, size, channels), np.uint8)
    return Examples(image, (np.arange(num) % 10).astype(np.int32))

  parts = (examples(num_train), examples(20), examples(30))
  return Dataset('made-up', *parts, 10, (size, size))


def two_domains(config):
  """9 images of each domain, 2 for validation, 3 for test; `pairs` aligned."""
  rng = np.random.default_rng(0)

  def split(num, side):
    shape = (num, side, side, 3)
    return Domains(*(rng.integers(0, 256, shape, np.uint8) for _ in 'ab'))

  train = split(9, config.load_size)
  others = split(2, config.crop_size), split(3, config.crop_size)
  return DomainDataset('made-up', train, *others, config.name == 'pairs')
