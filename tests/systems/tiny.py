"""Stand-ins for the translation networks: two dense layers on pixels.

Systems compile fast with them. That is enough to test how a system uses its
networks, and how its translations are used.
"""

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.layers import BatchNorm, Dropout
from gan_jax.systems.parts import translation


class _Network(nn.Module):
  """Fields that all of them share."""

  width: int
  normalization: str
  downsampling: str
  initializer: str
  init_gain: float
  axis_name: str | None


class Generator(_Network):
  channels: int
  upsampling: str
  use_dropout: bool
  remat: bool
  num_blocks: int | None = None
  num_levels: int | None = None


class _ResNetGenerator(Generator):
  @nn.compact
  def __call__(self, image, *, train):
    x = jnp.abs(nn.Dense(self.width)(image))
    return jnp.tanh(nn.Dense(self.channels)(x))


class _UNetGenerator(Generator):
  @nn.compact
  def __call__(self, image, *, train, dropout=None, rows=None):
    x = BatchNorm()(nn.Dense(self.width)(image), train=train)
    dropout = train if dropout is None else dropout
    x = Dropout(0.5)(x, train=dropout, rows=rows)
    return jnp.tanh(nn.Dense(self.channels)(x))


class _PatchDiscriminator(_Network):
  patch_size: int

  @nn.compact
  def __call__(self, image, *, train):
    x = nn.Dense(self.width)(image)
    if self.normalization == 'batch':
      x = BatchNorm()(x, train=train)
    return nn.Dense(1)(jnp.abs(x))[..., 0]


def put_in_place(patch):
  """Patches them in, for systems built before the patch is undone."""
  patch.setitem(translation.GENERATORS, 'resnet', _ResNetGenerator)
  patch.setitem(translation.GENERATORS, 'unet', _UNetGenerator)
  patch.setattr(translation, 'PatchDiscriminator', _PatchDiscriminator)
