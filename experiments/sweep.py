"""Trains a config with many seeds and values, and makes a table of it.

  python -m experiments.sweep --config=configs/mnist_ssgan.py --seeds=0-9 \
    --vary=data.num_labels=50,100 --workdir=runs/sweep

Every combination of the values and seeds is a run directory in DIR, and
DIR/table.md and DIR/table.csv have the means over the seeds. Run it again to
go on where it was; finished runs are not repeated. It exits with 1 if a run
failed.
"""

import shlex
import sys

from absl import flags

from gan_jax.commands import cli

_CONFIG = cli.define_config()
_SEEDS = flags.DEFINE_string(
  'seeds', None, 'Seeds, e.g. 0-9 or 1,2,5; each also chooses which labels are '
  'kept. Default: 0, or those of --sweep.'
)  # fmt: skip
_VARY = flags.DEFINE_multi_string(
  'vary', [], 'Values of a config key, e.g. --vary=data.num_labels=50,100; '
  'tuples in parentheses. It may be given for several keys.'
)  # fmt: skip
_SWEEP = cli.define_path(
  'sweep', None, 'A whole sweep as a TOML file, e.g. '
  'configs/mnist_ssgan_sweep.toml; --seeds and --vary then choose a part of it.'
)  # fmt: skip
_WORKDIR = cli.define_path(
  'workdir', None, 'Where the run directories and the tables go.', required=True
)
_MODE = flags.DEFINE_enum(
  'mode', 'auto', ['auto', 'turn', 'vmap'],
  'turn: one run after the other. vmap: all seeds of a combination in one '
  'program, which equals the single runs up to rounding. auto: vmap for '
  'networks without convolutions on one device, else turn: a CPU carries out '
  'convolutions with weights of several runs as slow grouped ones.'
)  # fmt: skip


def main():
  config = cli.config_of(_CONFIG)
  seeds = _SEEDS.value and cli.parse_range('seeds', _SEEDS.value)
  from gan_jax.sweep.plan import parse_vary, read_protocol
  from gan_jax.sweep.run import sweep

  protocol = read_protocol(_SWEEP.value) if _SWEEP.value else None
  if seeds is None and protocol is None:
    seeds = [0]
  kept = [x for x in sys.argv[1:] if not x.startswith(('--seeds=', '--vary='))]
  result = sweep(
    config,
    _WORKDIR.value,
    seeds=seeds,
    vary=parse_vary(config, _VARY.value),
    protocol=protocol,
    mode=_MODE.value,
    command=shlex.join(['python', '-m', 'experiments.sweep', *kept]),
  )
  print(f'\n{result.table}\nalso in {_WORKDIR.value}/table.csv')
  return 1 if result.failed else 0


if __name__ == '__main__':
  cli.run(main)
