"""Lowerings of the three bilinear maps of `gan_jax.ops.convolution`.

Each of conv, conv_transpose and kernel_gradient has lax's form, for GPU and
TPU, and several forms for the CPU, chosen by shape. docs/performance.md has the
measurements behind each choice, and the forms that were discarded. Every form
takes its two arrays and a `Geometry`.
"""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.core.types import Array
from gan_jax.ops import filters, winograd
from gan_jax.ops.calls import as_call
from gan_jax.ops.geometry import (
  Geometry,
  interleave,
  output_size,
  pad,
  phases,
  transposed_output_size,
)

Form = Callable[[Array, Array, Geometry], Array]

_DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')
# With fewer input or output channels, a matrix product is bound by memory
# traffic, and the plain convolution is faster.
_FEW_CHANNELS = 16
# From here on a matrix product makes up for gathering its operands.
_MANY_CHANNELS = 256
_MANY_PIXELS = 2048
# From here on a convolution keeps all cores busy by itself, so that running its
# operations one after the other, in a call, costs nothing.
_MANY_PRODUCTS = 10**8
# Up to here reading the kernel takes longer than multiplying with it.
_FEW_PIXELS = 64


def lax_conv(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """Computes a convolution with lax."""
  return lax.conv_general_dilated(
    x,
    kernel,
    geometry.strides,
    geometry.pads,
    dimension_numbers=_DIMENSIONS,
  )


def lax_conv_transpose(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """Computes a transposed convolution with lax, over the dilated input."""
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
  """Computes a kernel gradient with lax, as its own differentiation does.

  It is written out because `jax.linear_transpose` would take the kernel for a
  replicated one, whose gradients `jax.shard_map` sums.
  """
  out = cotangent.shape[1:3]
  if min(out) == 0:  # XLA has no such window
    return jnp.zeros((*geometry.sizes, x.shape[3], cotangent.shape[3]), x.dtype)
  pads = [
    (low, size + stride * (m - 1) - n - low)
    for size, stride, (low, _), n, m in zip(
      geometry.sizes,
      geometry.strides,
      geometry.pads,
      x.shape[1:3],
      out,
      strict=True,
    )
  ]
  # The transposes are explicit: XLA's CPU backend inserts them only at the top
  # level of a program, and in a loop or a call the convolution would be many
  # times slower without.
  kernel = lax.conv_general_dilated(
    x.transpose(3, 1, 2, 0),
    cotangent.transpose(1, 2, 0, 3),
    (1, 1),
    pads,
    rhs_dilation=geometry.strides,
    dimension_numbers=_DIMENSIONS,
  )
  return kernel.transpose(1, 2, 0, 3)


def adjoint_kernel(kernel: Array) -> Array:
  """Rotates a kernel by 180 degrees and swaps its channel axes."""
  return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def _of_kernel(form: Form) -> Callable[..., Array]:
  """Wraps a form as a function of (x, kernel, geometry, adjoint)."""

  def apply(x, kernel, geometry, adjoint):
    return form(x, adjoint_kernel(kernel) if adjoint else kernel, geometry)

  return apply


def _to_kernel(form: Form) -> Callable[..., Array]:
  """Wraps a kernel gradient's form as (x, cotangent, geometry, adjoint)."""

  def apply(x, cotangent, geometry, adjoint):
    kernel = form(x, cotangent, geometry)
    return adjoint_kernel(kernel) if adjoint else kernel

  return apply


default_conv = _of_kernel(lax_conv)
default_conv_transpose = _of_kernel(lax_conv_transpose)
default_kernel_gradient = _to_kernel(lax_kernel_gradient)


def cpu_conv(
  x: Array, kernel: Array, geometry: Geometry, adjoint: bool
) -> Array:
  """Computes a convolution in the form for its shapes."""
  shape = _shape(kernel, adjoint)
  num_pixels = len(x) * math.prod(output_size(x.shape[1:3], geometry))
  form = _of_kernel(conv_form(x.shape, shape, geometry))
  if _few_pixels(num_pixels, shape):
    form = tap_conv
  return _run(form, x, kernel, geometry, adjoint, num_pixels, shape)


def cpu_conv_transpose(
  x: Array, kernel: Array, geometry: Geometry, adjoint: bool
) -> Array:
  """Computes a transposed convolution in the form for its shapes."""
  shape = _shape(kernel, adjoint)
  num_pixels = math.prod(x.shape[:3])
  form = _of_kernel(conv_transpose_form(x.shape, shape, geometry))
  if _few_pixels(num_pixels, shape):
    form = tap_conv_transpose
  return _run(form, x, kernel, geometry, adjoint, num_pixels, shape)


def cpu_kernel_gradient(
  x: Array, cotangent: Array, geometry: Geometry, adjoint: bool
) -> Array:
  """Computes a kernel gradient in the form for its shapes."""
  shape = (*geometry.sizes, x.shape[3], cotangent.shape[3])
  num_pixels = math.prod(cotangent.shape[:3])
  form = _to_kernel(kernel_gradient_form(x.shape, cotangent.shape, geometry))
  if _few_pixels(num_pixels, shape):
    form = tap_kernel_gradient
  return _run(form, x, cotangent, geometry, adjoint, num_pixels, shape)


def _run(form, a, b, geometry, adjoint, num_pixels, kernel) -> Array:
  """Applies a form, inside a call if it has much work.

  Args:
    form: a function of (a, b, geometry, adjoint).
    a, b, geometry, adjoint: its arguments.
    num_pixels: the number of pixels that are multiplied with the kernel.
    kernel: the kernel's shape.
  """

  def apply(a, b):
    return form(a, b, geometry, adjoint)

  if num_pixels * math.prod(kernel) >= _MANY_PRODUCTS:
    apply = as_call(apply)
  return apply(a, b)


def _shape(kernel: Array, adjoint: bool) -> tuple[int, ...]:
  *sizes, channels, features = kernel.shape
  return (*sizes, features, channels) if adjoint else kernel.shape


def _few_pixels(num_pixels: int, kernel: Sequence[int]) -> bool:
  """Returns whether reading the kernel takes longer than its products."""
  *_, channels, features = kernel
  return (
    0 < num_pixels <= _FEW_PIXELS and min(channels, features) >= _FEW_CHANNELS
  )


def conv_form(x: Sequence[int], kernel: Sequence[int], geometry) -> Form:
  """Chooses a convolution's form by its arrays' shapes."""
  batch, *size, channels = x
  features = kernel[3]
  out = output_size(size, geometry)
  if filters.conv_pays(batch, out, channels, features, geometry):
    return winograd.conv
  if features < _FEW_CHANNELS <= channels and max(geometry.strides) == 1:
    return product_and_sum
  if min(out) > 0 and (channels >= _MANY_CHANNELS or max(out) <= 2):
    return patches
  return lax_conv


def conv_transpose_form(
  x: Sequence[int], kernel: Sequence[int], geometry
) -> Form:
  """Chooses a transposed convolution's form; none dilates the input."""
  batch, *size, channels = x
  if filters.conv_transpose_pays(batch, size, channels, kernel[3], geometry):
    return winograd.conv_transpose
  many = _large(batch * math.prod(size), channels, kernel[3], geometry)
  return by_phases if many or channels < _FEW_CHANNELS else product_and_sum


def kernel_gradient_form(
  x: Sequence[int], cotangent: Sequence[int], geometry
) -> Form:
  """Chooses a kernel gradient's form by its arrays' shapes."""
  batch, *out, features = cotangent
  channels = x[3]
  if filters.kernel_gradient_pays(batch, out, channels, features, geometry):
    return winograd.kernel_gradient
  if max(geometry.strides) == 1 and _large(
    batch * math.prod(out), channels, features, geometry
  ):
    return lax_kernel_gradient
  many = batch * math.prod(out) >= _MANY_PIXELS or channels >= _MANY_CHANNELS
  return taps if many and features >= _FEW_CHANNELS else lax_kernel_gradient


def _large(
  num_pixels: int, channels: int, features: int, geometry: Geometry
) -> bool:
  """Returns whether moving each tap's products takes longer than their sums.

  This is so with many pixels and a moderate number of channels.
  """
  fits = min(channels, features) >= _FEW_CHANNELS and channels < _MANY_CHANNELS
  return (
    fits and math.prod(geometry.sizes) > 1 and num_pixels >= filters.MANY_PIXELS
  )


def patches(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """Computes a convolution as one product of all windows and the kernel."""
  out = output_size(x.shape[1:3], geometry)
  windows = _windows(x, geometry)
  windows = windows.reshape(x.shape[0] * math.prod(out), -1)
  y = _matmul(windows, kernel.reshape(windows.shape[1], -1))
  return y.reshape(x.shape[0], *out, -1).astype(x.dtype)


def _windows(x: Array, geometry: Geometry) -> Array:
  """Gathers the pixels that each tap sees, [B, pixels * taps, C]."""
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
  # XLA's CPU backend is many times faster at one gather than at concatenating
  # slices.
  return padded.at[:, pixels.reshape(-1)].get(mode='promise_in_bounds')


def tap_conv(
  x: Array, kernel: Array, geometry: Geometry, adjoint: bool
) -> Array:
  """Computes a convolution as a batch of matrix products, one per tap.

  The kernel is read in place, in either orientation.
  """
  out = output_size(x.shape[1:3], geometry)
  y = _tap_products(_seen(x, geometry), kernel, adjoint).sum(axis=0)
  return y.reshape(x.shape[0], *out, -1).astype(x.dtype)


def tap_conv_transpose(
  x: Array, kernel: Array, geometry: Geometry, adjoint: bool
) -> Array:
  """Computes a transposed one as products per tap, then shifted sums."""
  num_taps = math.prod(geometry.sizes)
  pixels = x.reshape(-1, x.shape[3])
  pixels = jnp.broadcast_to(pixels, (num_taps, *pixels.shape))
  products = _tap_products(pixels, kernel, adjoint)
  products = products.reshape(*geometry.sizes, *x.shape[:3], -1)
  products = jnp.moveaxis(products, (0, 1), (3, 4))
  return _shifted_sums(products, x, geometry)


def tap_kernel_gradient(
  x: Array, cotangent: Array, geometry: Geometry, adjoint: bool
) -> Array:
  """Computes a kernel gradient as products per tap, written in place."""
  seen = _seen(x, geometry)
  made = cotangent.reshape(-1, cotangent.shape[3])
  made = jnp.broadcast_to(made, (len(seen), *made.shape))
  a, b = (made, seen[::-1]) if adjoint else (seen, made)
  kernel = _batched(a, b, contracting=(1, 1))
  return kernel.reshape(*geometry.sizes, *kernel.shape[1:]).astype(x.dtype)


def _seen(x: Array, geometry: Geometry) -> Array:
  """Gathers the pixels that each tap sees, [taps, B * pixels, C]."""
  num_taps = math.prod(geometry.sizes)
  windows = _windows(x, geometry)
  windows = windows.reshape(-1, num_taps, x.shape[3])
  return windows.swapaxes(0, 1)


def _tap_products(x: Array, kernel: Array, adjoint: bool) -> Array:
  """Multiplies each tap's pixels [taps, P, C] by its matrix: [taps, P, D]."""
  matrices = kernel.reshape(-1, *kernel.shape[2:])
  if not adjoint:
    return _batched(x, matrices, contracting=(2, 1))
  return _batched(x[::-1], matrices, contracting=(2, 2))[::-1]


def _batched(a: Array, b: Array, contracting: tuple[int, int]) -> Array:
  """Multiplies two batches of matrices, in float32 at least."""
  return lax.dot_general(
    a,
    b,
    (((contracting[0],), (contracting[1],)), ((0,), (0,))),
    preferred_element_type=jnp.promote_types(a.dtype, jnp.float32),
  )


def taps(x: Array, cotangent: Array, geometry: Geometry) -> Array:
  """Computes a kernel gradient as one matrix product per tap.

  The product is of the pixels that the tap sees and the outputs' cotangents.
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
  """Computes a transposed convolution as one at stride 1 per phase."""

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
  """Computes a transposed convolution as one matrix product, then shifted sums.

  The product is of all pixels and all taps. At stride 1 it is also a
  convolution, with the same padding.
  """
  *sizes, channels, features = kernel.shape
  weights = kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
  products = _matmul(x.reshape(-1, channels), weights)
  products = products.reshape(*x.shape[:3], *sizes, features)
  return _shifted_sums(products, x, geometry)


def _shifted_sums(products: Array, x: Array, geometry: Geometry) -> Array:
  """Sums a transposed convolution's products [B, H, W, h, w, D]."""
  features = products.shape[-1]

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
  """Multiplies matrices, in float32 at least."""
  wide = jnp.promote_types(a.dtype, jnp.float32)
  return jnp.matmul(a, b, preferred_element_type=wide)


def _transposed(
  x: Array, geometry: Geometry, make_phase: Callable[..., Array]
) -> Array:
  """Assembles a transposed convolution's output from its phases.

  make_phase((rows, columns), (height, width)) returns one phase of that size
  from the (tap, shift) pairs of its rows and columns.
  """
  out = transposed_output_size(x.shape[1:3], geometry)
  # Pixels per phase; where phases differ in size, the last pixel is cropped.
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
