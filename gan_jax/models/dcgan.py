"""Generators of the DCGAN family (https://arxiv.org/abs/1511.06434)."""

import flax.linen as nn
import jax

from gan_jax.errors import InputError
from gan_jax.models.layers import BatchNorm, ConvTranspose
from gan_jax.types import Array


class DeconvGenerator(nn.Module):
  """z [B, z_dim] to images [B, H, W, C] in [-1, 1] by transposed convolutions.

  A dense layer to a `base_size` square map, then 5x5 stride-2 transposed
  convolutions that double the size and halve the width, down to `size_mult`
  channels and at last the image's. BatchNorm and leaky ReLU (0.2) after all
  but the last, tanh at the end. For 32x32 images from 4x4: 4 * size_mult, then
  2 * size_mult, size_mult, channels.

  Raises InputError for a size that is not base_size * 2^n.
  """

  image_shape: tuple[int, int, int]
  size_mult: int
  base_size: int = 4
  axis_name: str | None = None

  @nn.compact
  def __call__(self, z: Array, *, train: bool) -> Array:
    height, width, channels = self.image_shape
    num_layers = (height // self.base_size).bit_length() - 1
    if (
      height != width
      or num_layers < 1
      or height != self.base_size * 2**num_layers
    ):
      raise InputError(
        f'the generator makes square images of {self.base_size} * 2^n pixels, '
        f'n >= 1, not {height}x{width}; set data.image_size to pad the images'
        ' or change model.generator.base_size'
      )

    def activate(x: Array, name: str) -> Array:
      x = BatchNorm(self.axis_name, name=name)(x, train=train)
      return jax.nn.leaky_relu(x, 0.2)

    features = self.size_mult * 2 ** (num_layers - 1)
    x = nn.Dense(self.base_size**2 * features, name='dense')(z)
    x = x.reshape(-1, self.base_size, self.base_size, features)
    x = activate(x, 'norm0')
    for layer in range(1, num_layers):
      features //= 2
      x = ConvTranspose(features, (5, 5), (2, 2), name=f'deconv{layer}')(x)
      x = activate(x, f'norm{layer}')
    x = ConvTranspose(channels, (5, 5), (2, 2), name=f'deconv{num_layers}')(x)
    return jax.nn.tanh(x)
