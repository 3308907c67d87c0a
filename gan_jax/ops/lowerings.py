"""How the three bilinear maps of `gan_jax.ops.convolution` are computed.

For each of conv, conv_transpose and kernel_gradient: lax's own form, for GPU
and TPU, and the form for the CPU, chosen by the shapes. docs/performance.md has
the measurements behind each choice, and the forms that lost.

Every function takes its two arrays and a `Geometry`.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.ops import winograd
from gan_jax.ops.geometry import (
  Geometry,
  interleave,
  output_size,
  pad,
  phases,
  transposed_output_size,
)
from gan_jax.types import Array

_DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')
# With fewer channels to sum over, or to sum for, a matrix product is all
# memory traffic and the plain convolution wins.
_FEW_CHANNELS = 16
# From here on a product makes up for gathering its operands.
_MANY_CHANNELS = 256
_MANY_PIXELS = 2048


def lax_conv(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """A convolution as it is."""
  return lax.conv_general_dilated(
    x,
    kernel,
    geometry.strides,
    geometry.pads,
    dimension_numbers=_DIMENSIONS,
  )


def lax_conv_transpose(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """A convolution of the dilated input."""
  return lax.conv_transpose(
    x,
    kernel,
    geometry.strides,
    geometry.pads,
    dimension_numbers=_DIMENSIONS,
  )


def lax_kernel_gradient(
  x: Array, cotangent: Array, geometry: Geometry
) -> Array:
  """What lax's differentiation of its convolution gives."""
  shape = (*geometry.sizes, x.shape[3], cotangent.shape[3])
  (gradient,) = jax.linear_transpose(
    lambda kernel: lax_conv(x, kernel, geometry),
    jax.ShapeDtypeStruct(shape, x.dtype),
  )(cotangent)
  return gradient


