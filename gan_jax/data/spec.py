"""What systems and data must know of each other."""

from typing import NamedTuple


class DataSpec(NamedTuple):
  """What a system needs to know of labelled images."""

  image_shape: tuple[int, int, int]  # H, W, C, after padding
  native_size: tuple[int, int]  # H, W before padding
  num_classes: int
  steps_per_epoch: int


class DomainSpec(NamedTuple):
  """What a system needs to know of images of two domains."""

  a_shape: tuple[int, int, int]  # H, W, C, of what a step sees
  b_shape: tuple[int, int, int]
  aligned: bool  # whether each image of a has its counterpart in b
  steps_per_epoch: int


class Stream(NamedTuple):
  """An endless, independently shuffled stream of training examples."""

  subset: str  # of labelled images 'all' or 'labelled'; of two domains 'a',
  # 'b', or 'ab' for pairs
  rows: int  # of the global batch, per step
