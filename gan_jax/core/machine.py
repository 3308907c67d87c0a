"""The processor's model and vector instructions."""

import pathlib
import platform


def processor() -> str:
  """The processor's model name where the system tells it."""
  return _cpuinfo('model name') or platform.processor()


def instructions() -> str | None:
  """The processor's vector instructions, by which XLA chooses its code.

  Its name may hide them, as in virtual machines.
  """
  flags = _cpuinfo('flags', 'Features')
  if flags is None:
    return None
  known = ('avx', 'fma', 'amx', 'sve', 'asimd')
  return ' '.join(sorted(x for x in flags.split() if x.startswith(known)))


def _cpuinfo(*names: str) -> str | None:
  """The first of these entries in Linux's /proc/cpuinfo."""
  info = pathlib.Path('/proc/cpuinfo')
  if info.is_file():
    for line in info.read_text().splitlines():
      if line.startswith(names):
        return line.partition(':')[2].strip()
  return None
