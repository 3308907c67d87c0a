"""What is timed: the systems at their configs' sizes, on made-up images."""

import pathlib
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax.config import load_config
from gan_jax.data.dataset import Dataset, Examples
from gan_jax.errors import choice
from gan_jax.training.program import Program, build


class Workload(NamedTuple):
  """A config, and the shape of the images that it is timed on."""

  config: str
  image_shape: tuple[int, int, int]
  torch_peer: str  # a module of gan_jax.benchmark


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
    width: multiplies the width of both networks.
  """
  if name not in WORKLOADS:
    raise choice('system', name, WORKLOADS)
  workload = WORKLOADS[name]
  config = load_config(str(_ROOT / workload.config))
  config.parallel = 'jit'
  config.data.num_labels = 100  # labels change no speed
  if batch_size is not None:
    config.data.batch_size = batch_size
  for network in (config.model.generator, config.model.discriminator):
    for key in {'size_mult', 'width', 'hidden'} & set(network):
      network[key] = jax.tree.map(lambda units: units * width, network[key])
  height, width, channels = workload.image_shape
  size = (image_size or height, image_size or width)
  return build(config, _random_images((*size, channels), config))


def _random_images(shape: tuple[int, int, int], config: ConfigDict) -> Dataset:
  rng = np.random.default_rng(0)

  def examples(num):
    image = rng.integers(0, 256, (num, *shape), np.uint8)
    return Examples(image, (np.arange(num) % 10).astype(np.int32))

  train = examples(10 * max(100, config.data.batch_size))
  return Dataset('random', train, examples(10), examples(10), 10, shape[:2])
