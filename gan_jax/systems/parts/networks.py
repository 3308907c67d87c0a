"""Networks of the system `gan`, by name, and their config keys."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax.config import (
  Variants,
  boolean,
  integer,
  integers,
  key,
  one_of,
  optional,
  real,
)
from gan_jax.core.errors import InputError
from gan_jax.data.spec import DataSpec
from gan_jax.models.conditional import ConcatenatedLabel
from gan_jax.models.dcgan import ConvDiscriminator, DeconvGenerator
from gan_jax.models.mlp import (
  BatchNormMLPGenerator,
  MaxoutDiscriminator,
  MLPDiscriminator,
  MLPGenerator,
)
from gan_jax.models.r3gan import R3GANDiscriminator, R3GANGenerator
from gan_jax.models.sngan import ResNetDiscriminator, ResNetImageGenerator
from gan_jax.systems.system import Network

_INIT_STDDEV = key(
  None,
  optional(real(0.0)),
  'standard deviation of the initial kernels; None: LeCun normal',
)
_HIDDEN = {'hidden': key(128, integer(1), 'units of the hidden layer')}
_BLOCKS = key(
  (2, 2, 2, 2), integers(1), 'residual blocks of each stage', since=3
)
_GROUP_WIDTH = key(
  16, integer(1), 'channels per group of the 3x3 convolutions', since=3
)
_STDDEV = key(
  0.02, real(0.0), 'standard deviation of the initial kernels', since=5
)
OPTIONS = {
  'model.packing': key(
    1,
    integer(1),
    'images that D sees as one, concatenated (PacGAN): with m, a batch has m '
    'times as many images',
    since=5,
  ),
  'model.conditioning': key(
    'none',
    one_of('none', 'concat_projection', 'batch_norm_projection'),
    'class conditioning: the embedding concatenated to z, or conditional '
    'BatchNorm, and in D by projection; none: unconditional',
    since=3,
  ),
  'model.embedding_dim': key(
    None,
    optional(integer(1)),
    "dimension of G's class embedding (concat_projection), and of D's in "
    'r3gan; None: z_dim',
    since=3,
  ),
  'model.sync_batch_norm': key(
    True, boolean, 'whether BatchNorm statistics are reduced over all devices'
  ),
  'model.generator': Variants(
    'mlp',
    {
      'mlp': _HIDDEN,
      'batch_norm_mlp': {
        'hidden': key(
          (400, 400, 400, 400),
          integers(1),
          'units of the hidden layers',
          since=5,
        ),
        'init_stddev': _STDDEV,
      },
      'deconv': {
        'size_mult': key(32, integer(1), 'channels of the last hidden layer'),
        'base_size': key(4, integer(1), 'side of the first layer, in pixels'),
        'init_stddev': _INIT_STDDEV,
      },
      'resnet': {
        'width': key(
          256,
          integer(1),
          'channels of the last block; 256 for 32x32 and 64 for 64x64 in the '
          'papers',
          since=3,
        ),
        'spectral': key(
          False, boolean, 'whether weights are spectrally normalised', since=3
        ),
      },
      'r3gan': {
        'widths': key(
          (128, 128, 64, 64),
          integers(1),
          'channels of each stage, from 4x4 pixels up',
          since=3,
        ),
        'blocks': _BLOCKS,
        'group_width': _GROUP_WIDTH,
      },
    },
    'the network',
  ),
  'model.discriminator': Variants(
    'mlp',
    {
      'mlp': _HIDDEN,
      'maxout': {
        'hidden': key(
          (200, 200, 200), integers(1), 'units of the hidden layers', since=5
        ),
        'pieces': key(5, integer(1), 'linear functions per unit', since=5),
        'init_stddev': _STDDEV,
      },
      'conv': {
        'width': key(32, integer(1), 'channels of the first layer'),
        'base_size': key(4, integer(1), 'side of the last layer, in pixels'),
        'normalization': key(
          'none',
          one_of('batch', 'spectral', 'none'),
          'normalisation of the layers',
        ),
        'init_stddev': _INIT_STDDEV,
      },
      'resnet': {
        'width': key(
          128,
          integer(1),
          'channels of the first block; 128 for 32x32 and 64 for 64x64 in the '
          'papers',
          since=3,
        ),
        'normalization': key(
          'spectral',
          one_of('spectral', 'none'),
          'normalisation of the layers',
          since=3,
        ),
      },
      'r3gan': {
        'widths': key(
          (64, 64, 128, 128),
          integers(1),
          'channels of each stage, down to 4x4 pixels',
          since=3,
        ),
        'blocks': _BLOCKS,
        'group_width': _GROUP_WIDTH,
      },
    },
    'the network',
  ),
}


class Kind(NamedTuple):
  """A network's module, whose fields have the names of its config keys.

  `num_classes` is a field of all discriminators, and of all generators with
  BatchNorm.
  """

  module: type[nn.Module]
  # Whether it can have BatchNorm. If so, it has a field `axis_name`, and the
  # key `normalization`, if it has one, decides.
  may_have_batch_norm: bool


GENERATORS = {
  'mlp': Kind(MLPGenerator, False),
  'batch_norm_mlp': Kind(BatchNormMLPGenerator, True),
  'deconv': Kind(DeconvGenerator, True),
  'resnet': Kind(ResNetImageGenerator, True),
  'r3gan': Kind(R3GANGenerator, False),
}
DISCRIMINATORS = {
  'mlp': Kind(MLPDiscriminator, False),
  'maxout': Kind(MaxoutDiscriminator, False),
  'conv': Kind(ConvDiscriminator, True),
  'resnet': Kind(ResNetDiscriminator, False),
  'r3gan': Kind(R3GANDiscriminator, False),
}


def _make(
  kinds: Mapping[str, Kind],
  group: ConfigDict,
  axis_name: str | None,
  *args: Any,
) -> tuple[nn.Module, bool]:
  """Builds a config group's module; also returns whether it has BatchNorm."""
  kind = kinds[group.name]
  settings = {key: value for key, value in group.items() if key != 'name'}
  if not kind.may_have_batch_norm:
    return kind.module(*args, **settings), False
  module = kind.module(*args, axis_name=axis_name, **settings)
  return module, settings.get('normalization', 'batch') == 'batch'


