"""Trains on random data, for tests that kill or starve a process.

python -m tests.train --config=tests/toy.py --workdir=DIR
"""

from absl import flags

from gan_jax.commands import cli
from gan_jax.sweep.run import sweep
from gan_jax.systems import SYSTEMS
from gan_jax.training import loop
from tests import kills, made_up, toy


def main(argv=None):
  return cli.call('python -m tests.train', __doc__, define, run, argv)


def define(values):
  cli.define_config(values)
  cli.define_path(values, 'workdir', 'Run directory.', required=True)
  flags.DEFINE_string(
    'kill', None,
    'PHASE,SEED: end by SIGKILL in that phase; see tests/kills.py.',
    flag_values=values,
  )  # fmt: skip
  flags.DEFINE_string(
    'seeds', None, 'Instead of one run, a sweep over these, in turn.',
    flag_values=values,
  )  # fmt: skip


def run(values):
  config = cli.config_of(values)
  dataset = made_up.for_config(config)
  if values.seeds is not None:
    seeds = cli.parse_range('seeds', values.seeds)
    sweep(config, values.workdir, seeds=seeds, mode='turn', dataset=dataset)
    return
  if values.kill is not None:
    phase, seed = values.kill.split(',')
    kills.arm(phase, int(seed), values.workdir)
  loop.train(config, values.workdir, dataset=dataset)


if __name__ == '__main__':
  SYSTEMS['toy'] = toy
  cli.launch(main)
