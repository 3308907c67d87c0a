"""Files that are whole or absent, never half; and folders that users name."""

import contextlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO

from gan_jax.errors import InputError


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[BinaryIO]:
  """A new file beside `path`, which takes its place if all goes well.

  Its name is its own, so that nothing that is there already is written to.
  """
  temporary = path.with_name(f'.{uuid.uuid4().hex}.tmp')
  try:
    with temporary.open('xb') as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file in one atomic step."""
  with replacing(path) as file:
    file.write(text.encode())


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a JSON file in one atomic step."""
  write_text(path, json.dumps(value, indent=2) + '\n')


def expand(folder: str) -> pathlib.Path:
  """A path with a leading ~ or ~user replaced; InputError for no such user."""
  try:
    return pathlib.Path(folder).expanduser()
  except RuntimeError:
    raise InputError(
      f'{folder} names a home folder that does not exist; write the path out'
    ) from None
