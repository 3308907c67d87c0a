"""Trains on made-up data, for tests that kill or starve a process.

python -m tests.train --config=tests/toy.py --workdir=DIR
"""

from absl import flags

from gan_jax.commands import cli
from gan_jax.sweep.run import sweep
from gan_jax.systems import SYSTEMS
from gan_jax.training import loop
from tests import kills, made_up, toy

_CONFIG = cli.define_config()
_WORKDIR = cli.define_path('workdir', None, 'Run directory.', required=True)
_KILL = flags.DEFINE_string(
  'kill', None, 'PHASE,SEED: end by SIGKILL in that phase; see tests/kills.py.'
)
_SEEDS = flags.DEFINE_string(
  'seeds', None, 'Instead of one run, a sweep over these, in turn.'
)


def main():
  config = cli.config_of(_CONFIG)
  dataset = made_up.for_config(config)
  if _SEEDS.value is not None:
    seeds = cli.parse_range('seeds', _SEEDS.value)
    sweep(config, _WORKDIR.value, seeds=seeds, mode='turn', dataset=dataset)
    return
  if _KILL.value is not None:
    phase, seed = _KILL.value.split(',')
    kills.arm(phase, int(seed), _WORKDIR.value)
  loop.train(config, _WORKDIR.value, dataset=dataset)


if __name__ == '__main__':
  SYSTEMS['toy'] = toy
  cli.run(main)
