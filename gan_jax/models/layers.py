"""The layers that the networks share, each the same on one device and many.

Every convolution goes through here, so that its lowering can be changed in one
place. Layers that look at the whole batch take the name of the mapped axis.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.errors import InputError
from gan_jax.ops import convolution
from gan_jax.rng import row_keys
from gan_jax.types import Array

_KERNEL_INIT = nn.initializers.lecun_normal()


class Conv(nn.Module):
  """Convolution [B, H, W, C] -> [B, H', W', features], with flax's parameters.

  Raises InputError if the output would have no pixel: a VALID layer on a map
  that is too small gives NaN further down, not an error.
  """

  features: int
  kernel_size: int
  stride: int = 1
  padding: str = 'SAME'
  kernel_init: nn.initializers.Initializer = _KERNEL_INIT

  @nn.compact
  def __call__(self, x: Array) -> Array:
    size = (self.kernel_size, self.kernel_size)
    kernel = self.param(
      'kernel', self.kernel_init, (*size, x.shape[-1], self.features)
    )
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    strides = (self.stride, self.stride)
    pads = lax.padtype_to_pads(x.shape[1:3], size, strides, self.padding)
    if any(
      length + sum(pad) < self.kernel_size
      for length, pad in zip(x.shape[1:3], pads, strict=True)
    ):
      raise InputError(
        f'{self.name or "convolution"}: a {self.padding} convolution with a '
        f'{self.kernel_size}x{self.kernel_size} kernel leaves no pixel of a '
        f'{x.shape[1]}x{x.shape[2]} map; use larger images or fewer strides'
      )
    x = lax.conv_general_dilated(
      x, kernel, strides, pads, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    return x + bias


class ConvTranspose(nn.Module):
  """Transposed SAME convolution to stride * (H, W), with flax's parameters."""

  features: int
  kernel_size: int
  stride: int
  kernel_init: nn.initializers.Initializer = _KERNEL_INIT

  @nn.compact
  def __call__(self, x: Array) -> Array:
    size = (self.kernel_size, self.kernel_size)
    kernel = self.param(
      'kernel', self.kernel_init, (*size, x.shape[-1], self.features)
    )
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    return convolution.conv_transpose(x, kernel, self.stride) + bias


class BatchNorm(nn.Module):
  """Batch normalisation over the global batch (synchronised over replicas)."""

  axis_name: str | None = None
  momentum: float = 0.99

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    return nn.BatchNorm(
      use_running_average=not train,
      momentum=self.momentum,
      axis_name=self.axis_name if train else None,
      name='norm',
    )(x)


class Dropout(nn.Module):
  """Dropout whose mask for a row depends on the row's place in the batch only.

  Takes its key from the 'dropout' stream; see `gan_jax.rng`.
  """

  rate: float
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    if not train or self.rate == 0.0:
      return x
    keys = row_keys(self.make_rng('dropout'), x.shape[0], self.axis_name)
    keep = jax.vmap(
      lambda key: jax.random.bernoulli(key, 1.0 - self.rate, x.shape[1:])
    )(keys)
    return jnp.where(keep, x / (1.0 - self.rate), 0.0)
