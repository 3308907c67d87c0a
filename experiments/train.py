"""Trains a GAN from a config file; run it again to go on where it was.

python -m experiments.train --config=configs/digits_ssgan.py --workdir=runs/a
"""

from absl import flags

from gan_jax.commands import cli

_CONFIG = cli.define_config()
_WORKDIR = cli.define_path(
  'workdir', None, 'Run directory: made, or resumed if it is of this config.'
)
_DRY_RUN = flags.DEFINE_bool(
  'dry_run', False, 'Print the config, the networks and the plan; do nothing.'
)
_COORDINATOR_ADDRESS = flags.DEFINE_string(
  'coordinator_address', None, 'Of several processes that train together: '
  'HOST:PORT of the first one. Under Slurm and on TPU slices it is found.'
)  # fmt: skip
_NUM_PROCESSES = flags.DEFINE_integer(
  'num_processes', None,
  'How many they are; 1 alone trains without others, under Slurm too.',
  lower_bound=1,
)  # fmt: skip
_PROCESS_ID = flags.DEFINE_integer(
  'process_id', None, 'Which one this is, from 0.', lower_bound=0
)


def main():
  config = cli.config_of(_CONFIG)
  from gan_jax.devices import hosts

  hosts.initialize(
    _COORDINATOR_ADDRESS.value, _NUM_PROCESSES.value, _PROCESS_ID.value
  )
  from gan_jax.training import describe, loop

  if _DRY_RUN.value:
    print(describe.describe(config))
    return
  if not _WORKDIR.value:
    raise cli.InputError('give --workdir=DIR, where the run is to be kept')
  result = loop.train(config, _WORKDIR.value)
  if result is None:
    return  # the first process says it
  found = f'{result["steps"]} steps done'
  if 'test_error' in result:
    found = (
      f'test error {result["test_error"]:.2%} of {result["num_test"]} images, '
      f'from {result["num_labels"]} labels'
    )
  print(f'{found}; details in {_WORKDIR.value}/result.json')


if __name__ == '__main__':
  cli.run(main)
