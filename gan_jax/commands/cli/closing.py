"""Closing lines of a training: where its pictures are, and what to do next."""

import os
import pathlib
import shlex
import shutil
import sys

from gan_jax.commands.cli.call import PROGRAM
from gan_jax.core.errors import InputError


def closing_lines(workdir: str | os.PathLike) -> str:
  """Returns the paths of a finished run's pictures and two commands to try.

  Writes the run's report if the training did not.
  """
  from gan_jax.reporting import run_report
  from gan_jax.runs import restore

  path = pathlib.Path(workdir)
  report = path / run_report.REPORT
  found = f'report: {report}'
  if not report.exists():
    try:
      run_report.write_report(path, report, look=False)
    except InputError:  # the run is shorter than report_every_steps
      found = 'no report was due'
  *_, system = restore.open_system(path)
  quoted, program = shlex.quote(str(path)), _program()
  commands = [(f'report --workdir={quoted}', 'looks closer')]
  if system.sampler is not None:
    output = shlex.quote(str(path / 'more.png'))
    sample = f'sample --workdir={quoted} --output={output}'
    commands.append((sample, 'draws more samples'))
  else:
    commands.append((f'evaluate --workdir={quoted}', 'scores it'))
  width = max(len(command) for command, _ in commands)
  return '\n'.join([
    f'{found}; pictures: {path / "samples"}/',
    'next:',
    *(f'  {program} {x:{width}}   # {what}' for x, what in commands),
  ])  # fmt: skip


def _program() -> str:
  """Returns the command that calls this environment's gan-jax."""
  if shutil.which(PROGRAM):
    return PROGRAM
  path = pathlib.Path(sys.executable).parent / PROGRAM
  if not path.exists():
    return 'python -m gan_jax'
  return (
    os.path.relpath(path) if path.is_relative_to(os.getcwd()) else str(path)
  )
