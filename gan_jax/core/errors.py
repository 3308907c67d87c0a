"""The error for input that the user can fix."""

from collections.abc import Sequence


class InputError(ValueError):
  """Bad input; the message names the thing and the remedy, in one line.

  The commands print it without a traceback and exit with status 2.
  """


def choice(kind: str, name: str, choices) -> InputError:
  """Returns the error for a name that is not in a table."""
  return InputError(
    f'unknown {kind} {name!r}; choose one of: {", ".join(sorted(choices))}'
  )


def enumeration(items: Sequence[str]) -> str:
  """Formats the first five items of a list, and how many more there are."""
  more = len(items) - 5
  return ', '.join(items[:5]) + (f' and {more} more' if more > 0 else '')
