"""The persistent compilation cache: later starts do not compile again."""

import contextlib
import hashlib
import os
import pathlib
import re
import warnings
from collections.abc import Iterator

import jax

from gan_jax.core import machine

_OF_CACHE = re.compile('Error (reading|writing) persistent compilation cache')


def enable() -> None:
  """Sets jax's compilation cache to the user's cache folder, unless it is set.

  `JAX_COMPILATION_CACHE_DIR` names another folder, and
  `JAX_ENABLE_COMPILATION_CACHE=false` keeps none. Programs that take under a
  second to compile are not kept. Each jaxlib and kind of processor has a folder
  of its own: a home directory may be shared by several machines, and what is
  compiled for one may not run on another.
  """
  if jax.config.jax_compilation_cache_dir:
    return
  folder = _folder()
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError:
    return  # a home that cannot be written: no cache, as without this
  if os.access(folder, os.W_OK):
    jax.config.update('jax_compilation_cache_dir', str(folder))


@contextlib.contextmanager
def mended() -> Iterator[None]:
  """Silences and mends entries of the cache that cannot be read or written.

  jax warns and compiles. A process that is killed, or a full disk, leaves half
  a file, which jax would never replace: then the folder is emptied, if it is
  the one that `enable` chose.
  """
  with warnings.catch_warnings():
    show = warnings.showwarning

    def answer(message, *args, **kwargs):
      if not _OF_CACHE.match(str(message)):
        show(message, *args, **kwargs)
      elif jax.config.jax_compilation_cache_dir == str(_folder()):
        for entry in _folder().glob('*-cache'):
          with contextlib.suppress(OSError):
            entry.unlink()

    warnings.showwarning = answer
    yield


def in_use() -> bool:
  """Returns whether compiled programs are kept for later starts."""
  return bool(
    jax.config.jax_enable_compilation_cache
    and jax.config.jax_compilation_cache_dir
  )


def _folder() -> pathlib.Path:
  home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  kind = f'{machine.processor()} {machine.instructions()}'
  digest = hashlib.sha256(kind.encode()).hexdigest()[:8]
  return pathlib.Path(home, 'gan_jax', f'jax-{jax.__version__}-{digest}')
