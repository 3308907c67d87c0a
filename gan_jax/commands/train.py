"""Trains a GAN from a config file; run it again to go on where it was.

  gan-jax train --config=configs/digits_ssgan.py --workdir=runs/a
  gan-jax train --workdir=runs/a                 goes on, by its own config
  gan-jax train --config=runs/a --workdir=runs/b    the same once more
  gan-jax train --config=FILE --init_from=runs/a --workdir=runs/c    fine-tunes

`gan-jax config SYSTEM` lists the keys of a config, as docs/config.md does.
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
    argv: see there.
    writers: `gan_jax.runs.metrics_log.Writer`s of a launcher of one's own.
  """
  do = functools.partial(run, writers=writers)
  return cli.call('gan-jax train', __doc__, define, do, argv)


def define(values: cli.Flags) -> None:
  cli.define_config(values)
  cli.define_path(
    values,
    'workdir',
    'Run directory: made, or resumed if it is of this config. Without '
    '--config, resumed with its own.',
  )
  flags.DEFINE_string(
    'init_from',
    None,
    'Start a new run with the parameters of another: RUN[@latest|best|STEP]'
    '[:generator|discriminator|all][,ema][,optimizer], e.g. '
    'runs/a@best:generator,ema. What does not fit by path and shape is made '
    'anew, and listed. The same as --config.init.source.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'init_rename',
    None,
    'What paths in that run become here: OLD=NEW;OLD=NEW, regular expressions. '
    'The same as --config.init.rename.',
    flag_values=values,
  )
  flags.DEFINE_bool(
    'dry_run',
    False,
    'Print the config, the networks and the plan; do nothing.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'profile_steps',
    None,
    'Write a profiler trace of these steps, e.g. 10-15, to profile/ in the run '
    'directory, for TensorBoard and Perfetto.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'coordinator_address',
    None,
    'Of several processes that train together: '
    'HOST:PORT of the first one. Under Slurm and on TPU slices it is found.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'num_processes',
    None,
    'How many they are; 1 alone trains without others, under Slurm too.',
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_integer(
    'process_id',
    None,
    'Which one this is, from 0.',
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
      config.init.sha256 = None  # of what another command line took
  from gan_jax.devices import hosts

  hosts.initialize(
    values.coordinator_address, values.num_processes, values.process_id
  )
  from gan_jax.training import describe, loop, profile

  if values.dry_run:
    print(describe.describe(config, values.workdir))
    return
  if not values.workdir:
    raise cli.InputError('give --workdir=DIR, where the run is to be kept')
  steps = None
  if values.profile_steps:
    folder = pathlib.Path(values.workdir) / 'profile'
    steps = profile.parse_steps(values.profile_steps, folder)
  result = loop.train(config, values.workdir, writers=writers, profile=steps)
  if result is None:
    return  # the first process says it
  found = f'{result["steps"]} steps done'
  if 'test_error' in result:
    found = (
      f'test error {result["test_error"]:.2%} of {result["num_test"]} images, '
      f'from {result["num_labels"]} labels'
    )
  print(f'{found}; details in {values.workdir}/result.json')
  print(cli.closing_lines(values.workdir))
