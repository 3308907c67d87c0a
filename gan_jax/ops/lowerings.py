"""How the three bilinear maps of `gan_jax.ops.convolution` are computed.

For each of conv, conv_transpose and kernel_gradient: lax's own form, for GPU
and TPU, and the form for the CPU, chosen by the shapes. docs/performance.md has
the measurements behind each choice, and the forms that lost.

Every function takes its two arrays and, by keyword, `strides` and `pads`; those
of kernel_gradient are the convolution's, those of conv_transpose pad the
dilated input.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.types import Array

Pads = tuple[tuple[int, int], tuple[int, int]]
_DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')
# With fewer channels to sum over, or to sum for, a matrix product is all
# memory traffic and the plain convolution wins.
_FEW_CHANNELS = 16
# From here on it makes up for gathering its operands, whatever the map's size.
_MANY_CHANNELS = 256


def lax_conv(x: Array, kernel: Array, *, strides, pads) -> Array:
  """A convolution as it is."""
  return lax.conv_general_dilated(
    x, kernel, strides, pads, dimension_numbers=_DIMENSIONS
  )


def lax_conv_transpose(x: Array, kernel: Array, *, strides, pads) -> Array:
  """A convolution of the dilated input."""
  return lax.conv_transpose(
    x, kernel, strides, pads, dimension_numbers=_DIMENSIONS
  )


def lax_kernel_gradient(
  x: Array, cotangent: Array, *, strides, pads, sizes
) -> Array:
  """What lax's differentiation of its convolution gives."""
  shape = (*sizes, x.shape[3], cotangent.shape[3])
  (gradient,) = jax.linear_transpose(
    lambda kernel: lax_conv(x, kernel, strides=strides, pads=pads),
    jax.ShapeDtypeStruct(shape, x.dtype),
  )(cotangent)
  return gradient


def cpu_conv(x: Array, kernel: Array, *, strides, pads) -> Array:
  """lax's form, or one matrix product with patches or before a sum."""
  height, width, channels, features = kernel.shape
  out = _output_size(x, (height, width), strides, pads)
  if features < _FEW_CHANNELS <= channels and max(strides) == 1:
    return _product_and_sum(x, kernel, strides=strides, pads=pads)
  if channels >= _MANY_CHANNELS or max(out) <= 2:
    patches = _patches(x, (height, width), strides, pads, out)
    y = _matmul(patches, kernel.reshape(-1, features))
    return y.reshape(-1, *out, features)
  return lax_conv(x, kernel, strides=strides, pads=pads)


def cpu_conv_transpose(x: Array, kernel: Array, *, strides, pads) -> Array:
  """No product with an inserted zero: by a matrix product, or by phases."""
  if x.shape[3] < _FEW_CHANNELS:
    return _by_phases(x, kernel, strides=strides, pads=pads)
  return _product_and_sum(x, kernel, strides=strides, pads=pads)


def cpu_kernel_gradient(
  x: Array, cotangent: Array, *, strides, pads, sizes
) -> Array:
  """lax's form, or one matrix product for each tap: seen times made pixels."""
  *made_shape, features = cotangent.shape
  many_pixels = math.prod(made_shape) >= 2048
  worthwhile = many_pixels or x.shape[3] >= _MANY_CHANNELS
  if features < _FEW_CHANNELS or not worthwhile:
    return lax_kernel_gradient(
      x, cotangent, strides=strides, pads=pads, sizes=sizes
    )
  x = _pad(x, pads)
  (row_step, column_step), (_, rows, columns) = strides, made_shape
  made = cotangent.reshape(-1, features)
  taps = []
  for i in range(sizes[0]):
    for j in range(sizes[1]):
      seen = x[
        :,
        i : i + row_step * (rows - 1) + 1 : row_step,
        j : j + column_step * (columns - 1) + 1 : column_step,
      ]
      taps.append(_matmul(seen.reshape(-1, x.shape[3]).T, made))
  return jnp.stack(taps).reshape(*sizes, x.shape[3], features)


def _matmul(a: Array, b: Array) -> Array:
  """A product of matrices that is at least float32 until it is summed."""
  wide = jnp.promote_types(a.dtype, jnp.float32)
  product = jnp.matmul(a, b, preferred_element_type=wide)
  return product.astype(a.dtype)


def _pad(x: Array, pads: Pads) -> Array:
  """Zeros around the image; negative numbers crop it."""
  zero = jnp.zeros((), x.dtype)
  return lax.pad(x, zero, ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)))


