"""Geometry of a convolution: its windows, padding and output sizes."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from gan_jax.core.types import Array

Pads = tuple[tuple[int, int], tuple[int, int]]


class Geometry(NamedTuple):
  """Strides, padding and kernel size; a pair for height and width each."""

  strides: tuple[int, int]
  # The convolution's padding, also in its kernel gradient; in a transposed
  # convolution, that of the dilated input.
  pads: Pads
  sizes: tuple[int, int]  # of the kernel


def output_size(size: Sequence[int], geometry: Geometry) -> list[int]:
  """Returns the output size of a convolution of images of `size` pixels."""
  return [
    (n + sum(pads) - taps) // stride + 1
    for n, stride, pads, taps in zip(size, *geometry, strict=True)
  ]


def transposed_output_size(
  size: Sequence[int], geometry: Geometry
) -> list[int]:
  """Returns the output size of a transposed convolution of `size` pixels."""
  return [
    stride * (n - 1) + 2 + sum(pads) - taps
    for n, stride, pads, taps in zip(size, *geometry, strict=True)
  ]


def phases(size: int, stride: int, low: int) -> list[list[tuple[int, int]]]:
  """Lists (tap, shift) pairs of each phase of a transposed convolution.

  Output pixel i is the sum over taps t of kernel[t] times dilated input pixel
  i + t - low, which is input pixel (i + t - low) / stride if that is an
  integer. So for i = stride * m + phase only every stride-th tap takes part,
  and it meets input pixel m + shift: each phase is a stride-1 convolution.
  """
  return [
    [
      (tap, (phase + tap - low) // stride)
      for tap in range((low - phase) % stride, size, stride)
    ]
    for phase in range(stride)
  ]


def pad(x: Array, pads: Sequence[tuple[int, int]]) -> Array:
  """Pads images [B, H, W, C] with zeros; negative numbers crop them."""
  zero = jnp.zeros((), x.dtype)
  return lax.pad(x, zero, ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)))


def interleave(parts: Sequence[Sequence[Array]]) -> Array:
  """Interleaves images, the inverse of splitting them into h x w phases.

  Args:
    parts: h lists of w arrays [B, H, W, D]; parts[i][j] gives the pixels in row
      i and column j of each h x w cell.

  Returns:
    Images [B, h * H, w * W, D].
  """
  y = jnp.stack([jnp.stack(row, axis=3) for row in parts], axis=2)
  batch, height, rows, width, columns, features = y.shape
  return y.reshape(batch, height * rows, width * columns, features)
