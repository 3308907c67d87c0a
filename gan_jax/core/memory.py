"""Refusing what cannot fit into memory before it is made."""

import os
import pathlib

from gan_jax.core.errors import InputError

_CGROUP = pathlib.Path('/sys/fs/cgroup/memory.max')  # a container's limit


def host_bytes() -> int:
  """The memory of this machine, or of the container that this runs in."""
  total = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  try:
    return min(total, int(_CGROUP.read_text()))
  except (OSError, ValueError):  # there is none, or it says max
    return total


def check(what: str, num_bytes: int, limit: int, remedy: str) -> None:
  """Raises InputError for more bytes than a memory has.

  Args:
    what: takes them, as the message begins.
    num_bytes: how many it takes.
    limit: how many there are.
    remedy: what to change.
  """
  if num_bytes > limit:
    raise InputError(
      f'{what} would take {num_bytes / 2**30:,.1f} GiB of memory, where there '
      f'are {limit / 2**30:,.1f}; {remedy}'
    )
