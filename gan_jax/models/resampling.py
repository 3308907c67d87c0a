"""Resampling by 2: anti-aliased, or fused with a 3x3 convolution."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.core.types import Array
from gan_jax.ops.convolution import conv, conv_transpose


def upsample(x: Array, *, edges: str = 'zero') -> Array:
  """Doubles both sides of images [B, H, W, C] by bilinear interpolation.

  Nearest-neighbour upsampling is followed by the filter [1, 2, 1] / 4. That
  gives 1/4 and 3/4 of the two nearest pixels, in both directions.

  Args:
    x: the images.
    edges: the padding, 'zero' (R3GAN) or 'replicate' (CUT).
  """
  for axis in (1, 2):
    before, after = _moved(x, axis, 1), _moved(x, axis, -1)
    if edges == 'replicate':
      padded, size = jnp.pad(x, _pads(axis, 1, 1), 'edge'), x.shape[axis]
      before = lax.slice_in_dim(padded, 0, size, axis=axis)
      after = lax.slice_in_dim(padded, 2, 2 + size, axis=axis)
    pair = [0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after]
    shape = list(x.shape)
    shape[axis] *= 2
    x = jnp.stack(pair, axis=axis + 1).reshape(shape)
  return x


def downsample(x: Array) -> Array:
  """Halves both sides, which must be even, of images [B, H, W, C].

  The filter [1, 2, 1] / 4, with zero padding, is followed by the mean of two
  pixels. That is [1, 3, 3, 1] / 8 in both directions.
  """
  for axis in (1, 2):
    # Indexing a reshaped array has a faster gradient than a strided slice.
    pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
    even, odd = (
      lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in range(2)
    )
    before, after = _moved(odd, axis, 1), _moved(even, axis, -1)
    x = (before + 3.0 * even + 3.0 * odd + after) / 8.0
  return x


def blur_pool(x: Array) -> Array:
  """Halves both sides of images [B, H, W, C], rounding up, with a blur.

  It applies the filter [1, 2, 1] / 4 at every other pixel, with reflection
  padding.

  References:
    Zhang 2019, https://arxiv.org/abs/1904.11486, as in CUT.
  """
  for axis in (1, 2):
    num, odd = -(-x.shape[axis] // 2), x.shape[axis] % 2
    x = jnp.pad(x, _pads(axis, 1, 1), 'reflect')
    x = jnp.pad(x, _pads(axis, 0, odd))  # nothing reads these zeros
    pairs = x.reshape(*x.shape[:axis], num + 1, 2, *x.shape[axis + 1 :])
    first, second = (
      lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in range(2)
    )
    before = lax.slice_in_dim(first, 0, num, axis=axis)
    here = lax.slice_in_dim(second, 0, num, axis=axis)
    after = lax.slice_in_dim(first, 1, num + 1, axis=axis)
    x = (before + 2.0 * here + after) / 4.0
  return x


def conv_of_doubled(x: Array, kernel: Array, *_: Any, **__: Any) -> Array:
  """Doubles images, then applies a 3x3 kernel: four products instead of nine.

  Upsampling is nearest-neighbour, padding zero. Taps that meet copies of the
  same pixel are summed into one. It replaces `conv_general_dilated` in a layer.
  """
  return conv_transpose(x, _widened(kernel), (2, 2), ((2, 2), (2, 2)))


def halved_conv(x: Array, kernel: Array, *_: Any, **__: Any) -> Array:
  """Applies a 3x3 kernel, then averages 2x2 pixels, with one 4x4 kernel."""
  return conv(x, _widened(kernel) / 4.0, (2, 2), ((1, 1), (1, 1)))


def _widened(kernel: Array) -> Array:
  """Convolves a kernel [3, 3, C, D] with 2x2 ones, giving [4, 4, C, D]."""
  pads = [((i, 1 - i), (j, 1 - j), (0, 0), (0, 0)) for i, j in np.ndindex(2, 2)]
  return sum(jnp.pad(kernel, pad) for pad in pads)


def _pads(axis: int, before: int, after: int) -> list[tuple[int, int]]:
  """Returns the padding of an axis of images, for `jnp.pad`."""
  return [(before, after) if i == axis else (0, 0) for i in range(4)]


def _moved(x: Array, axis: int, by: int) -> Array:
  """Shifts pixels along an axis, with zero padding."""
  pads = [(0, 0, 0)] * x.ndim
  pads[axis] = (by, -by, 0)
  return lax.pad(x, jnp.zeros((), x.dtype), pads)
