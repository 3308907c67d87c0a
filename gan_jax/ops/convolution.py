"""Convolutions with a lowering chosen for the platform.

On GPU and TPU, `conv` and `conv_transpose` are lax's. Strided transposed
convolutions and the input gradients of strided convolutions are convolutions
over a dilated input, which XLA's CPU backend runs in a loop up to fifty times
slower than a matrix product. There, neither these functions nor their gradients
of any order dilate an input; `gan_jax.ops.lowerings` has the alternatives.

The convolution, the transposed convolution and the kernel gradient are each
linear in both arguments, and the gradients of any of the three are the other
two. So each has a custom gradient in terms of the others, and derivatives of
any order use the same three lowerings. They are reverse-mode derivatives:
`jax.jvp` does not work on these functions, `jax.grad` of `jax.grad` does.

The platform is chosen when the program is lowered, so an exported program has
the form for its own platform, not for the one on which it was traced.
"""

import functools
from collections.abc import Callable, Sequence

import jax
from jax import lax

from gan_jax.core.collectives import like
from gan_jax.core.types import Array
from gan_jax.ops import lowerings
from gan_jax.ops.geometry import Geometry

Padding = str | Sequence[tuple[int, int]]


def conv(
  x: Array,
  kernel: Array,
  strides: tuple[int, int] = (1, 1),
  padding: Padding = 'SAME',
) -> Array:
  """Computes a convolution, as `lax.conv_general_dilated` does.

  Args:
    x: images [B, H, W, C].
    kernel: [h, w, C, D].
    strides: the window strides.
    padding: 'SAME', 'VALID' or ((low, high), (low, high)).

  Returns:
    Images [B, H', W', D], with H' = (H + low + high - h) // stride + 1.

  Raises:
    ValueError: shapes, dtypes or padding that do not fit.
  """
  _check(x, kernel, strides)
  if isinstance(padding, str):
    if padding not in ('SAME', 'VALID'):
      raise ValueError(f"padding {padding!r}; want 'SAME', 'VALID' or pairs")
    padding = lax.padtype_to_pads(
      x.shape[1:3], kernel.shape[:2], strides, padding
    )
  return _conv(x, kernel, _geometry(kernel, strides, padding), False)


def conv_transpose(
  x: Array,
  kernel: Array,
  strides: tuple[int, int] = (1, 1),
  padding: Padding = 'SAME',
) -> Array:
  """Computes a transposed convolution, as `lax.conv_transpose` and flax do.

  Args:
    x: images [B, H, W, C].
    kernel: [h, w, C, D].
    strides: the upsampling factors.
    padding: 'SAME' for strides * (H, W) pixels, 'VALID' for all pixels that a
      tap reaches, or the padding of the dilated input, ((low, high),
      (low, high)).

  Returns:
    Images [B, H', W', D], with H' = stride * (H - 1) + 2 + low + high - h.

  Raises:
    ValueError: shapes, dtypes or padding that do not fit.
  """
  _check(x, kernel, strides)
  if isinstance(padding, str):
    if padding not in ('SAME', 'VALID'):
      raise ValueError(f"padding {padding!r}; want 'SAME', 'VALID' or pairs")
    padding = [
      _transposed_pads(size, stride, padding)
      for size, stride in zip(kernel.shape[:2], strides, strict=True)
    ]
  return _conv_transpose(x, kernel, _geometry(kernel, strides, padding), False)


def _check(x: Array, kernel: Array, strides: tuple[int, int]) -> None:
  if x.ndim != 4 or kernel.ndim != 4 or x.shape[3] != kernel.shape[2]:
    raise ValueError(
      f'want images [B, H, W, C] and a kernel [h, w, C, D], not {x.shape} and '
      f'{kernel.shape}'
    )
  if x.dtype != kernel.dtype:
    raise ValueError(f'images are {x.dtype}, the kernel is {kernel.dtype}')
  if len(strides) != 2 or min(strides) < 1:
    raise ValueError(f'strides {strides}; want two positive integers')


def _geometry(kernel: Array, strides, padding) -> Geometry:
  pads = tuple((int(low), int(high)) for low, high in padding)
  if len(pads) != 2:
    raise ValueError(f'padding {padding}; want a pair for height and for width')
  return Geometry(tuple(strides), pads, tuple(kernel.shape[:2]))


