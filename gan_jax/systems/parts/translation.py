"""Networks of the image-to-image translation systems, and their config keys."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax.config import (
  Table,
  Variants,
  boolean,
  integer,
  key,
  one_of,
  optional,
  real,
)
from gan_jax.config.table import Key
from gan_jax.core.types import Array
from gan_jax.models.patchgan import PATCH_SIZES, PatchDiscriminator
from gan_jax.models.resnet import MULTIPLE, ResNetGenerator
from gan_jax.models.unet import UNetGenerator, count_levels
from gan_jax.systems.system import Network

GENERATORS = {'unet': UNetGenerator, 'resnet': ResNetGenerator}
_WIDTH = key(64, integer(1), 'channels of the first layer')

DIRECTION = key('a2b', one_of('a2b', 'b2a'), 'direction of the translation')
SYNC_BATCH_NORM = key(
  True, boolean, 'whether BatchNorm statistics are reduced over all devices'
)


def options(
  generator: str,
  normalization: str,
  *,
  downsampling: str = 'strided',
  upsampling: str = 'transposed',
  initializer: str = 'normal',
  kinds: Sequence[str] = tuple(GENERATORS),
) -> Table:
  """Returns the rows of `model`, with a system's own defaults.

  Args:
    generator: name of the default generator.
    normalization: default of both networks' normalisation.
    downsampling: default of both networks' downsampling.
    upsampling: default of the generator's upsampling.
    initializer: default of the kernels' initialiser.
    kinds: the names in GENERATORS that the system supports.
  """
  norm = key(
    normalization,
    one_of('instance', 'batch', 'none'),
    'normalisation of the layers',
  )
  down = key(
    downsampling,
    one_of('strided', 'blur'),
    'downsampling; blur: anti-aliased, as in CUT',
    since=4,
  )
  networks = _generators(norm._replace(since=4), down, upsampling)
  return {
    'model.initializer': key(
      initializer,
      one_of('normal', 'xavier', 'kaiming', 'orthogonal'),
      'initialiser of the kernels',
      since=4,
    ),
    'model.init_gain': key(
      0.02,
      real(0.0),
      'scale of the initial kernels; kaiming ignores it',
      since=4,
    ),
    'model.generator': Variants(
      generator,
      {kind: networks[kind] for kind in kinds},
      'the network',
      since=4,
    ),
    'model.discriminator.width': _WIDTH,
    'model.discriminator.patch_size': key(
      70,
      one_of(*PATCH_SIZES),
      "side of a logit's receptive field, in pixels: 1 for PixelGAN, 16 to 286 "
      'for one to five downsampling layers',
    ),
    'model.discriminator.normalization': norm,
    'model.discriminator.downsampling': down,
  }


def _generators(norm: Key, down: Key, upsampling: str) -> dict[str, Table]:
  """Returns the rows of each generator."""
  shared = {
    'width': _WIDTH,
    'normalization': norm,
    'downsampling': down,
    'upsampling': key(
      upsampling,
      one_of('transposed', 'resize', 'blur'),
      'upsampling; resize: nearest neighbours and a convolution; blur: '
      'anti-aliased, as in CUT; both avoid the checkerboard artifacts of '
      'transposed convolutions',
      since=4,
    ),
    'remat': key(
      False,
      boolean,
      'whether the activations of levels or blocks are recomputed in the '
      'backward pass (rematerialisation), which saves memory',
    ),
  }
  num_levels = key(
    None, optional(integer(1)), 'levels of the U-Net; None: down to one pixel'
  )
  num_blocks = key(9, integer(1), 'residual blocks')
  return {
    'unet': shared | {'num_levels': num_levels},
    'resnet': shared | {'num_blocks': num_blocks},
  }


def make_generator(
  config: ConfigDict,
  source: tuple[int, int, int],
  channels: int,
  axis_name: str | None,
  *,
  use_dropout: bool,
) -> Network:
  """Builds a generator from a source shape to a number of channels."""
  group = config.model.generator.to_dict()
  name = group.pop('name')
  if name == 'unet':
    # Fixed here, since images to translate may have other sizes.
    group['num_levels'] = count_levels(source[:2], group['num_levels'])
  group |= {'channels': channels, 'use_dropout': use_dropout}
  module = GENERATORS[name](**group, **_shared(config, axis_name))
  uses_batch = group['normalization'] == 'batch'
  return Network(module, (jnp.zeros((1, *source)),), uses_batch, config.dtype)


def make_discriminator(
  config: ConfigDict, example: Array, axis_name: str | None
) -> Network:
  """Builds a PatchGAN for images with the shape of `example` [1, H, W, C]."""
  group = config.model.discriminator
  module = PatchDiscriminator(**group, **_shared(config, axis_name))
  uses_batch = group.normalization == 'batch'
  return Network(module, (example,), uses_batch, config.dtype)


def _shared(config: ConfigDict, axis_name: str | None) -> dict[str, Any]:
  model = config.model
  return {
    'axis_name': axis_name if model.sync_batch_norm else None,
    'initializer': model.initializer,
    'init_gain': model.init_gain,
  }


def side_multiple(config: ConfigDict, generator: Network) -> int:
  """Returns the number that the sides of input images must be multiples of."""
  group = config.model.generator
  if group.name == 'unet':
    size = generator.example[0].shape[1:3]
    return 2 ** count_levels(size, group.num_levels)
  return MULTIPLE
