"""What systems and data must know of each other."""

from typing import NamedTuple


class DataSpec(NamedTuple):
  """What a system needs to know of the data."""

  image_shape: tuple[int, int, int]  # H, W, C, after padding
  native_size: tuple[int, int]  # H, W before padding
  num_classes: int
  steps_per_epoch: int


class Stream(NamedTuple):
  """An endless, independently shuffled stream of training examples."""

  subset: str  # 'all' or 'labelled'
  rows: int  # of the global batch, per step