def make_networks(
  config: ConfigDict, spec: DataSpec, axis_name: str | None
) -> tuple[Network, Network]:
  """Builds G and D from a config's group `model`.

  With conditioning both take a label as their second input.

  Raises:
    InputError: the data lack the classes or labels that conditioning needs.
  """
  model, num_classes = config.model, 0
  if model.conditioning != 'none':
    num_classes = spec.num_classes
    _check_classes(config, spec)
  norm_axis = axis_name if model.sync_batch_norm else None
  g, g_batch = _make(GENERATORS, model.generator, norm_axis, spec.image_shape)
  d, d_batch = _make(DISCRIMINATORS, model.discriminator, norm_axis)
  label = ()
  if num_classes:
    label = (jnp.zeros(1, jnp.int32),)
    dim = model.embedding_dim or model.z_dim
    d = d.clone(num_classes=num_classes)
    if model.discriminator.name == 'r3gan':  # its number of outputs
      d = d.clone(embedding_dim=dim)
    if model.conditioning == 'concat_projection':
      g = ConcatenatedLabel(g, num_classes, dim)
    elif g_batch:
      g = g.clone(num_classes=num_classes)
    else:
      raise InputError(
        'config.model.conditioning = batch_norm_projection needs BatchNorm, '
        f'which the generator {model.generator.name} does not have; set it to '
        'concat_projection'
      )
  if num_classes and model.packing > 1:
    raise InputError(
      f'config.model.packing = {model.packing} would concatenate images of '
      'different classes; set packing to 1, or conditioning to none'
    )
  height, width, channels = spec.image_shape
  image = jnp.zeros((1, height, width, model.packing * channels))
  z = jnp.zeros((1, model.z_dim))
  return (
    Network(g, (z, *label), g_batch, config.dtype),
    Network(d, (image, *label), d_batch, config.dtype),
  )


def _check_classes(config: ConfigDict, spec: DataSpec) -> None:
  """Raises InputError if the data lack classes or labels to condition on."""
  option = f'config.model.conditioning = {config.model.conditioning}'
  if spec.num_classes < 2:
    raise InputError(
      f'{option} needs at least two classes, but the data have '
      f'{spec.num_classes}; set it to none'
    )
  if config.data.num_labels is not None:
    raise InputError(
      f'{option} needs the labels of all images, but config.data.num_labels is '
      f'{config.data.num_labels}; set it to None'
    )
