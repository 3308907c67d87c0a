"""A program on random images: to be timed or compiled, not to learn."""

import numpy as np
from ml_collections import ConfigDict

from gan_jax.data.dataset import Dataset, Examples
from gan_jax.data.domain_sets import DomainDataset, Domains
from gan_jax.data.domains import DomainData
from gan_jax.runs.program import Program, build
from gan_jax.systems import SYSTEMS


def made_up_program(config: ConfigDict, shape: tuple[int, int, int]) -> Program:
  """A config bound to random images [H, W, C], padded to its image_size."""
  if SYSTEMS[config.system].DATA is DomainData:
    config.data.load_size = config.data.crop_size = shape[0]
    return build(config, _random_domains(shape, config))
  config.data.num_labels = 100  # labels change no speed
  side = config.data.image_size or shape[0]
  return build(config, _random_images((side, side, shape[2]), config))


def _random_images(shape: tuple[int, int, int], config: ConfigDict) -> Dataset:
  rng = np.random.default_rng(0)

  def examples(num):
    image = rng.integers(0, 256, (num, *shape), np.uint8)
    return Examples(image, (np.arange(num) % 10).astype(np.int32))

  train = examples(10 * max(100, config.data.batch_size))
  return Dataset('random', train, examples(10), examples(10), 10, shape[:2])


def _random_domains(
  shape: tuple[int, int, int], config: ConfigDict
) -> DomainDataset:
  rng = np.random.default_rng(0)

  def domains(num):
    a, b = rng.integers(0, 256, (2, num, *shape), np.uint8)
    return Domains(a, b)

  train = domains(10 * config.data.batch_size)
  return DomainDataset('random', train, domains(1), domains(1), aligned=True)
