"""Convolutions with a lowering chosen for the platform.

On GPU and TPU, `conv` and `conv_transpose` are lax's. XLA's CPU backend runs a
convolution over a dilated input, which is what every strided transposed
convolution and the input gradient of every strided convolution is, in a loop up
to fifty times slower than a matrix product. There, neither these functions nor
their gradients of any order dilate an input; `gan_jax.ops.lowerings` has
the forms that they take instead.

A convolution, the transposed one and the kernel's gradient are each linear in
both arguments, and the gradients of any of the three are the other two. So each
has a custom gradient in terms of the others, and derivatives of any order use
the same three lowerings. They are reverse-mode derivatives: `jax.jvp` does not
work on these functions, `jax.grad` of `jax.grad` does.

The platform is chosen when the program is lowered, so that an exported program
is right for its own platform and not for the one that traced it.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.ops import lowerings
from gan_jax.ops.lowerings import Pads
from gan_jax.types import Array

Padding = str | Sequence[tuple[int, int]]


def conv(
  x: Array,
  kernel: Array,
  strides: tuple[int, int] = (1, 1),
  padding: Padding = 'SAME',
) -> Array:
  """Convolution: the function that `lax.conv_general_dilated` computes.

  Args:
    x: images [B, H, W, C].
    kernel: [h, w, C, D].
    strides: of the windows.
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
  return _conv(x, kernel, tuple(strides), _pairs(padding))


def conv_transpose(
  x: Array,
  kernel: Array,
  strides: tuple[int, int] = (1, 1),
  padding: Padding = 'SAME',
) -> Array:
  """Transposed convolution: what `lax.conv_transpose` and flax's layer compute.

  Args:
    x: images [B, H, W, C].
    kernel: [h, w, C, D].
    strides: the factors of upsampling.
    padding: 'SAME' for strides * (H, W) pixels, 'VALID' for all that a tap
      reaches, or ((low, high), (low, high)) to pad the dilated input with.

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
  return _conv_transpose(x, kernel, tuple(strides), _pairs(padding))


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


def _pairs(padding: Sequence[tuple[int, int]]) -> Pads:
  pads = tuple((int(low), int(high)) for low, high in padding)
  if len(pads) != 2:
    raise ValueError(f'padding {padding}; want a pair for height and for width')
  return pads


def _transposed_pads(size: int, stride: int, padding: str) -> tuple[int, int]:
  """Of the dilated input, as lax.conv_transpose pads it."""
  if padding == 'VALID':
    total, low = size + stride - 2 + max(size - stride, 0), size - 1
  else:
    total = size + stride - 2
    low = size - 1 if stride > size - 1 else -(-total // 2)
  return low, total - low


def _adjoint_kernel(kernel: Array) -> Array:
  """Turned by 180 degrees, with the channels' roles exchanged."""
  return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def _adjoint_pads(pads: Pads, sizes, to: Sequence, of: Sequence) -> Pads:
  """Pads with which the adjoint makes maps of `to` pixels from maps of `of`."""
  return tuple(
    (size - 1 - low, n - m + low)
    for (low, _), size, n, m in zip(pads, sizes, to, of, strict=True)
  )


def _dilated(x: Array, strides: tuple[int, int]) -> list[int]:
  return [s * (n - 1) + 1 for s, n in zip(strides, x.shape[1:3], strict=True)]


def _by_platform(
  cpu: Callable, default: Callable, a: Array, b: Array, **static
):
  return lax.platform_dependent(
    a,
    b,
    cpu=functools.partial(cpu, **static),
    default=functools.partial(default, **static),
  )


# `pads` are the convolution's in _conv and _kernel_gradient, and the dilated
# input's in _conv_transpose.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv(x, kernel, strides, pads):
  return _by_platform(
    lowerings.cpu_conv,
    lowerings.lax_conv,
    x,
    kernel,
    strides=strides,
    pads=pads,
  )


def _conv_forward(x, kernel, strides, pads):
  return _conv(x, kernel, strides, pads), (x, kernel)


def _conv_backward(strides, pads, residuals, cotangent):
  x, kernel = residuals
  sizes = kernel.shape[:2]
  return (
    _input_gradient(cotangent, kernel, strides, pads, x.shape[1:3]),
    _kernel_gradient(x, cotangent, strides, pads, sizes),
  )


def _input_gradient(cotangent, kernel, strides, pads, in_size):
  pads = _adjoint_pads(
    pads, kernel.shape[:2], in_size, _dilated(cotangent, strides)
  )
  return _conv_transpose(cotangent, _adjoint_kernel(kernel), strides, pads)


_conv.defvjp(_conv_forward, _conv_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv_transpose(x, kernel, strides, pads):
  return _by_platform(
    lowerings.cpu_conv_transpose,
    lowerings.lax_conv_transpose,
    x,
    kernel,
    strides=strides,
    pads=pads,
  )


def _conv_transpose_forward(x, kernel, strides, pads):
  return _conv_transpose(x, kernel, strides, pads), (x, kernel)


def _conv_transpose_backward(strides, pads, residuals, cotangent):
  x, kernel = residuals
  sizes = kernel.shape[:2]
  pads = _adjoint_pads(pads, sizes, _dilated(x, strides), cotangent.shape[1:3])
  return (
    _conv(cotangent, _adjoint_kernel(kernel), strides, pads),
    _adjoint_kernel(_kernel_gradient(cotangent, x, strides, pads, sizes)),
  )


_conv_transpose.defvjp(_conv_transpose_forward, _conv_transpose_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _kernel_gradient(x, cotangent, strides, pads, sizes):
  """[h, w, C, D] for `_conv` of x and the cotangent of what it makes."""
  return _by_platform(
    lowerings.cpu_kernel_gradient,
    lowerings.lax_kernel_gradient,
    x,
    cotangent,
    strides=strides,
    pads=pads,
    sizes=sizes,
  )


def _kernel_gradient_forward(x, cotangent, strides, pads, sizes):
  gradient = _kernel_gradient(x, cotangent, strides, pads, sizes)
  return gradient, (x, cotangent)


def _kernel_gradient_backward(strides, pads, sizes, residuals, kernel):
  del sizes  # the kernel's
  x, cotangent = residuals
  return (
    _input_gradient(cotangent, kernel, strides, pads, x.shape[1:3]),
    _conv(x, kernel, strides, pads),
  )


_kernel_gradient.defvjp(_kernel_gradient_forward, _kernel_gradient_backward)
