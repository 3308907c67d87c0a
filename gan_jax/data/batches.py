"""Batches as a function of (seed, step).

Each stream is endless: a sequence of random permutations of its rows, cut into
batches. A row is seen exactly once per pass, and batch k can be computed
without those before it, so that a run can resume.
"""

import functools
import itertools
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from gan_jax.core.errors import InputError
from gan_jax.core.types import Array
from gan_jax.data.dataset import Examples
from gan_jax.data.spec import POINT, Stream
from gan_jax.data.synthetic.stacked import NUM_CHANNELS, restacked


class Shuffles:
  """Maps a stream and a step to rows of the data.

  Args:
    streams: by stream, the rows to shuffle and the number of rows per step.
    seed: the seed of the shuffles.
    part: index and number of equal parts of each batch; yields the part's rows.
  """

  def __init__(
    self,
    streams: Mapping[str, tuple[np.ndarray, int]],
    seed: int,
    part: tuple[int, int] = (0, 1),
  ):
    self._streams, self._part = streams, part

    @functools.lru_cache(maxsize=4 * len(streams))
    def order(name: str, epoch: int) -> np.ndarray:
      # Each stream has its own generator, so they do not depend on each other.
      rng = random_generator(seed, name, epoch)
      return rng.permutation(streams[name][0])

    self._order = order

  def indices(self, name: str, step: int) -> np.ndarray:
    """Returns the rows of the data that stream `name` yields at `step`."""
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

  def places(self, name: str) -> range:
    """Returns the indices in the global batch of the part's rows."""
    index, count = self._part
    size = self._streams[name][1] // count
    return range(size * index, size * (index + 1))


class Sampler(Shuffles):
  """Maps a step to its batch of labelled images.

  Args:
    examples: the training data.
    mask: bool [N], the examples whose labels are kept.
    batch_spec: the streams that the system needs.
    seed: the seed of the shuffles.
    part: index and number of equal parts of each batch; yields the part's rows.
    flip: whether to mirror each image with probability 1/2.
    num_stacked: classes of a channel of stacked images, whose channels are
      shuffled independently; None: ordinary images.
  """

  def __init__(
    self,
    examples: Examples,
    mask: np.ndarray,
    batch_spec: Mapping[str, Stream],
    seed: int,
    part: tuple[int, int] = (0, 1),
    *,
    flip: bool = False,
    num_stacked: int | None = None,
  ):
    self._seed, self._flip, self._num_stacked = seed, flip, num_stacked
    self._examples, self._names = examples, tuple(batch_spec)
    self._columns = {
      'image': examples.image,
      # Masked labels are not passed on.
      'label': np.where(mask, examples.label, -1).astype(np.int32),
      'label_mask': mask.astype(np.float32),
    }
    subsets = {'all': np.arange(len(mask)), 'labelled': np.flatnonzero(mask)}
    for stream in batch_spec.values():
      check_rows(stream.rows, len(mask))
    streams = {
      name: (subsets[s.subset], s.rows) for name, s in batch_spec.items()
    }
    if num_stacked:  # the first channel has the stream's own order
      streams |= {
        _of_channel(name, channel): stream
        for name, stream in streams.items()
        for channel in range(1, NUM_CHANNELS)
      }
    super().__init__(streams, seed, part)

  def __call__(self, step: int) -> dict[str, dict[str, np.ndarray]]:
    batch = {}
    for name in self._names:
      index, places = self.indices(name, step), self.places(name)
      rows = {k: x[index[places]] for k, x in self._columns.items()}
      if self._num_stacked:
        orders = [index] + [
          self.indices(_of_channel(name, channel), step)
          for channel in range(1, NUM_CHANNELS)
        ]
        orders = [order[places] for order in orders]
        stacks = restacked(self._examples, orders, self._num_stacked)
        rows |= stacks._asdict()
      if self._flip:
        rng = random_generator(self._seed, f'{name} flip', step)
        mirrored = (rng.random(len(index)) < 0.5)[places]
        rows['image'][mirrored] = rows['image'][mirrored, :, ::-1]
      batch[name] = rows
    return batch


def _of_channel(name: str, channel: int) -> str:
  """Names the stream of a channel of stacked images."""
  return f'{name} channel {channel}'


def check_rows(rows: int, num_train: int) -> None:
  """Raises InputError if a step takes more rows than the training images."""
  if rows > num_train:
    raise InputError(
      f'config.data.batch_size asks for {rows} rows per step, more than the '
      f'{num_train} training images'
    )


def read_ahead(sampler: Callable[[int], Any], start: int) -> Iterator[Any]:
  """Yields the batches from step `start` on, in order, with prefetching.

  If a sampler decodes images, Grain computes the next batches in threads. A
  batch does not depend on its thread.
  """
  if not getattr(sampler, 'decodes', False):
    return map(sampler, itertools.count(start))
  import grain  # slow to import

  num_threads = os.cpu_count() or 1
  options = grain.ReadOptions(
    num_threads=num_threads, prefetch_buffer_size=2 * num_threads
  )
  steps = grain.MapDataset.range(start, 2**40)
  return iter(steps.map(sampler).to_iter_dataset(options))


def random_generator(
  seed: int, purpose: str, *place: int
) -> np.random.Generator:
  """Returns a separate generator per purpose and place (up to 3 integers).

  It depends on its arguments alone, as the keys of `gan_jax.core.rng` do.
  """
  key = np.array([seed, zlib.crc32(purpose.encode())], np.uint64)
  counter = np.zeros(4, np.uint64)  # the first word counts the draws
  counter[4 - len(place) :] = place
  return np.random.Generator(np.random.Philox(key=key, counter=counter))


def to_unit_range(image: Array) -> Array:
  """Converts uint8 images, 0..255, to float32 in [-1, 1].

  Arrays of other types, such as points and labels, are returned unchanged.
  """
  if image.dtype != jnp.uint8:
    return image
  return image.astype(jnp.float32) / 127.5 - 1.0


def to_uint8(image: Array) -> Array:
  """Converts images in [-1, 1] to uint8, 0..255."""
  return jnp.round((jnp.clip(image, -1.0, 1.0) + 1.0) * 127.5).astype(jnp.uint8)


def as_stored(image: Array) -> Array:
  """Converts what a generator makes to the form of its data.

  That is uint8 for images in [-1, 1]; points are returned unchanged.
  """
  return image if image.shape[-3:] == POINT else to_uint8(image)
