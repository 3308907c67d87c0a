"""Checks that data fit into memory, before they are allocated."""

import os
import pathlib

from gan_jax.core.errors import InputError

_CGROUP = pathlib.Path('/sys/fs/cgroup/memory.max')  # a container's limit


def host_bytes() -> int:
  """Returns the memory of this machine, or the limit of its container."""
  total = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  try:
    return min(total, int(_CGROUP.read_text()))
  except (OSError, ValueError):  # no such file, or it says 'max'
    return total


def check(what: str, num_bytes: int, limit: int, remedy: str) -> None:
  """Raises InputError if something does not fit into memory.

  Args:
    what: the name of the thing, with which the message begins.
    num_bytes: its size.
    limit: the size of the memory.
    remedy: what to change.
  """
  if num_bytes > limit:
    raise InputError(
      f'{what} would take {num_bytes / 2**30:,.1f} GiB of memory, but there '
      f'are only {limit / 2**30:,.1f}; {remedy}'
    )
