"""Operating-system errors, with path, cause and remedy.

Errors that C++ libraries report as text become an OSError here, so that a full
disk is the same error wherever it was met.
"""

import contextlib
import errno
import os
import pathlib
import re
from collections.abc import Iterator

# Remedies by the name of the error. All others speak for themselves.
_REMEDIES = {
  'ENOSPC': 'free some space',
  'EDQUOT': 'delete files, or ask for a larger quota',
  'EFBIG': 'raise the limit on file sizes (ulimit -f)',
  'EMFILE': 'raise the limit on open files (ulimit -n)',
  'ENFILE': 'close programs: the whole machine has too many open files',
  'EACCES': 'change its permissions, or name another path',
  'EPERM': 'change its permissions, or name another path',
  'EROFS': 'name a path that can be written',
  'EIO': 'the disk or the connection to it failed; try again when it is back',
  'ESTALE': 'the network file system lost it; mount it again, and try again',
  'ELOOP': 'its symbolic links form a loop; fix them',
  'ENAMETOOLONG': 'choose a shorter name',
}
_BRIEF = 300  # characters


def brief(text: object) -> str:
  """Truncates a message and puts it on one line."""
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
  """Returns the operating-system error behind an exception, if any.

  Args:
    error: an OSError, or an error of tensorstore, the C++ library below orbax,
      whose text contains one's number.
    path: the path that the error is about, unless it names one itself.
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
  """Adds this path to operating-system errors in its body that have none.

  For example, a full disk is reported without the name of the open file.
  """
  try:
    yield
  except Exception as error:
    found = behind(error, path)
    if found is None or found is error:
      raise
    raise found from error


def read_through(folder: pathlib.Path) -> None:
  """Reads every byte of a folder's files and discards it.

  Raises:
    OSError: a file or a sub-folder cannot be read; the error names it.
  """

  def stop(error):
    raise error

  for parent, _, names in os.walk(folder, onerror=stop):
    for name in names:
      path = pathlib.Path(parent, name)
      with at(path), path.open('rb') as file:
        while file.read(1 << 24):
          pass
