"""Nearest images by pixels, which show what a generator has memorised."""

import jax
import jax.numpy as jnp
import numpy as np

_CHUNK = 256  # images at a time
_EXACT = 256  # 256 * 255^2 < 2^24: float32 sums that many products exactly


def nearest_neighbours(
  samples: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Each sample's nearest image, by Euclidean distance on pixels, exactly.

  Args:
    samples: uint8 [N, H, W, C].
    images: uint8 [M, H, W, C], M > 0.

  Returns:
    The images' indices, int64 [N], of equally near ones the first, and the
    distances, float64 [N], in units of a pixel's 0..255.

  Raises:
    ValueError: the two are not of one shape, or there is no image.
  """
  if samples.shape[1:] != images.shape[1:] or not len(images):
    raise ValueError(
      f'no image of {list(images.shape)} can be near a sample of '
      f'{list(samples.shape)}'
    )
  index = np.zeros(len(samples), np.int64)
  nearest = np.full(len(samples), np.iinfo(np.int64).max)
  for start in range(0, len(images), _CHUNK):
    with jax.enable_x64(True):
      place, squared = map(
        np.asarray, _nearest(samples, images[start : start + _CHUNK])
      )
    nearer = squared < nearest
    index = np.where(nearer, start + place, index)
    nearest = np.where(nearer, squared, nearest)
  return index, np.sqrt(nearest)


@jax.jit
def _nearest(samples, images):
  """Index and squared distance, int64 [N], of the nearest of the images."""
  a, b = (_blocks(x) for x in (samples, images))
  products = jnp.einsum('knd,kmd->knm', a, b, precision='highest')
  squared = (
    _whole((a * a).sum(-1))[:, None]
    + _whole((b * b).sum(-1))
    - 2 * _whole(products)
  )
  return jnp.argmin(squared, axis=1), squared.min(axis=1)


def _blocks(images):
  """Pixels as float32 [K, N, _EXACT], the last block filled up with zeros."""
  flat = images.reshape(len(images), -1).astype(jnp.float32)
  flat = jnp.pad(flat, [(0, 0), (0, -flat.shape[1] % _EXACT)])
  return flat.reshape(len(images), -1, _EXACT).swapaxes(0, 1)


def _whole(sums):
  """The sum over the blocks, the first axis, of sums that are whole numbers."""
  return sums.astype(jnp.int64).sum(0)
