"""Trains a config with many seeds and values, and makes a table of it.

  gan-jax sweep --config=configs/mnist_ssgan.py --seeds=0-9 \
    --vary=data.num_labels=50,100 --workdir=runs/sweep

Every combination of the values and seeds is a run directory in DIR, and
DIR/table.md and DIR/table.csv have the means over the seeds. Run it again to
go on where it was; finished runs are not repeated. It exits with 1 if a run
failed.
"""

import shlex
from collections.abc import Sequence

from absl import flags

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax sweep', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  cli.define_config(values)
  flags.DEFINE_string(
    'seeds',
    None,
    'Seeds, e.g. 0-9 or 1,2,5; each also chooses which labels are '
    'kept. Default: 0, or those of --sweep.',
    flag_values=values,
  )
  flags.DEFINE_multi_string(
    'vary',
    [],
    'Values of a config key, e.g. --vary=data.num_labels=50,100; '
    'tuples in parentheses. It may be given for several keys.',
    flag_values=values,
  )
  cli.define_path(
    values,
    'sweep',
    'A whole sweep as a TOML file, e.g. '
    'configs/mnist_ssgan_sweep.toml; --seeds and --vary then choose a part of '
    'it.',
  )
  cli.define_path(
    values,
    'workdir',
    'Where the run directories and the tables go.',
    required=True,
  )
  flags.DEFINE_enum(
    'mode',
    'auto',
    ['auto', 'turn', 'vmap'],
    'turn: one run after the other. vmap: all seeds of a combination in one '
    'program, which equals the single runs up to rounding. auto: vmap for '
    'networks without convolutions on one device, else turn: a CPU carries out '
    'convolutions with weights of several runs as slow grouped ones.',
    flag_values=values,
  )


def run(values: cli.Flags) -> int | None:
  config = cli.config_of(values)
  seeds = values.seeds and cli.parse_range('seeds', values.seeds)
  from gan_jax.sweep.plan import parse_vary, read_protocol
  from gan_jax.sweep.run import sweep

  protocol = read_protocol(values.sweep) if values.sweep else None
  if seeds is None and protocol is None:
    seeds = [0]
  repeated = ('--seeds=', '--vary=')
  kept = [x for x in values.argv[1:] if not x.startswith(repeated)]
  result = sweep(
    config,
    values.workdir,
    seeds=seeds,
    vary=parse_vary(config, values.vary),
    protocol=protocol,
    mode=values.mode,
    command=shlex.join(['gan-jax', 'sweep', *kept]),
  )
  print(f'\n{result.table}\nalso in {values.workdir}/table.csv')
  return 1 if result.failed else 0
