"""The error for input that the user can fix."""

from collections.abc import Iterable, Sequence
from typing import Any


class InputError(ValueError):
  """Bad input; the message names the thing and the remedy, in one line.

  The commands print it without a traceback and exit with status 2.
  """


def choice(kind: str, name: Any, choices: Iterable) -> InputError:
  """Returns the error for a name that is not in a table."""
  known = ', '.join(map(str, sorted(choices)))
  return InputError(f'unknown {kind} {name!r}; choose one of: {known}')


def check_choice(kind: str, name: Any, choices: Iterable) -> None:
  """Raises InputError for a name that is not in a table."""
  if name not in choices:
    raise choice(kind, name, choices)


def enumeration(items: Sequence[str]) -> str:
  """Formats the first five items of a list, and how many more there are."""
  more = len(items) - 5
  return ', '.join(items[:5]) + (f' and {more} more' if more > 0 else '')
