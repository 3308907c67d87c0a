"""Networks of R3GAN (https://arxiv.org/abs/2501.05441, section 3.2).

They have residual blocks without normalisation, whose last layer starts at 0,
and resample with an interpolating filter between the stages. Where the paper's
text and the authors' code differ, they follow the code: G ends without tanh,
and the first and last layers are 1x1.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.core.errors import InputError
from gan_jax.core.types import Array
from gan_jax.models.conditional import class_weights
from gan_jax.models.resampling import downsample, upsample
from gan_jax.ops.grouped import grouped_conv

_BASE = 4  # pixels along a side of the smallest map
_GAIN = math.sqrt(2.0 / (1.0 + 0.2**2))  # for leaky ReLU with slope 0.2


def _fan_in(gain: float) -> nn.initializers.Initializer:
  """Returns the initialiser N(0, gain^2 / fan_in); zeros for a gain of 0."""
  if not gain:
    return nn.initializers.zeros
  return nn.initializers.variance_scaling(gain**2, 'fan_in', 'normal')


def _linear(features: int, name: str, gain: float = 1.0) -> nn.Dense:
  """Returns a linear map of the channels, i.e. a 1x1 convolution."""
  return nn.Dense(
    features, use_bias=False, kernel_init=_fan_in(gain), name=name
  )


class ResidualBlock(nn.Module):
  """Residual block, inverted bottleneck: 1x1 to 2C, grouped 3x3, 1x1 to C.

  A bias and leaky ReLU (0.2) follow the first two convolutions.

  Attributes:
    num_blocks: L, the blocks of the whole network. The first two convolutions
      start from N(0, g^2 / fan_in) with g^2 = 2 / (1 + 0.2^2) / sqrt(L), the
      last from 0.
    group_width: channels per group.
    expansion: the factor of the bottleneck's width.
  """

  num_blocks: int
  group_width: int = 16
  expansion: int = 2

  @nn.compact
  def __call__(self, x: Array) -> Array:
    channels = x.shape[-1]
    wide = self.expansion * channels
    if wide % self.group_width:
      raise InputError(
        f'{wide} channels of a residual block are not a multiple of '
        f'group_width = {self.group_width}; change widths or group_width of '
        'config.model.generator and discriminator'
      )
    gain = _GAIN * self.num_blocks ** (-1 / 4)

    def activate(x: Array, name: str) -> Array:
      bias = self.param(name, nn.initializers.zeros, (wide,))
      return jax.nn.leaky_relu(x + bias.astype(x.dtype), 0.2)

    y = activate(_linear(wide, 'expand', gain)(x), 'bias1')
    kernel = self.param('kernel', _fan_in(gain), (3, 3, self.group_width, wide))
    y = grouped_conv(y, kernel.astype(y.dtype), wide // self.group_width)
    y = activate(y, 'bias2')
    return x + _linear(channels, 'project', 0.0)(y)


class R3GANGenerator(nn.Module):
  """R3GAN generator: z [B, z_dim] to images [B, H, W, C], of any range.

  A learned 4x4 map is multiplied by a linear map of z. Stages of residual
  blocks follow, with upsampling between them, then a linear map of the
  channels.

  Attributes:
    image_shape: H, W, C, with H = W = 4 * 2^(stages - 1).
    widths: channels of each stage, from the 4x4 map to the image.
    blocks: residual blocks of each stage.
    group_width: channels per group.

  Raises InputError for widths and blocks that do not fit the size.
  """

  image_shape: tuple[int, int, int]
  widths: tuple[int, ...]
  blocks: tuple[int, ...]
  group_width: int = 16

  @nn.compact
  def __call__(self, z: Array, *, train: bool) -> Array:
    del train  # training and evaluation are the same
    _check(self.image_shape[:2], self.widths, self.blocks, 'generator')
    width = self.widths[0]
    shape = (_BASE, _BASE, width)
    basis = self.param('basis', nn.initializers.normal(1.0), shape)
    x = basis.astype(z.dtype) * _linear(width, 'latent')(z)[:, None, None]
    for stage, (width, blocks) in enumerate(
      zip(self.widths, self.blocks, strict=True)
    ):
      if stage:
        if width != x.shape[-1]:
          x = _linear(width, f'transition{stage}')(x)
        x = upsample(x)
      for i in range(blocks):
        x = ResidualBlock(
          sum(self.blocks), self.group_width, name=f'stage{stage}_block{i}'
        )(x)
    return _linear(self.image_shape[-1], 'image')(x)


class R3GANDiscriminator(nn.Module):
  """R3GAN discriminator, the mirror image of the generator.

  Attributes:
    widths: channels of each stage, from the image to the 4x4 map.
    blocks: residual blocks of each stage.
    group_width: channels per group.
    num_classes: K, if conditional: the logit is the product of the last layer's
      outputs and the class embedding; 0: the last layer has one output.
    embedding_dim: the length of an embedding.

  Raises InputError for widths and blocks that do not fit the size.
  """

  widths: tuple[int, ...]
  blocks: tuple[int, ...]
  group_width: int = 16
  num_classes: int = 0
  embedding_dim: int = 0

  @nn.compact
  def __call__(
    self, image: Array, label: Array | None = None, *, train: bool
  ) -> Array:
    del train
    _check(image.shape[1:3], self.widths, self.blocks, 'discriminator')
    x = _linear(self.widths[0], 'image')(image)
    for stage, (width, blocks) in enumerate(
      zip(self.widths, self.blocks, strict=True)
    ):
      if stage:
        x = downsample(x)
        if width != x.shape[-1]:
          x = _linear(width, f'transition{stage}')(x)
      for i in range(blocks):
        x = ResidualBlock(
          sum(self.blocks), self.group_width, name=f'stage{stage}_block{i}'
        )(x)
    # This is a depthwise 4x4 convolution of a 4x4 map.
    init = nn.initializers.normal(1.0 / _BASE)
    basis = self.param('basis', init, (_BASE, _BASE, x.shape[-1]))
    x = jnp.einsum('bhwc,hwc->bc', x, basis.astype(x.dtype))
    if not self.num_classes:
      return _linear(1, 'logit')(x)[:, 0]
    x = _linear(self.embedding_dim, 'logit')(x)
    weights = class_weights(label, self.num_classes).astype(x.dtype)
    gain = 1.0 / math.sqrt(self.embedding_dim)
    embedding = _linear(self.embedding_dim, 'embedding', gain)(weights)
    return jnp.sum(embedding * x, axis=-1)


def _check(size, widths, blocks, network: str) -> None:
  height, width = size
  side = _BASE * 2 ** (len(widths) - 1)
  if len(widths) != len(blocks):
    raise InputError(
      f'config.model.{network} has {len(widths)} widths and {len(blocks)} '
      'blocks; set one of each per stage'
    )
  if not height == width == side:
    raise InputError(
      f"the {network}'s {len(widths)} stages are for images of {side}x{side} "
      f'pixels, not {height}x{width}; change config.model.{network}.widths and '
      '.blocks, or config.data.image_size'
    )
