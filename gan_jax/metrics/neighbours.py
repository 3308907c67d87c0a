"""Nearest neighbours in pixel space, which reveal memorisation."""

import jax
import jax.numpy as jnp
import numpy as np

_CHUNK = 256  # images at a time
_EXACT = 256  # products that float32 sums exactly: 256 * 255^2 < 2^24


def nearest_neighbours(
  samples: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Finds each sample's nearest image, by exact Euclidean pixel distance.

  Args:
    samples: uint8 [N, H, W, C].
    images: uint8 [M, H, W, C], M > 0.

  Returns:
    The images' indices, int64 [N], the first of equally near ones, and the
    distances, float64 [N], in grey levels of 0..255.

  Raises:
    ValueError: the shapes differ, or there is no image.
  """
  if samples.shape[1:] != images.shape[1:] or not len(images):
    raise ValueError(
      'samples and images must be [N, H, W, C] and [M, H, W, C] with M > 0, '
      f'got {list(samples.shape)} and {list(images.shape)}'
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
  """Returns index and squared distance, int64 [N], of the nearest images."""
  a, b = (_blocks(x) for x in (samples, images))
  products = jnp.einsum('knd,kmd->knm', a, b, precision='highest')
  squared = (
    _whole((a * a).sum(-1))[:, None]
    + _whole((b * b).sum(-1))
    - 2 * _whole(products)
  )
  return jnp.argmin(squared, axis=1), squared.min(axis=1)


def _blocks(images):
  """Splits pixels into float32 blocks [K, N, _EXACT], padded with zeros."""
  flat = images.reshape(len(images), -1).astype(jnp.float32)
  flat = jnp.pad(flat, [(0, 0), (0, -flat.shape[1] % _EXACT)])
  return flat.reshape(len(images), -1, _EXACT).swapaxes(0, 1)


def _whole(sums):
  """Sums exact integers over the blocks, the first axis."""
  return sums.astype(jnp.int64).sum(0)