def cpu_conv(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """Minimal filtering, lax's form, or one matrix product with its operands."""
  *_, channels, features = kernel.shape
  out = output_size(x.shape[1:3], geometry)
  if winograd.conv_pays(len(x), out, channels, features, geometry):
    return winograd.conv(x, kernel, geometry)
  if features < _FEW_CHANNELS <= channels and max(geometry.strides) == 1:
    return _product_and_sum(x, kernel, geometry)
  if channels >= _MANY_CHANNELS or max(out) <= 2:
    patches = _patches(x, geometry, out)
    y = _matmul(patches, kernel.reshape(-1, features))
    return y.reshape(-1, *out, features).astype(x.dtype)
  return lax_conv(x, kernel, geometry)


def cpu_conv_transpose(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """No product with an inserted zero: in one of three forms."""
  *_, channels, features = kernel.shape
  size = x.shape[1:3]
  if winograd.conv_transpose_pays(len(x), size, channels, features, geometry):
    return winograd.conv_transpose(x, kernel, geometry)
  if channels < _FEW_CHANNELS:
    return _by_phases(x, kernel, geometry)
  return _product_and_sum(x, kernel, geometry)


def cpu_kernel_gradient(
  x: Array, cotangent: Array, geometry: Geometry
) -> Array:
  """Minimal filtering, lax's form, or one matrix product for each tap.

  A tap's product is of the pixels that it sees and those that it helps to make.
  """
  *made_shape, features = cotangent.shape
  channels, out = x.shape[3], made_shape[1:]
  if winograd.conv_pays(len(x), out, channels, features, geometry):
    return winograd.kernel_gradient(x, cotangent, geometry)
  many_pixels = math.prod(made_shape) >= _MANY_PIXELS
  worthwhile = many_pixels or channels >= _MANY_CHANNELS
  if features < _FEW_CHANNELS or not worthwhile:
    return lax_kernel_gradient(x, cotangent, geometry)
  x = pad(x, geometry.pads)
  (row_step, column_step), (_, rows, columns) = geometry.strides, made_shape
  made = cotangent.reshape(-1, features)
  taps = []
  for i in range(geometry.sizes[0]):
    for j in range(geometry.sizes[1]):
      seen = x[
        :,
        i : i + row_step * (rows - 1) + 1 : row_step,
        j : j + column_step * (columns - 1) + 1 : column_step,
      ]
      taps.append(_matmul(seen.reshape(-1, x.shape[3]).T, made))
  kernel = jnp.stack(taps).reshape(*geometry.sizes, x.shape[3], features)
  return kernel.astype(x.dtype)


def _matmul(a: Array, b: Array) -> Array:
  """A product of matrices, in float32 at least."""
  wide = jnp.promote_types(a.dtype, jnp.float32)
  return jnp.matmul(a, b, preferred_element_type=wide)


def _patches(x: Array, geometry: Geometry, out: Sequence[int]) -> Array:
  """The windows that a convolution sees, [B * H' * W', h * w * C]."""
  x = pad(x, geometry.pads)
  batch, height, width, channels = x.shape
  rows, columns = (
    stride * np.arange(n)[:, None] + np.arange(size)
    for n, stride, size in zip(
      out, geometry.strides, geometry.sizes, strict=True
    )
  )
  pixels = rows[:, None, :, None] * width + columns[None, :, None, :]
  x = x.reshape(batch, height * width, channels)
  # One gather: XLA's CPU backend is many times slower at concatenating slices.
  windows = x.at[:, pixels.reshape(-1)].get(mode='promise_in_bounds')
  return windows.reshape(batch * out[0] * out[1], -1)


def _transposed(
  x: Array, geometry: Geometry, make_phase: Callable[..., Array]
) -> Array:
  """Makes a transposed convolution's output from its phases.

  make_phase((rows, columns), (height, width)) returns one phase of that many
  pixels from the (tap, shift) pairs of its rows and of its columns.
  """
  out = transposed_output_size(x.shape[1:3], geometry)
  # Pixels per phase; where they are not equally many, one is cropped at last.
  height, width = (
    -(-n // stride) for n, stride in zip(out, geometry.strides, strict=True)
  )
  row_phases, column_phases = (
    phases(size, stride, low)
    for stride, (low, _), size in zip(*geometry, strict=True)
  )
  y = interleave(
    [
      [make_phase((r, c), (height, width)) for c in column_phases]
      for r in row_phases
    ]
  )
  return y[:, : out[0], : out[1]].astype(x.dtype)


def _by_phases(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """A stride-1 convolution for each phase of the output."""

  def make_phase(pairs, length):
    if not all(pairs):  # a stride larger than the kernel
      return jnp.zeros((x.shape[0], *length, kernel.shape[3]), x.dtype)
    pads, taps = [], []
    for phase, wanted, n in zip(pairs, length, x.shape[1:3], strict=True):
      first, last = phase[0][1], phase[-1][1]
      pads.append((-first, wanted - 1 + last - (n - 1)))
      taps.append(np.array([tap for tap, _ in phase]))
    part = kernel[taps[0]][:, taps[1]]
    return lax_conv(x, part, Geometry((1, 1), tuple(pads), part.shape[:2]))

  return _transposed(x, geometry, make_phase)


def _product_and_sum(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """Every tap of every pixel in one matrix product, then shifted sums."""
  *sizes, channels, features = kernel.shape
  taps = kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
  products = _matmul(x.reshape(-1, channels), taps)
  products = products.reshape(*x.shape[:3], *sizes, features)

  def make_phase(pairs, length):
    total = jnp.zeros((x.shape[0], *length, features), products.dtype)
    for row_tap, row_shift in pairs[0]:
      for column_tap, column_shift in pairs[1]:
        pads = tuple(
          (-shift, wanted + shift - n)
          for shift, wanted, n in zip(
            (row_shift, column_shift), length, x.shape[1:3], strict=True
          )
        )
        total += pad(products[:, :, :, row_tap, column_tap], pads)
    return total

  return _transposed(x, geometry, make_phase)
