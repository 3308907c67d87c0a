"""Writes the report of a run, or of several side by side, as one HTML file.

python -m experiments.report runs/a
python -m experiments.report runs/a runs/b --output=compare.html
"""

import pathlib

from absl import flags

from gan_jax.commands import cli

_WORKDIR = flags.DEFINE_list(
  'workdir', [], 'Run directory, or several: a,b,c; or name them without flag.'
)
_OUTPUT = cli.define_path(
  'output', None, 'HTML file; of one run, report.html in it by default.'
)
_INSIGHTS = flags.DEFINE_bool(
  'insights', True, 'Look at samples, mistakes or translations of the newest '
  'checkpoint of a single run; it takes the data.',
)  # fmt: skip
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where the data are now, if not where the config says.'
)


def main(*run_dirs: str):
  workdirs = [*_WORKDIR.value, *run_dirs]
  if not workdirs:
    raise cli.InputError('name a run directory: experiments.report RUN_DIR')
  several = len(workdirs) > 1
  if several and not _OUTPUT.present:
    raise cli.InputError('of several runs, name the file: --output=FILE.html')
  if _DATA_DIR.present and (several or not _INSIGHTS.value):
    raise cli.InputError('--data_dir is of use for insights of one run only')
  output = pathlib.Path(
    _OUTPUT.value or pathlib.Path(workdirs[0]) / 'report.html'
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
      look=_INSIGHTS.value,
      data_dir=_DATA_DIR.value,
    )
  print(output)


if __name__ == '__main__':
  cli.run(main, positional=True)
