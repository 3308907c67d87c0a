"""Atomic file writes, and paths given by users."""

import contextlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO

from gan_jax.core import os_errors
from gan_jax.core.errors import InputError

_TEMPORARY = '.tmp'


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[BinaryIO]:
  """Opens a temporary file that replaces `path` if the body succeeds.

  It has a unique name in the same folder, so no existing file is overwritten
  before that.

  Raises:
    OSError: it cannot be written; the error names `path`.
  """
  temporary = path.with_name(f'.{uuid.uuid4().hex}{_TEMPORARY}')
  try:
    with os_errors.at(path):
      with temporary.open('xb') as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
      os.replace(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def remove_temporary(folder: pathlib.Path) -> None:
  """Removes temporary files that killed processes left in a folder.

  No other process may be writing there.
  """
  for path in folder.glob(f'.{"[0-9a-f]" * 32}{_TEMPORARY}'):
    path.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a text file atomically."""
  with replacing(path) as file:
    file.write(text.encode())


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a JSON file atomically."""
  write_text(path, json.dumps(value, indent=2) + '\n')


def expand(path: str | os.PathLike) -> pathlib.Path:
  """Expands a leading ~ or ~user of a path.

  Raises:
    InputError: there is no such user, or the path contains a NUL.
  """
  if '\0' in str(path):
    raise InputError(f'{str(path)!r} contains a NUL, which no file name can')
  try:
    return pathlib.Path(path).expanduser()
  except RuntimeError:
    raise InputError(
      f'{path} names a home folder that does not exist; write the path out'
    ) from None
