"""How the three bilinear maps of `gan_jax.ops.convolution` are computed.

For each of conv, conv_transpose and kernel_gradient: lax's own form, for GPU
and TPU, and forms for the CPU, of which the shapes choose one.
docs/performance.md has the measurements behind each choice, and the forms that
lost. Every form takes its two arrays and a `Geometry`.
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

Form = Callable[[Array, Array, Geometry], Array]

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
  """A convolution in the form for its shapes."""
  return conv_form(x.shape, kernel.shape, geometry)(x, kernel, geometry)


def cpu_conv_transpose(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """A transposed convolution in the form for its shapes."""
  form = conv_transpose_form(x.shape, kernel.shape, geometry)
  return form(x, kernel, geometry)


def cpu_kernel_gradient(
  x: Array, cotangent: Array, geometry: Geometry
) -> Array:
  """A kernel's gradient in the form for its shapes."""
  form = kernel_gradient_form(x.shape, cotangent.shape, geometry)
  return form(x, cotangent, geometry)


def conv_form(x: Sequence[int], kernel: Sequence[int], geometry) -> Form:
  """The form for arrays of these shapes."""
  batch, *size, channels = x
  features = kernel[3]
  out = output_size(size, geometry)
  if winograd.conv_pays(batch, out, channels, features, geometry):
    return winograd.conv
  if features < _FEW_CHANNELS <= channels and max(geometry.strides) == 1:
    return product_and_sum
  if min(out) > 0 and (channels >= _MANY_CHANNELS or max(out) <= 2):
    return patches
  return lax_conv


def conv_transpose_form(
  x: Sequence[int], kernel: Sequence[int], geometry
) -> Form:
  """The form for arrays of these shapes; none dilates the input."""
  batch, *size, channels = x
  if winograd.conv_transpose_pays(batch, size, channels, kernel[3], geometry):
    return winograd.conv_transpose
  return by_phases if channels < _FEW_CHANNELS else product_and_sum


def kernel_gradient_form(
  x: Sequence[int], cotangent: Sequence[int], geometry
) -> Form:
  """The form for arrays of these shapes."""
  batch, *out, features = cotangent
  channels = x[3]
  if winograd.conv_pays(batch, out, channels, features, geometry):
    return winograd.kernel_gradient
  many = batch * math.prod(out) >= _MANY_PIXELS or channels >= _MANY_CHANNELS
  return taps if many and features >= _FEW_CHANNELS else lax_kernel_gradient


def patches(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """A convolution as one matrix product of all windows with the kernel."""
  out = output_size(x.shape[1:3], geometry)
  padded = pad(x, geometry.pads)
  batch, height, width, channels = padded.shape
  rows, columns = (
    stride * np.arange(n)[:, None] + np.arange(size)
    for n, stride, size in zip(
      out, geometry.strides, geometry.sizes, strict=True
    )
  )
  pixels = rows[:, None, :, None] * width + columns[None, :, None, :]
  padded = padded.reshape(batch, height * width, channels)
  # One gather: XLA's CPU backend is many times slower at concatenating slices.
  windows = padded.at[:, pixels.reshape(-1)].get(mode='promise_in_bounds')
  windows = windows.reshape(batch * math.prod(out), -1)
  y = _matmul(windows, kernel.reshape(windows.shape[1], -1))
  return y.reshape(batch, *out, -1).astype(x.dtype)


def taps(x: Array, cotangent: Array, geometry: Geometry) -> Array:
  """A kernel's gradient as one matrix product for each tap.

  It is of the pixels that the tap sees and those that it helps to make.
  """
  padded = pad(x, geometry.pads)
  (row_step, column_step) = geometry.strides
  _, rows, columns, features = cotangent.shape
  made = cotangent.reshape(-1, features)
  gradients = []
  for i in range(geometry.sizes[0]):
    for j in range(geometry.sizes[1]):
      seen = padded[
        :,
        i : i + row_step * (rows - 1) + 1 : row_step,
        j : j + column_step * (columns - 1) + 1 : column_step,
      ]
      gradients.append(_matmul(seen.reshape(-1, x.shape[3]).T, made))
  kernel = jnp.stack(gradients)
  return kernel.reshape(*geometry.sizes, -1, features).astype(x.dtype)


def by_phases(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """A transposed convolution, a stride-1 convolution for each phase."""

  def make_phase(pairs, length):
    if not all(pairs):  # a stride larger than the kernel
      return jnp.zeros((x.shape[0], *length, kernel.shape[3]), x.dtype)
    pads, chosen = [], []
    for phase, wanted, n in zip(pairs, length, x.shape[1:3], strict=True):
      first, last = phase[0][1], phase[-1][1]
      pads.append((-first, wanted - 1 + last - (n - 1)))
      chosen.append(np.array([tap for tap, _ in phase]))
    part = kernel[chosen[0]][:, chosen[1]]
    return lax_conv(x, part, Geometry((1, 1), tuple(pads), part.shape[:2]))

  return _transposed(x, geometry, make_phase)


def product_and_sum(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """A transposed convolution, every tap of every pixel in one matrix product.

  Shifted sums follow. At stride 1 it is a convolution too, of the same padding.
  """
  *sizes, channels, features = kernel.shape
  weights = kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
  products = _matmul(x.reshape(-1, channels), weights)
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


def _matmul(a: Array, b: Array) -> Array:
  """A product of matrices, in float32 at least."""
  wide = jnp.promote_types(a.dtype, jnp.float32)
  return jnp.matmul(a, b, preferred_element_type=wide)


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
