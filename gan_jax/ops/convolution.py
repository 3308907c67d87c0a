"""Transposed convolution with a lowering chosen for the platform.

XLA's CPU backend runs a convolution over a dilated input in a naive loop, about
20 times slower than a plain one. There, a stride-s transposed convolution is
computed as s x s small stride-1 convolutions, one for each phase of the output,
which are then interleaved: no product with an inserted zero is ever made.
"""

import functools

import jax.numpy as jnp
from jax import lax

from gan_jax.types import Array

_DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')


def conv_transpose(x: Array, kernel: Array, stride: int) -> Array:
  """Transposed convolution with SAME padding: [B, H, W, C] to stride * (H, W).

  The same function of the same kernel as `lax.conv_transpose` and hence as
  flax's `nn.ConvTranspose`.

  Args:
    x: images [B, H, W, C].
    kernel: [h, w, C, D].
    stride: the factor of upsampling, at most the kernel's size.

  Returns:
    Images [B, stride * H, stride * W, D].

  Raises:
    ValueError: a stride larger than the kernel.
  """
  if stride > min(kernel.shape[:2]):
    raise ValueError(
      f'stride {stride} is larger than the kernel, {kernel.shape[:2]}'
    )
  return lax.platform_dependent(
    x,
    kernel,
    cpu=functools.partial(_by_phases, stride=stride),
    default=functools.partial(_native, stride=stride),
  )


def _native(x: Array, kernel: Array, *, stride: int) -> Array:
  return lax.conv_transpose(
    x, kernel, (stride, stride), 'SAME', dimension_numbers=_DIMENSIONS
  )


def _phases(size: int, stride: int) -> list[tuple[slice, tuple[int, int]]]:
  """For each phase of the output: its taps, and the input's padding.

  Output o sums kernel tap t times input i over all t, i with
  o + t - before = stride * i. For o = stride * m + phase only every stride-th
  tap takes part, and i runs over consecutive values: a stride-1 convolution.
  """
  before = -(-(size + stride - 2) // 2)  # as lax.conv_transpose pads for SAME
  phases = []
  for phase in range(stride):
    first_tap = (before - phase) % stride
    taps = slice(first_tap, size, stride)
    num_taps = len(range(first_tap, size, stride))
    first_input = (phase + first_tap - before) // stride  # at output m = 0
    phases.append((taps, (-first_input, num_taps - 1 + first_input)))
  return phases


def _by_phases(x: Array, kernel: Array, *, stride: int) -> Array:
  batch, height, width, _ = x.shape
  rows = []
  for row_taps, row_padding in _phases(kernel.shape[0], stride):
    columns = []
    for column_taps, column_padding in _phases(kernel.shape[1], stride):
      columns.append(
        lax.conv_general_dilated(
          x,
          kernel[row_taps, column_taps],
          window_strides=(1, 1),
          padding=(row_padding, column_padding),
          dimension_numbers=_DIMENSIONS,
        )
      )
    rows.append(jnp.stack(columns, axis=3))
  phases = jnp.stack(rows, axis=2)  # [B, H, stride, W, stride, D]
  return phases.reshape(batch, stride * height, stride * width, -1)
