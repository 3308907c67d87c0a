"""Image pool: a history of generated images, as a pytree."""

import jax
import jax.numpy as jnp
from flax import struct

from gan_jax.core.types import Array, PRNGKey


@struct.dataclass
class ImagePool:
  """Some of the images seen so far; part of a training state."""

  images: Array  # [size, H, W, C]
  filled: Array  # int32, the number of images stored so far


def empty_pool(size: int, image_shape: tuple[int, int, int]) -> ImagePool:
  """Returns an empty pool for `size` images [H, W, C]; size 0 stores none."""
  return ImagePool(jnp.zeros((size, *image_shape)), jnp.int32(0))


def query_pool(
  pool: ImagePool, images: Array, key: PRNGKey, axis_name: str | None = None
) -> tuple[ImagePool, Array]:
  """Exchanges new images for a mix of new and old ones.

  Images are processed in order. While the pool is not full, an image is stored
  and returned. After that, with probability 1/2 it is returned, and otherwise
  it replaces a random old image, which is returned instead.

  Args:
    pool: the pool, the same on every replica.
    images: new images [B, H, W, C], this replica's rows of the global batch.
    key: the same on every replica.
    axis_name: the mapped axis over which the batch is split, if any. There is
      one pool for the global batch, the same on every replica.

  Returns:
    The new pool, and images [B, H, W, C] for this replica.

  References:
    Shrivastava et al. 2017, https://arxiv.org/abs/1612.07828, section 2.3.
    Zhu et al. 2017, https://arxiv.org/abs/1703.10593, section 4: 50 images.
  """
  size, num_rows = len(pool.images), len(images)
  if size == 0:
    return pool, images
  if axis_name is not None:
    images = jax.lax.all_gather(images, axis_name, tiled=True, to='invarying')

  def exchange(pool, row):
    image, key = row
    coin, place = jax.random.split(key)
    full = pool.filled == size
    index = jnp.where(full, jax.random.randint(place, (), 0, size), pool.filled)
    store = ~full | jax.random.bernoulli(coin)
    old = pool.images[index]
    pool = ImagePool(
      pool.images.at[index].set(jnp.where(store, image, old)),
      jnp.minimum(pool.filled + 1, size),
    )
    return pool, jnp.where(full & store, old, image)

  keys = jax.random.split(key, len(images))
  pool, mixed = jax.lax.scan(exchange, pool, (images, keys))
  if axis_name is not None:
    first = jax.lax.axis_index(axis_name) * num_rows
    mixed = jax.lax.dynamic_slice_in_dim(mixed, first, num_rows)
  return pool, mixed
