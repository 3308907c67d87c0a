"""Writes the report of a run, or of several side by side, as one HTML file.

gan-jax report runs/a
gan-jax report runs/a runs/b --output=compare.html
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax report', __doc__, define, run, argv, positional=True)


def define(values: cli.Flags) -> None:
  flags.DEFINE_list(
    'workdir',
    [],
    'Comma-separated run directories; they can also be given without a flag.',
    flag_values=values,
  )
  cli.define_path(
    values,
    'output',
    'HTML file to write; default for a single run: its report.html.',
  )
  flags.DEFINE_bool(
    'insights',
    True,
    'Show samples, misclassified images or translations of the newest '
    'checkpoint; for a single run only, and it needs the data.',
    flag_values=values,
  )
  cli.define_data_dir(values)


def run(values: cli.Flags, *run_dirs: str) -> int | None:
  workdirs = [*values.workdir, *run_dirs]
  if not workdirs:
    raise cli.InputError('name a run directory: gan-jax report RUN_DIR')
  several = len(workdirs) > 1
  if several and not values['output'].present:
    raise cli.InputError('for several runs, give --output=FILE.html')
  if values['data_dir'].present and (several or not values.insights):
    raise cli.InputError('--data_dir is for the insights of one run only')
  output = pathlib.Path(
    values.output or pathlib.Path(workdirs[0]) / 'report.html'
  )
  if output.suffix.lower() != '.html':
    raise cli.InputError(f'--output={output}: want a name that ends in .html')
  from gan_jax.reporting import run_report

  if several:
    run_report.write_comparison(workdirs, output)
  else:
    run_report.write_report(
      workdirs[0],
      output,
      look=values.insights,
      data_dir=values.data_dir,
    )
  print(output)
