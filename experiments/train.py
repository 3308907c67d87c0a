"""Trains a GAN from a config file; run it again to go on where it was.

python -m experiments.train --config=configs/digits_ssgan.py --workdir=runs/a
"""

from absl import flags

from gan_jax import cli

_CONFIG = cli.define_config()
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Run directory: made, or resumed if it is of this config.'
)
_DRY_RUN = flags.DEFINE_bool(
  'dry_run', False, 'Print the config, the networks and the plan; do nothing.'
)


def main():
  config = cli.config_of(_CONFIG)
  from gan_jax.training import describe, loop

  if _DRY_RUN.value:
    print(describe.describe(config))
    return
  if not _WORKDIR.value:
    raise cli.InputError('give --workdir=DIR, where the run is to be kept')
  result = loop.train(config, _WORKDIR.value)
  found = f'{result["steps"]} steps done'
  if 'test_error' in result:
    found = (
      f'test error {result["test_error"]:.2%} of {result["num_test"]} images, '
      f'from {result["num_labels"]} labels'
    )
  print(f'{found}; details in {_WORKDIR.value}/result.json')


if __name__ == '__main__':
  cli.run(main)
