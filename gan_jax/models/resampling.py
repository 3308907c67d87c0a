"""Anti-aliased resampling by 2 with the separable filter [1, 2, 1]."""

import jax.numpy as jnp
from jax import lax

from gan_jax.core.types import Array


def upsample(x: Array) -> Array:
  """Doubles both sides of images [B, H, W, C].

  Nearest neighbours, then the filter [1, 2, 1] / 4, with zeros beyond the
  edges: 1/4 and 3/4 of the two nearest pixels, in both directions.
  """
  for axis in (1, 2):
    before, after = _moved(x, axis, 1), _moved(x, axis, -1)
    pair = [0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after]
    shape = list(x.shape)
    shape[axis] *= 2
    x = jnp.stack(pair, axis=axis + 1).reshape(shape)
  return x


def downsample(x: Array) -> Array:
  """Halves both sides of images [B, H, W, C], which are even.

  The filter [1, 2, 1] / 4, with zeros beyond the edges, then the mean of two
  pixels: [1, 3, 3, 1] / 8 in both directions.
  """
  for axis in (1, 2):
    # Halves of a reshaped array, not every other pixel, whose gradient is slow.
    pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
    even, odd = (
      lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in range(2)
    )
    before, after = _moved(odd, axis, 1), _moved(even, axis, -1)
    x = (before + 3.0 * even + 3.0 * odd + after) / 8.0
  return x


def _moved(x: Array, axis: int, by: int) -> Array:
  """Moves the pixels on by some places along an axis; zeros follow them in."""
  pads = [(0, 0, 0)] * x.ndim
  pads[axis] = (by, -by, 0)
  return lax.pad(x, jnp.zeros((), x.dtype), pads)
