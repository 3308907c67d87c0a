"""What is timed: the systems at their configs' sizes, on made-up images."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax.config import load_config
from gan_jax.core.errors import choice
from gan_jax.data.dataset import Dataset, Examples
from gan_jax.data.domain_sets import DomainDataset, Domains
from gan_jax.data.domains import DomainData
from gan_jax.runs.program import Program, build
from gan_jax.systems import SYSTEMS


class Workload(NamedTuple):
  """A config, and the shape of the images that it is timed on."""

  config: str
  image_shape: tuple[int, int, int]
  torch_peer: str  # a module of gan_jax.benchmark
  changes: Mapping[str, Any] = {}  # of the config, by dotted key
  batch_sizes: tuple[int, ...] = (32, 64, 128, 256)  # to see how steps grow


_ROOT = pathlib.Path(__file__).parents[2]  # configs are not installed

WORKLOADS = {
  'ssgan': Workload('configs/svhn_ssgan.py', (32, 32, 3), 'torch_ssgan'),
  'digits_ssgan': Workload('configs/digits_ssgan.py', (8, 8, 1), 'torch_ssgan'),
  'gan': Workload('configs/mnist_gan.py', (28, 28, 1), 'torch_gan'),
  'dcgan': Workload('configs/svhn_dcgan.py', (32, 32, 3), 'torch_gan'),
  'r3gan': Workload('configs/fashion_r3gan.py', (32, 32, 1), 'torch_gan'),
  'improved_gan': Workload(
    'configs/mnist_ssgan.py', (28, 28, 1), 'torch_improved_gan'
  ),
  'pix2pix': Workload(
    'configs/facades_pix2pix.py',
    (128, 128, 3),
    'torch_pix2pix',
    batch_sizes=(1, 2, 4, 8),
  ),
  'cyclegan': Workload(
    'configs/horse2zebra_cyclegan.py',
    (128, 128, 3),
    'torch_cyclegan',
    # The paper's number for images of this size.
    changes={'model.generator.num_blocks': 6},
    batch_sizes=(1, 2, 4, 8),
  ),
}


def make_program(
  name: str,
  *,
  batch_size: int | None = None,
  image_size: int | None = None,
  width: int = 1,
) -> Program:
  """The system to time, on one device.

  Args:
    name: of WORKLOADS.
    batch_size: instead of the config's.
    image_size: instead of the workload's.
    width: multiplies the width of all networks.
  """
  if name not in WORKLOADS:
    raise choice('system', name, WORKLOADS)
  workload = WORKLOADS[name]
  config = load_config(str(_ROOT / workload.config))
  config.update_from_flattened_dict(workload.changes)
  config.parallel = 'jit'
  if batch_size is not None:
    config.data.batch_size = batch_size
  for network in (config.model.generator, config.model.discriminator):
    for key in {'size_mult', 'width', 'hidden'} & set(network):
      network[key] = jax.tree.map(lambda units: units * width, network[key])
  height, width, channels = workload.image_shape
  shape = (image_size or height, image_size or width, channels)
  return made_up_program(config, shape)


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
