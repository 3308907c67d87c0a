"""Anti-aliased resampling by 2 with the separable filter [1, 2, 1]."""

import jax.numpy as jnp

from gan_jax.core.types import Array


def upsample(x: Array) -> Array:
  """Doubles both sides of images [B, H, W, C].

  Nearest neighbours, then the filter [1, 2, 1] / 4, with zeros beyond the
  edges: 1/4 and 3/4 of the two nearest pixels, in both directions.
  """
  for axis in (1, 2):
    before, here, after = _neighbours(x, axis)
    pair = [0.25 * before + 0.75 * here, 0.75 * here + 0.25 * after]
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
    size = x.shape[axis]
    pads = [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)]
    padded = jnp.pad(x, pads)
    taps = [
      padded[(slice(None),) * axis + (slice(i, i + size - 1, 2),)]
      for i in range(4)
    ]
    x = (taps[0] + 3.0 * taps[1] + 3.0 * taps[2] + taps[3]) / 8.0
  return x


def _neighbours(x: Array, axis: int) -> list[Array]:
  """The images moved by one pixel back, not moved, and moved by one on."""
  size = x.shape[axis]
  pads = [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)]
  padded = jnp.pad(x, pads)
  return [
    padded[(slice(None),) * axis + (slice(i, i + size),)] for i in range(3)
  ]
