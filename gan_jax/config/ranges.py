"""Range checks of config values: integers, reals, choices, tuples."""

import math
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class Check(NamedTuple):
  """Range check: returns None for a valid value, else the requirement."""

  accepts: Callable[[Any], bool]
  wish: str  # e.g. 'an integer >= 1'
  kind: type  # of the values that are not None

  def __call__(self, value: Any) -> str | None:
    return None if self.accepts(value) else self.wish


def _is_integer(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool)


def integer(low: int, high: int | None = None) -> Check:
  """Accepts an integer in low..high, or any integer >= low."""

  def accepts(value):
    return _is_integer(value) and low <= value <= (
      value if high is None else high
    )

  wish = f'an integer >= {low}' if high is None else f'an integer {low}..{high}'
  return Check(accepts, wish, int)


def real(
  low: float, high: float = math.inf, *, exclusive: bool = False
) -> Check:
  """Accepts a finite number in [low, high], or [low, high) if `exclusive`."""

  def accepts(value):
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Not math.isfinite, which raises for very large integers.
    good = good and abs(value) <= sys.float_info.max and low <= value <= high
    return good and not (exclusive and value == high)

  wish = f'a finite number in [{low}, {high}{")" if exclusive else "]"}'
  if high == math.inf:
    wish = f'a finite number >= {low}'
  return Check(accepts, wish, float)


def one_of(*choices: str | int) -> Check:
  """Accepts one of the given strings or numbers."""

  def accepts(value):
    return value in choices and not isinstance(value, bool)

  return Check(
    accepts, f'one of: {", ".join(map(str, choices))}', type(choices[0])
  )


def integers(
  low: int, high: int | None = None, *, length: int | None = None
) -> Check:
  """Accepts a non-empty tuple of integers, of a fixed length if given."""
  item = integer(low, high)

  def accepts(value):
    good = isinstance(value, tuple) and len(value) == (length or len(value))
    return good and len(value) > 0 and all(map(item.accepts, value))

  size = '' if length is None else f'{length} '
  bounds = f'>= {low}' if high is None else f'{low}..{high}'
  return Check(accepts, f'a tuple of {size}integers {bounds}', tuple)


def _is_size(value: Any) -> bool:
  sides = value if isinstance(value, tuple) and len(value) == 2 else (value,)
  return all(_is_integer(side) and side >= 1 for side in sides)


size = Check(_is_size, 'an integer >= 1, or (height, width)', object)
boolean = Check(lambda value: isinstance(value, bool), 'True or False', bool)
string = Check(
  lambda value: isinstance(value, str) and value != '',
  'a non-empty string',
  str,
)


def _is_pattern(value: Any) -> bool:
  try:
    re.compile(value)
  except (re.error, TypeError, OverflowError, RecursionError):
    return False
  return value != ''


pattern = Check(_is_pattern, 'a regular expression', str)


def some_of(*choices: str) -> Check:
  """Accepts distinct words among the given ones, separated by commas."""

  def accepts(value):
    words = value.split(',') if isinstance(value, str) else [None]
    return set(words) <= set(choices) and len(set(words)) == len(words)

  wish = f'some of {",".join(choices)}, each once, with commas'
  return Check(accepts, wish, str)


def optional(check: Check) -> Check:
  """Accepts None, or a value that `check` accepts."""

  def accepts(value):
    return value is None or check.accepts(value)

  return Check(accepts, f'None or {check.wish}', check.kind)
