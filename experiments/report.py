"""Writes the report of a run, or of several side by side, as one HTML file.

python -m experiments.report --workdir=runs/a
python -m experiments.report --workdir=runs/a,runs/b --output=compare.html
"""

import pathlib

from absl import flags

from gan_jax import cli

_WORKDIR = flags.DEFINE_list(
  'workdir', None, 'Run directory, or several: a,b,c.', required=True
)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'HTML file; of one run, report.html in it by default.'
)
_INSIGHTS = flags.DEFINE_bool(
  'insights', True, 'Look at samples, mistakes or translations of the newest '
  'checkpoint of a single run; it takes the data.',
)  # fmt: skip
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where the data are now, if not where the config says.'
)


def main():
  several = len(_WORKDIR.value) > 1
  if several and not _OUTPUT.present:
    raise cli.InputError('of several runs, name the file: --output=FILE.html')
  if _DATA_DIR.present and (several or not _INSIGHTS.value):
    raise cli.InputError('--data_dir is of use for insights of one run only')
  output = pathlib.Path(
    _OUTPUT.value or pathlib.Path(_WORKDIR.value[0]) / 'report.html'
  )
  if output.suffix.lower() != '.html':
    raise cli.InputError(f'--output={output}: want a name that ends in .html')
  from gan_jax.training import run_report

  if several:
    run_report.write_comparison(_WORKDIR.value, output)
  else:
    run_report.write_report(
      _WORKDIR.value[0],
      output,
      look=_INSIGHTS.value,
      data_dir=_DATA_DIR.value,
    )
  print(output)


if __name__ == '__main__':
  cli.run(main)
