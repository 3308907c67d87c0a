"""Trains a config with many seeds and values, and tabulates the results.

  gan-jax sweep --config=configs/mnist_ssgan.py --seeds=0-9 \
    --vary=data.num_labels=50,100 --workdir=runs/sweep

Each combination of values and seeds gets a run directory in --workdir, and
table.md and table.csv there hold the means over the seeds. Run the command
again to resume an interrupted sweep; finished runs are not repeated. The exit
status is 1 if a run failed. --plan prints the hours that a sweep would take.
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
    'Seeds, e.g. 0-9 or 1,2,5; each also selects the labelled subset. Default: '
    '0, or the seeds of --sweep.',
    flag_values=values,
  )
  flags.DEFINE_multi_string(
    'vary',
    [],
    'Config key and its values, e.g. --vary=data.num_labels=50,100; tuples in '
    'parentheses. Repeat the flag to vary several keys.',
    flag_values=values,
  )
  cli.define_path(
    values,
    'sweep',
    'TOML file that describes a whole sweep, e.g. '
    'configs/mnist_ssgan_sweep.toml; --seeds and --vary then select a part of '
    'it.',
  )
  cli.define_path(
    values,
    'workdir',
    'Folder for the run directories and the tables; required unless --plan.',
  )
  flags.DEFINE_bool(
    'plan',
    False,
    'Time 200 steps of each combination, print a table of hours, and exit.',
    flag_values=values,
  )
  flags.DEFINE_float(
    'budget_hours',
    None,
    'With --plan: mark the runs that do not fit, from the first on, as cut.',
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_enum(
    'mode',
    'auto',
    ['auto', 'turn', 'vmap'],
    'turn: train one run after the other. vmap: train all seeds of a '
    'combination in one program, equal to the single runs up to rounding. '
    'auto: vmap for networks without convolutions on one device, else turn, '
    'because a CPU runs convolutions vmapped over weights as slow grouped '
    'ones.',
    flag_values=values,
  )


def run(values: cli.Flags) -> int | None:
  config = cli.config_of(values)
  seeds = values.seeds and cli.parse_range('seeds', values.seeds)
  from gan_jax.sweep.plan import parse_vary, read_protocol
  from gan_jax.sweep.run import estimate_hours, sweep

  protocol = read_protocol(values.sweep) if values.sweep else None
  if seeds is None and protocol is None:
    seeds = [0]
  vary = parse_vary(config, values.vary, protocol and protocol.arms)
  asked = {'seeds': seeds, 'vary': vary, 'protocol': protocol}
  if values.plan:
    print(estimate_hours(config, **asked, budget=values.budget_hours), end='')
    return 0
  for wrong, message in (
    (values['budget_hours'].present, '--budget_hours goes with --plan'),
    (
      values.workdir is None,
      '--workdir is missing: name a folder of runs',
    ),
  ):
    if wrong:
      raise cli.InputError(message)
  repeated = ('--seeds=', '--vary=')
  kept = [x for x in values.argv[1:] if not x.startswith(repeated)]
  result = sweep(
    config,
    values.workdir,
    **asked,
    mode=values.mode,
    command=shlex.join(['gan-jax', 'sweep', *kept]),
  )
  print(f'\n{result.table}\nalso in {values.workdir}/table.csv')
  return 1 if result.failed else 0
