"""Randomness as a function of (seed, step, purpose, row), never of a device.

Row i of the global batch gets its own key, so a step on N devices draws the
same noise that one device would draw for the whole batch.
"""

import math
import zlib

import jax
import jax.numpy as jnp

from gan_jax.core.types import Array, PRNGKey


def key_for(key: PRNGKey, purpose: str) -> PRNGKey:
  """Derives a separate key for each purpose, e.g. `key_for(key, 'z')`."""
  return jax.random.fold_in(key, zlib.crc32(purpose.encode()))


def global_rows(num_rows: int, axis_name: str | None = None) -> Array:
  """Returns the indices of this replica's rows in the global batch.

  Args:
    num_rows: rows on this replica.
    axis_name: the mapped axis over which the batch is split, if any.

  Returns:
    Indices, int32 [num_rows].
  """
  first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * num_rows
  return first + jnp.arange(num_rows)


def keys_of(key: PRNGKey, rows: Array) -> PRNGKey:
  """Derives one key per row from its index in the global batch.

  Args:
    key: a typed key, the same on every replica.
    rows: indices [B] from `global_rows`, or some of them.

  Returns:
    Keys of shape [B].
  """
  return jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)


def row_keys(
  key: PRNGKey, num_rows: int, axis_name: str | None = None
) -> PRNGKey:
  """Derives one key per row of this replica: `keys_of` its `global_rows`."""
  return keys_of(key, global_rows(num_rows, axis_name))


def normal_rows(
  key: PRNGKey,
  num_rows: int,
  shape: tuple[int, ...],
  axis_name: str | None = None,
) -> Array:
  """Draws N(0, 1) noise [num_rows, *shape], each row from its own key."""
  keys = row_keys(key, num_rows, axis_name)
  return jax.vmap(lambda k: jax.random.normal(k, shape))(keys)


def uniform_rows(
  key: PRNGKey,
  num_rows: int,
  shape: tuple[int, ...],
  low: float,
  high: float,
  axis_name: str | None = None,
) -> Array:
  """Draws U(low, high) noise [num_rows, *shape], each row from its own key."""
  keys = row_keys(key, num_rows, axis_name)
  return jax.vmap(
    lambda k: jax.random.uniform(k, shape, minval=low, maxval=high)
  )(keys)


def bernoulli_rows(
  keys: PRNGKey, shape: tuple[int, ...], probability: float
) -> tuple[Array, float]:
  """Draws coin flips [B, *shape], each row from its own key of `keys` [B].

  A flip takes as many random bits as its probability has: sixteen at most, and
  one for 1/2. This is several times faster than `jax.random.bernoulli`, whose
  float32 uniforms take a word each.

  Returns:
    The flips, bool, and their exact probability: the given one, rounded to a
    multiple of 2^-16.
  """
  bits, threshold = 16, round(probability * 2**16)
  while bits > 1 and threshold % 2 ** (bits // 2) == 0:
    bits, threshold = bits // 2, threshold >> bits // 2
  size = math.prod(shape)
  num_words = -(-size * bits // 32)
  words = jax.vmap(lambda k: jax.random.bits(k, (num_words,)))(keys)
  places = jnp.arange(0, 32, bits, dtype=jnp.uint32)
  draws = (words[..., None] >> places) & jnp.uint32(2**bits - 1)
  draws = draws.reshape(len(keys), -1)[:, :size].reshape(len(keys), *shape)
  return draws < threshold, threshold / 2**bits
