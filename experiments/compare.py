"""Trains several configs over several label seeds and prints one table.

  python -m experiments.compare --label_seeds=0-9 --workdir=runs/digits \
    --configs=configs/digits_ssgan.py,configs/digits_supervised.py
"""

from absl import flags

from gan_jax.commands import cli

_CONFIGS = flags.DEFINE_list(
  'configs', None, 'Config files; the first is compared with the others.',
  required=True,
)  # fmt: skip
_LABEL_SEEDS = flags.DEFINE_string(
  'label_seeds', '0', 'Which subsets of labels, e.g. 0-9 or 1,2,5.'
)
_WORKDIR = cli.define_path(
  'workdir', None, 'Where the run directories go.', required=True
)


def main():
  seeds = cli.parse_range('label_seeds', _LABEL_SEEDS.value)
  from gan_jax.sweep.comparison import compare

  _, table = compare(_CONFIGS.value, seeds, _WORKDIR.value)
  print(f'\n{table}')
  print(f'pictures: {_WORKDIR.value}/*/samples/; table: '
        f'{_WORKDIR.value}/table.md')  # fmt: skip


if __name__ == '__main__':
  cli.run(main)
