"""Random patches of feature maps."""

import jax
import jax.numpy as jnp

from gan_jax.core.types import Array, PRNGKey


def sample_places(key: PRNGKey, size: tuple[int, int], num: int) -> Array:
  """Draws distinct locations in a map [H, W]: int32 [min(num, HW)]."""
  height, width = size
  return jax.random.permutation(key, height * width)[:num]


def take_patches(features: Array, keys: PRNGKey, num: int) -> Array:
  """Takes the features at random locations, drawn separately for each image.

  Args:
    features: a map [B, H, W, C].
    keys: [B], random keys for the locations.
    num: P, the number of locations; the whole map if it has fewer.

  Returns:
    [B, P, C].
  """
  batch, *size, channels = features.shape
  places = jax.vmap(lambda key: sample_places(key, size, num))(keys)
  flat = features.reshape(batch, -1, channels)
  return jnp.take_along_axis(flat, places[..., None], axis=1)


def mirror(images: Array, which: Array | None) -> Array:
  """Mirrors some of the images or maps [B, H, W, C] horizontally.

  Args:
    images: the images or maps.
    which: bool [B], whether to mirror each; None: none of them.
  """
  if which is None:
    return images
  return jnp.where(which[:, None, None, None], images[:, :, ::-1], images)
