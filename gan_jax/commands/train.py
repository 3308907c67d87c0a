"""Trains a GAN from a config file, or resumes an interrupted run.

  gan-jax train --config=configs/digits_ssgan.py --workdir=runs/a
  gan-jax train --workdir=runs/a                    resumes with its own config
  gan-jax train --config=runs/a --workdir=runs/b    repeats the run
  gan-jax train --config=FILE --init_from=runs/a --workdir=runs/c    fine-tunes

The config keys are listed by `gan-jax config SYSTEM` and in docs/config.md.
"""

import functools
import pathlib
from collections.abc import Callable, Sequence

from absl import flags

from gan_jax.commands import cli


def main(
  argv: Sequence[str] | None = None, writers: Sequence[Callable] = ()
) -> int:
  """Runs the command; see `cli.call`.

  Args:
    argv: the arguments; None: those of this process.
    writers: additional `gan_jax.runs.metrics_log.Writer`s, for a launcher of
      your own.
  """
  do = functools.partial(run, writers=writers)
  return cli.call('gan-jax train', __doc__, define, do, argv)


def define(values: cli.Flags) -> None:
  cli.define_config(values)
  cli.define_path(
    values,
    'workdir',
    'Run directory: created, or resumed if it has the same config. Without '
    '--config, the run is resumed with its own.',
  )
  flags.DEFINE_string(
    'init_from',
    None,
    'Start a new run from the parameters of another: RUN[@latest|best|STEP]'
    '[:generator|discriminator|all][,ema][,optimizer], e.g. '
    'runs/a@best:generator,ema. Arrays whose path or shape does not match are '
    'initialised afresh, and listed. The same as --config.init.source.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'init_rename',
    None,
    'Rename parameter paths of that run: OLD=NEW;OLD=NEW, where OLD is a '
    'regular expression. The same as --config.init.rename.',
    flag_values=values,
  )
  flags.DEFINE_bool(
    'dry_run',
    False,
    'Print the config, the networks and the plan, and exit.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'profile_steps',
    None,
    'Steps to profile, e.g. 10-15; the trace goes to profile/ in the run '
    'directory, for TensorBoard and Perfetto.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'coordinator_address',
    None,
    'HOST:PORT of the first process, if several train together; detected under '
    'Slurm and on TPU slices.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'num_processes',
    None,
    'Number of processes that train together; 1: this one trains alone, even '
    'under Slurm.',
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_integer(
    'process_id',
    None,
    'Index of this process, from 0.',
    lower_bound=0,
    flag_values=values,
  )


def run(values: cli.Flags, *, writers: Sequence[Callable] = ()) -> int | None:
  config = cli.config_of(values, run=values.workdir)
  for key, value in (
    ('source', values.init_from),
    ('rename', values.init_rename),
  ):
    if value is not None:
      config.init[key] = value
      config.init.sha256 = None  # that of an earlier command line's source
  from gan_jax.devices import hosts

  hosts.initialize(
    values.coordinator_address, values.num_processes, values.process_id
  )
  from gan_jax.training import describe, loop, profile

  if values.dry_run:
    print(describe.describe(config, values.workdir))
    return
  if not values.workdir:
    raise cli.InputError('give --workdir=DIR, the folder of the run')
  steps = None
  if values.profile_steps:
    folder = pathlib.Path(values.workdir) / 'profile'
    steps = profile.parse_steps(values.profile_steps, folder)
  result = loop.train(config, values.workdir, writers=writers, profile=steps)
  if result is None:
    return  # the first process prints the result
  found = f'{result["steps"]} steps done'
  if 'test_error' in result:
    found = (
      f'test error {result["test_error"]:.2%} of {result["num_test"]} images, '
      f'from {result["num_labels"]} labels'
    )
  print(f'{found}; details in {values.workdir}/result.json')
  print(cli.closing_lines(values.workdir))