def _transposed_pads(size: int, stride: int, padding: str) -> tuple[int, int]:
  """Returns the dilated input's padding, as in lax.conv_transpose."""
  if padding == 'VALID':
    total, low = size + stride - 2 + max(size - stride, 0), size - 1
  else:
    total = size + stride - 2
    low = size - 1 if stride > size - 1 else -(-total // 2)
  return low, total - low


def _bilinear(
  cpu: Callable, default: Callable, gradients: Callable
) -> Callable:
  """Builds a differentiable function of two arrays that is linear in each.

  Its other two arguments are a Geometry, and whether the kernel that it takes
  or returns is the adjoint one: rotated by 180 degrees, with input and output
  channels swapped. So no gradient has to rearrange a kernel in memory.

  Args:
    cpu: its form on the CPU.
    default: its form elsewhere.
    gradients: maps (a, b, cotangent, geometry, adjoint) to the cotangents of a
      and b.
  """

  # Under jit, so that layers of the same shape are traced once.
  @functools.partial(jax.jit, static_argnums=(2, 3))
  def lowered(a, b, geometry, adjoint):
    return lax.platform_dependent(
      a,
      b,
      cpu=functools.partial(cpu, geometry=geometry, adjoint=adjoint),
      default=functools.partial(default, geometry=geometry, adjoint=adjoint),
    )

  @functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
  def function(a, b, geometry, adjoint):
    return lowered(a, b, geometry, adjoint)

  function.defvjp(
    lambda a, b, geometry, adjoint: (function(a, b, geometry, adjoint), (a, b)),
    lambda geometry, adjoint, ab, cotangent: gradients(
      *ab, cotangent, geometry, adjoint
    ),
  )
  # Under `jax.shard_map`, gradients differ between replicas, and must have the
  # types of their arrays.
  return lambda a, b, geometry, adjoint: function(
    like(a, b), like(b, a), geometry, adjoint
  )


def _backward(geometry: Geometry, to: Sequence, of: Sequence) -> Geometry:
  """Returns the adjoint map's geometry, from `of` pixels to `to` pixels."""
  pads = tuple(
    (size - 1 - low, n - m + low)
    for (low, _), size, n, m in zip(
      geometry.pads, geometry.sizes, to, of, strict=True
    )
  )
  return geometry._replace(pads=pads)


def _dilated(x: Array, strides: tuple[int, int]) -> list[int]:
  return [s * (n - 1) + 1 for s, n in zip(strides, x.shape[1:3], strict=True)]


def _input_gradient(x, kernel, cotangent, geometry, adjoint):
  """Computes the gradient of `_conv` by its input."""
  dilated = _dilated(cotangent, geometry.strides)
  back = _backward(geometry, to=x.shape[1:3], of=dilated)
  return _conv_transpose(cotangent, kernel, back, not adjoint)


def _conv_gradients(x, kernel, cotangent, geometry, adjoint):
  return (
    _input_gradient(x, kernel, cotangent, geometry, adjoint),
    _kernel_gradient(x, cotangent, geometry, adjoint),
  )


def _conv_transpose_gradients(x, kernel, cotangent, geometry, adjoint):
  dilated = _dilated(x, geometry.strides)
  back = _backward(geometry, to=dilated, of=cotangent.shape[1:3])
  return (
    _conv(cotangent, kernel, back, not adjoint),
    _kernel_gradient(cotangent, x, back, not adjoint),
  )


def _kernel_gradient_gradients(x, made, kernel, geometry, adjoint):
  return (
    _input_gradient(x, kernel, made, geometry, adjoint),
    _conv(x, kernel, geometry, adjoint),
  )


_conv = _bilinear(lowerings.cpu_conv, lowerings.default_conv, _conv_gradients)
_conv_transpose = _bilinear(
  lowerings.cpu_conv_transpose,
  lowerings.default_conv_transpose,
  _conv_transpose_gradients,
)
_kernel_gradient = _bilinear(
  lowerings.cpu_kernel_gradient,
  lowerings.default_kernel_gradient,
  _kernel_gradient_gradients,
)
