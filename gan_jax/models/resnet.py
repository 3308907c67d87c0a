"""The generator of CycleGAN (https://arxiv.org/abs/1703.10593)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.core.errors import InputError
from gan_jax.core.types import Array
from gan_jax.models.layers import Conv, ConvTranspose, InstanceNorm

_KERNEL_INIT = nn.initializers.normal(0.02)
MULTIPLE = 4  # of a side: the map is halved twice, and doubled again


class ResNetGenerator(nn.Module):
  """Images [B, H, W, C] to images [B, H, W, channels] in [-1, 1].

  c7s1-w, d2w, d4w, R4w x num_blocks, u2w, uw, c7s1-channels in the notation of
  the paper's appendix 7.2, w = width: two stride-2 convolutions, residual
  blocks, two transposed convolutions, all 3x3 but the 7x7 first and last.
  Reflection padding around stride-1 convolutions; instance norm and ReLU; tanh
  at the end.

  Attributes:
    channels: of the output.
    width: channels of the first convolution.
    num_blocks: residual blocks, in the paper 9 for 256x256 images and 6 for
      128x128.
    remat: whether a residual block's inside is computed anew for gradients,
      instead of kept: less memory, and about a third more work.

  Raises InputError for a size that is not a multiple of 4, or less than 8.
  """

  channels: int
  width: int
  num_blocks: int
  remat: bool = False

  @nn.compact
  def __call__(self, image: Array, *, train: bool) -> Array:
    del train  # it does the same at test
    height, width = image.shape[1:3]
    if height % MULTIPLE or width % MULTIPLE or min(height, width) < 8:
      raise InputError(
        'the ResNet generator takes images whose sides are multiples of '
        f'{MULTIPLE}, 8 at least, not {height}x{width}; change '
        'config.data.crop_size'
      )

    def reflected(x: Array, features: int, size: int, name: str) -> Array:
      pad = size // 2
      pads = [(0, 0), (pad, pad), (pad, pad), (0, 0)]
      return Conv(
        features,
        kernel_size=(size, size),
        padding='VALID',
        kernel_init=_KERNEL_INIT,
        name=name,
      )(jnp.pad(x, pads, mode='reflect'))

    def activate(x: Array) -> Array:
      return jax.nn.relu(InstanceNorm()(x))

    x = activate(reflected(image, self.width, 7, 'first'))
    for i in (1, 2):
      x = Conv(
        2**i * self.width,
        kernel_size=(3, 3),
        strides=(2, 2),
        padding=((1, 1), (1, 1)),
        kernel_init=_KERNEL_INIT,
        name=f'down{i}',
      )(x)
      x = activate(x)

    def block(_, x: Array, i: int) -> Array:
      y = activate(reflected(x, 4 * self.width, 3, f'block{i}_conv1'))
      y = reflected(y, 4 * self.width, 3, f'block{i}_conv2')
      return x + InstanceNorm()(y)

    if self.remat:
      block = nn.remat(block, static_argnums=2)
    for i in range(1, self.num_blocks + 1):
      x = block(self, x, i)
    for i in (1, 2):
      x = ConvTranspose(
        2 ** (2 - i) * self.width,
        kernel_size=(3, 3),
        strides=(2, 2),
        padding=((1, 2), (1, 2)),
        kernel_init=_KERNEL_INIT,
        name=f'up{i}',
      )(x)
      x = activate(x)
    return jax.nn.tanh(reflected(x, self.channels, 7, 'last'))
