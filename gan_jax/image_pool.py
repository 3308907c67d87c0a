"""A history of generated images for a discriminator, as a pure pytree."""

import jax
import jax.numpy as jnp
from flax import struct

from gan_jax.core.types import Array, PRNGKey


@struct.dataclass
class ImagePool:
  """Some of the images seen so far; part of a training state."""

  images: Array  # [size, H, W, C]
  filled: Array  # int32, how many of them are images yet


def empty_pool(size: int, image_shape: tuple[int, int, int]) -> ImagePool:
  """A pool for `size` images [H, W, C]; a pool of size 0 keeps none."""
  return ImagePool(jnp.zeros((size, *image_shape)), jnp.int32(0))


def query_pool(
  pool: ImagePool, images: Array, key: PRNGKey, axis_name: str | None = None
) -> tuple[ImagePool, Array]:
  """Exchanges new images for a mix of new and old ones.

  One image after the other: while the pool is not full, it is stored and
  returned; after that it is, with probability 1/2, returned as it is, or else
  takes the place of a random old one, which is returned instead.

  Args:
    pool: the same on every replica.
    images: new ones [B, H, W, C], this replica's rows of the global batch.
    key: the same on every replica.
    axis_name: the mapped axis over which the batch is split, if any. There is
      one pool for the global batch, the same on every replica.

  Returns:
    The pool after, and images [B, H, W, C] for this replica.

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
