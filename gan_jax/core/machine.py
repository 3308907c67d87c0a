"""The processor's model and vector instructions."""

import pathlib
import platform


def processor() -> str:
  """Returns the processor's model name, or '' if the system hides it."""
  return _cpuinfo('model name') or platform.processor()


def instructions() -> str | None:
  """Returns the processor's vector instructions, which determine XLA's code.

  The model name may not tell them, e.g. in virtual machines.
  """
  flags = _cpuinfo('flags', 'Features')
  if flags is None:
    return None
  known = ('avx', 'fma', 'amx', 'sve', 'asimd')
  return ' '.join(sorted(x for x in flags.split() if x.startswith(known)))


def _cpuinfo(*names: str) -> str | None:
  """Returns the first of these entries in Linux's /proc/cpuinfo."""
  info = pathlib.Path('/proc/cpuinfo')
  if info.is_file():
    for line in info.read_text().splitlines():
      if line.startswith(names):
        return line.partition(':')[2].strip()
  return None
