"""Interface between systems and data: specs, streams, the data protocol."""

import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from gan_jax.config import Table

SPLITS = ('train', 'validation', 'test')
# Shape of a point in the plane, which takes the place of an image. Points are
# float32 in their own units; images are uint8 outside of networks.
POINT = (1, 1, 2)


class DataSpec(NamedTuple):
  """Shape, number of classes and epoch length of labelled images."""

  image_shape: tuple[int, int, int]  # H, W, C, after padding
  native_size: tuple[int, int]  # H, W before padding
  num_classes: int
  steps_per_epoch: int
  # Training images of each class; None in runs that do not record them.
  class_counts: tuple[int, ...] | None = None


class DomainSpec(NamedTuple):
  """Shapes, alignment and epoch length of images of two domains."""

  a_shape: tuple[int, int, int]  # H, W, C, after the crop
  b_shape: tuple[int, int, int]
  aligned: bool  # whether each image of a has its counterpart in b
  steps_per_epoch: int


def read_spec(
  kind: type[DataSpec] | type[DomainSpec], values: Mapping[str, Any]
) -> DataSpec | DomainSpec | None:
  """Builds a spec from its fields in JSON; None if they do not fit."""
  hints = typing.get_type_hints(kind)
  if values.keys() != hints.keys():
    return None
  read = {}
  for name, hint in hints.items():
    if name == 'class_counts':
      counts = values[name]
      if counts is not None and not (
        isinstance(counts, list)
        and all(type(n) is int and 0 <= n < 2**31 for n in counts)
      ):
        return None
      read[name] = None if counts is None else tuple(counts)
      continue
    value, parts = values[name], typing.get_args(hint)  # () if not a tuple
    items = value if parts and isinstance(value, list) else [value]
    if [*map(type, items)] != [*(parts or [hint])]:
      return None
    if hint is not bool and not all(0 < n < 2**31 for n in items):
      return None
    read[name] = tuple(items) if parts else value
  return kind(**read)


class Stream(NamedTuple):
  """An endless, independently shuffled stream of training examples."""

  subset: str  # 'all' or 'labelled' for labelled images; 'a', 'b', or 'ab' for
  # pairs, for two domains
  rows: int  # in the global batch, per step


class Data(Protocol):
  """Protocol of a system's `DATA`: a data set as a config describes it.

  `DATA(config.data, dataset=None, epoch_rows=None)` opens it; a `dataset`
  replaces the one that the config names.
  """

  OPTIONS: ClassVar[Table]  # the rows of its config keys
  SMOKE: ClassVar[Mapping[str, Any]]  # upper limits of sizes in a smoke run
  SPEC: ClassVar[type[DataSpec] | type[DomainSpec]]

  dataset: Any  # with the parts `train`, `validation` and `test`, and a `name`
  spec: DataSpec | DomainSpec
  num_train: int  # training images, in the larger domain

  def sampler(
    self,
    batch_spec: Mapping[str, Stream],
    seed: int,
    part: tuple[int, int] = (0, 1),
  ) -> Callable[[int], Mapping[str, Mapping[str, np.ndarray]]]:
    """Maps a step to the batch of that step, or to one of its parts."""

  def contents(self) -> Mapping[str, Any]:
    """Returns everything that results depend on, for a run to hash."""

  def __str__(self) -> str:
    """Describes the data set in one line."""


def split_sizes(data: Data) -> dict[str, list[int]]:
  """Numbers of images by split: one of labelled images, two of two domains."""
  splits = {name: getattr(data.dataset, name) for name in SPLITS}
  return {
    name: [len(x) for field, x in split._asdict().items() if field != 'label']
    for name, split in splits.items()
  }


def are_split_sizes(values: Any) -> bool:
  """Tells whether JSON gave back what `split_sizes` returns."""
  return (
    isinstance(values, dict)
    and values.keys() == set(SPLITS)
    and all(isinstance(sizes, list) for sizes in values.values())
    and all(type(n) is int for sizes in values.values() for n in sizes)
  )
