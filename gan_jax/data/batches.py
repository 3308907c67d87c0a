"""Batches as a function of (seed, step): the sampler of in-memory data.

Each stream is endless: one random order of its rows after the other, cut into
batches. A row is seen exactly once per pass, and batch k can be made without
making the ones before it, which is what lets a run resume.
"""

import functools
import zlib
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from gan_jax.data.dataset import Examples
from gan_jax.data.spec import Stream
from gan_jax.errors import InputError
from gan_jax.types import Array


class Sampler:
  """Maps a step to the global batch of that step, as numpy arrays.

  Args:
    examples: the training data.
    mask: bool [N], the examples whose labels are kept.
    batch_spec: the streams that the system wants.
    seed: of the shuffles.
  """

  def __init__(
    self,
    examples: Examples,
    mask: np.ndarray,
    batch_spec: Mapping[str, Stream],
    seed: int,
  ):
    self._columns = {
      'image': examples.image,
      # Masked labels are not passed on at all.
      'label': np.where(mask, examples.label, -1).astype(np.int32),
      'label_mask': mask.astype(np.float32),
    }
    self._streams = {}
    everything = np.arange(len(mask))
    for name, stream in batch_spec.items():
      rows = everything if stream.subset == 'all' else np.flatnonzero(mask)
      if stream.rows > len(mask):
        raise InputError(
          f'config.data.batch_size asks for {stream.rows} rows a step, more '
          f'than the {len(mask)} training images'
        )
      self._streams[name] = (rows, stream.rows)

    @functools.lru_cache(maxsize=4 * len(batch_spec))
    def order(name: str, epoch: int) -> np.ndarray:
      # The stream's own sub-key: streams must not depend on one another.
      key = np.array([seed, zlib.crc32(name.encode())], np.uint64)
      counter = np.array([0, 0, 0, epoch], np.uint64)
      rng = np.random.Generator(np.random.Philox(key=key, counter=counter))
      return rng.permutation(self._streams[name][0])

    self._order = order

  def indices(self, name: str, step: int) -> np.ndarray:
    """The rows of the data that stream `name` yields at `step`."""
    rows, num = self._streams[name]
    position = step * num
    chosen = [rows[:0]]
    while num:
      epoch, offset = divmod(position, len(rows))
      piece = self._order(name, epoch)[offset : offset + num]
      chosen.append(piece)
      position += len(piece)
      num -= len(piece)
    return np.concatenate(chosen)

  def __call__(self, step: int) -> dict[str, dict[str, np.ndarray]]:
    batch = {}
    for name in self._streams:
      index = self.indices(name, step)
      batch[name] = {k: column[index] for k, column in self._columns.items()}
    return batch


def to_unit_range(image: Array) -> Array:
  """uint8 images 0..255 as float32 in [-1, 1]."""
  return image.astype(jnp.float32) / 127.5 - 1.0


def to_uint8(image: Array) -> Array:
  """Images in [-1, 1] as uint8 0..255."""
  return jnp.round((jnp.clip(image, -1.0, 1.0) + 1.0) * 127.5).astype(jnp.uint8)
