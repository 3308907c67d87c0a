"""Persistent compilation cache, which saves later starts from recompiling."""

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
  `JAX_ENABLE_COMPILATION_CACHE=false` disables it. Programs that compile in
  under a second are not cached. Each jaxlib and kind of processor has its own
  folder: several machines may share a home directory, and a program compiled
  for one may not run on another.
  """
  if jax.config.jax_compilation_cache_dir:
    return
  folder = _folder()
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError:
    return  # the home directory is not writable: no cache
  if os.access(folder, os.W_OK):
    jax.config.update('jax_compilation_cache_dir', str(folder))


@contextlib.contextmanager
def mended() -> Iterator[None]:
  """Silences jax's cache errors, and clears a corrupt cache.

  On such an error jax warns and compiles. A killed process or a full disk
  leaves a truncated entry, which jax never replaces: the folder is then
  cleared, if it is the one that `enable` chose.
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
  """Tells whether compiled programs are cached for later starts."""
  return bool(
    jax.config.jax_enable_compilation_cache
    and jax.config.jax_compilation_cache_dir
  )


def _folder() -> pathlib.Path:
  home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  kind = f'{machine.processor()} {machine.instructions()}'
  digest = hashlib.sha256(kind.encode()).hexdigest()[:8]
  return pathlib.Path(home, 'gan_jax', f'jax-{jax.__version__}-{digest}')
