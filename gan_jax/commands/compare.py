"""Trains several configs over several label seeds and prints one table.

  gan-jax compare --label_seeds=0-9 --workdir=runs/digits \
    --configs=configs/digits_ssgan.py,configs/digits_supervised.py
"""

from collections.abc import Sequence

from absl import flags

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax compare', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  flags.DEFINE_list(
    'configs',
    None,
    'Comma-separated config files; the first one is compared with each of the '
    'others.',
    required=True,
    flag_values=values,
  )
  flags.DEFINE_string(
    'label_seeds',
    '0',
    'Seeds of the labelled subsets, e.g. 0-9 or 1,2,5; each config is trained '
    'once with each.',
    flag_values=values,
  )
  cli.define_path(
    values, 'workdir', 'Folder for the run directories.', required=True
  )


def run(values: cli.Flags) -> int | None:
  seeds = cli.parse_range('label_seeds', values.label_seeds)
  from gan_jax.sweep.comparison import compare

  result = compare(values.configs, seeds, values.workdir)
  print(f'\n{result.table}')
  print(f'pictures: {values.workdir}/*/samples/; table: '
        f'{values.workdir}/table.md')  # fmt: skip
  if not result.failed:
    print(cli.closing_lines(result.workdirs[0]))
  return 1 if result.failed else 0
