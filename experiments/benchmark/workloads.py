"""Workloads of the benchmark: each system at its config's sizes."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from gan_jax.config import load_config
from gan_jax.core.errors import choice
from gan_jax.runs.program import Program, made_up_program
from gan_jax.systems import override


class Workload(NamedTuple):
  """A config, with the shape of the images for timing."""

  config: str
  image_shape: tuple[int, int, int]
  torch_peer: str | None  # a module of experiments.benchmark
  changes: Mapping[str, Any] = {}  # of the config, by dotted key
  batch_sizes: tuple[int, ...] = (32, 64, 128, 256)  # for scaling


_ROOT = pathlib.Path(__file__).parents[2]  # configs are not installed

WORKLOADS = {
  'ssgan': Workload('configs/svhn_ssgan.py', (32, 32, 3), 'torch_ssgan'),
  'digits_ssgan': Workload('configs/digits_ssgan.py', (8, 8, 1), 'torch_ssgan'),
  'gan': Workload('configs/mnist_gan.py', (28, 28, 1), 'torch_gan'),
  'dcgan': Workload('configs/svhn_dcgan.py', (32, 32, 3), 'torch_gan'),
  'rpgan': Workload('configs/fashion_rpgan_dcgan.py', (32, 32, 1), 'torch_gan'),
  'sngan': Workload('configs/fashion_hinge.py', (32, 32, 1), 'torch_gan'),
  'r3gan': Workload(
    'configs/fashion_r3gan_resnet.py',
    (32, 32, 1),
    'torch_gan',
    # Replaces settings that the peer lacks, at no cost in time.
    changes={
      'loss.g_batch': 'shared',
      'loss.r1_schedule.name': 'constant',
      'loss.r2_schedule.name': 'constant',
      'optimizer.generator.ema.name': 'debiased',
      **{
        f'optimizer.{player}.{name}.name': 'constant'
        for player in ('generator', 'discriminator')
        for name in ('schedule', 'b2_schedule')
      },
    },
  ),
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
    # The paper's value for this image size.
    changes={'model.generator.num_blocks': 6},
    batch_sizes=(1, 2, 4, 8),
  ),
  'fastcut': Workload(
    'configs/facades_cut.py',
    (128, 128, 3),
    None,
    # Networks of CycleGAN's size.
    changes={
      'model.generator.width': 64,
      'model.discriminator.width': 64,
      'model.discriminator.patch_size': 70,
    },
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
  """Builds a workload's program, on one device.

  Args:
    name: a name in WORKLOADS.
    batch_size: replaces the config's batch size.
    image_size: replaces the workload's image size.
    width: multiplies the width of all networks.
  """
  if name not in WORKLOADS:
    raise choice('system', name, WORKLOADS)
  workload = WORKLOADS[name]
  config = load_config(str(_ROOT / workload.config))
  config, _ = override(config, {**workload.changes, 'parallel': 'jit'})
  if batch_size is not None:
    config.data.batch_size = batch_size
  for network in (config.model.generator, config.model.discriminator):
    for key in {'size_mult', 'width', 'widths', 'hidden'} & set(network):
      network[key] = jax.tree.map(lambda units: units * width, network[key])
  height, width, channels = workload.image_shape
  shape = (image_size or height, image_size or width, channels)
  return made_up_program(config, shape)
