"""Errors of the operating system, each with its path, cause and remedy.

What libraries in C++ report in a text of their own becomes an OSError here, so
that a full disk is one error, whoever met it.
"""

import contextlib
import errno
import os
import pathlib
import re
from collections.abc import Iterator

# What to do, by the name of the error. All others speak for themselves.
_REMEDIES = {
  'ENOSPC': 'free some space',
  'EDQUOT': 'delete files, or have the quota raised',
  'EFBIG': 'raise the limit of file sizes (ulimit -f)',
  'EMFILE': 'raise the limit of open files (ulimit -n)',
  'ENFILE': 'close programs: the whole machine has too many open files',
  'EACCES': 'change its permissions, or name another path',
  'EPERM': 'change its permissions, or name another path',
  'EROFS': 'name a path that can be written',
  'EIO': 'the disk or the connection to it fails; try again when it is back',
  'ESTALE': 'the network file system lost it; mount it again, and try again',
  'ELOOP': 'its symbolic links lead in a circle; mend them',
  'ENAMETOOLONG': 'choose a shorter name',
}
_BRIEF = 300  # characters


def brief(text: object) -> str:
  """The beginning of a message, on one line."""
  line = ' '.join(str(text).split())
  return line if len(line) <= _BRIEF else f'{line[: _BRIEF - 4]} ...'


def explain(error: OSError) -> str:
  """Returns path, cause and remedy in one line."""
  where = error.filename2 or error.filename
  cause = error.strerror or brief(error) or type(error).__name__
  remedy = _REMEDIES.get(errno.errorcode.get(error.errno or 0, ''))
  parts = [f'{os.fsdecode(where)}: ' if where else '', cause]
  return ''.join(parts + ([f'; {remedy}'] if remedy else []))


def behind(error: BaseException, path: str | os.PathLike) -> OSError | None:
  """The error of the operating system that another one tells of, if any.

  Args:
    error: it, or what tensorstore, the C++ below orbax, makes of one.
    path: what it is about, unless it says so itself.
  """
  if isinstance(error, OSError):
    if error.filename is None:
      error.filename = str(path)
    return error
  match = re.search(r"os_error_code='(\d+)'", str(error))
  if match is None:
    return None
  return OSError(int(match[1]), os.strerror(int(match[1])), str(path))


@contextlib.contextmanager
def at(path: str | os.PathLike) -> Iterator[None]:
  """Gives operating-system errors in its body this path if they have none.

  A file that is open reports a full disk without its own name.
  """
  try:
    yield
  except Exception as error:
    found = behind(error, path)
    if found is None or found is error:
      raise
    raise found from error


def read_through(folder: pathlib.Path) -> None:
  """Reads every byte of a folder's files and keeps none.

  Raises:
    OSError: a file, or a folder in it, cannot be read; it is named.
  """

  def stop(error):
    raise error

  for parent, _, names in os.walk(folder, onerror=stop):
    for name in names:
      path = pathlib.Path(parent, name)
      with at(path), path.open('rb') as file:
        while file.read(1 << 24):
          pass