def _output_size(x: Array, sizes, strides, pads) -> tuple[int, int]:
  return tuple(
    (n + sum(pad) - size) // stride + 1
    for n, size, stride, pad in zip(
      x.shape[1:3], sizes, strides, pads, strict=True
    )
  )


def _patches(x: Array, sizes, strides, pads, out: tuple[int, int]) -> Array:
  """The windows that a convolution sees, [B * H' * W', h * w * C]."""
  x = _pad(x, pads)
  batch, height, width, channels = x.shape
  rows, columns = (
    stride * np.arange(n)[:, None] + np.arange(size)
    for n, stride, size in zip(out, strides, sizes, strict=True)
  )
  pixels = rows[:, None, :, None] * width + columns[None, :, None, :]
  x = x.reshape(batch, height * width, channels)
  # One gather: XLA's CPU backend is many times slower at concatenating slices.
  windows = x.at[:, pixels.reshape(-1)].get(mode='promise_in_bounds')
  return windows.reshape(batch * out[0] * out[1], -1)


def _phases(size: int, stride: int, low: int) -> list[list[tuple[int, int]]]:
  """For each phase of a transposed convolution's output: (tap, shift) pairs.

  Output pixel i is the sum over taps t of kernel[t] times dilated input pixel
  i + t - low, which is input pixel (i + t - low) / stride where that is whole.
  So for i = stride * m + phase only every stride-th tap takes part, and it
  meets input pixel m + shift: a stride-1 convolution for each phase.
  """
  return [
    [
      (tap, (phase + tap - low) // stride)
      for tap in range((low - phase) % stride, size, stride)
    ]
    for phase in range(stride)
  ]


def _transposed_size(x: Array, sizes, strides, pads) -> tuple[int, int]:
  return tuple(
    stride * (n - 1) + 2 + sum(pad) - size
    for n, size, stride, pad in zip(
      x.shape[1:3], sizes, strides, pads, strict=True
    )
  )


def _transposed(x: Array, kernel: Array, strides, pads, make_phase) -> Array:
  """Makes a transposed convolution's output from its phases.

  make_phase((rows, columns), (height, width)) returns one phase of that many
  pixels from the (tap, shift) pairs of its rows and of its columns.
  """
  sizes = kernel.shape[:2]
  out = _transposed_size(x, sizes, strides, pads)
  # Pixels per phase; where they are not equally many, one is cropped at last.
  length = tuple(-(-n // s) for n, s in zip(out, strides, strict=True))
  row_phases, column_phases = (
    _phases(size, stride, pad[0])
    for size, stride, pad in zip(sizes, strides, pads, strict=True)
  )
  y = jnp.stack(
    [
      jnp.stack([make_phase((r, c), length) for c in column_phases], axis=3)
      for r in row_phases
    ],
    axis=2,
  )  # [B, H'/s, s, W'/s, s, D]
  y = y.reshape(x.shape[0], strides[0] * length[0], strides[1] * length[1], -1)
  return y[:, : out[0], : out[1]]


def _by_phases(x: Array, kernel: Array, *, strides, pads) -> Array:
  """A stride-1 convolution for each phase of the output."""

  def make_phase(phases, length):
    if not all(phases):  # a stride larger than the kernel
      return jnp.zeros((x.shape[0], *length, kernel.shape[3]), x.dtype)
    pads, taps = [], []
    for phase, wanted, n in zip(phases, length, x.shape[1:3], strict=True):
      first, last = phase[0][1], phase[-1][1]
      pads.append((-first, wanted - 1 + last - (n - 1)))
      taps.append(np.array([tap for tap, _ in phase]))
    part = kernel[taps[0]][:, taps[1]]
    return lax_conv(x, part, strides=(1, 1), pads=pads)

  return _transposed(x, kernel, strides, pads, make_phase)


def _product_and_sum(x: Array, kernel: Array, *, strides, pads) -> Array:
  """Every tap of every pixel in one matrix product, then shifted sums."""
  height, width, channels, features = kernel.shape
  taps = kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
  products = _matmul(x.reshape(-1, channels), taps)
  products = products.reshape(*x.shape[:3], height, width, features)
  in_size = x.shape[1:3]

  def make_phase(phases, length):
    total = jnp.zeros((x.shape[0], *length, features), x.dtype)
    for row_tap, row_shift in phases[0]:
      for column_tap, column_shift in phases[1]:
        total += _pad(
          products[:, :, :, row_tap, column_tap],
          tuple(
            (-shift, wanted + shift - n)
            for shift, wanted, n in zip(
              (row_shift, column_shift), length, in_size, strict=True
            )
          ),
        )
    return total

  return _transposed(x, kernel, strides, pads, make_phase)
