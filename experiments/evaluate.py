"""Prints scores of a run's newest checkpoint as JSON.

Of a system that classifies, the error; of one that generates, how much samples
differ and how near they are to training images, beside the data's own figures.

python -m experiments.evaluate --workdir=runs/a
"""

import json

from absl import flags

from gan_jax import cli

_WORKDIR = flags.DEFINE_string('workdir', None, 'Run directory.', required=True)
_SPLIT = flags.DEFINE_enum(
  'split', 'test', ['test', 'validation'], 'Which examples.'
)
_NUM_SAMPLES = flags.DEFINE_integer(
  'num_samples',
  500,
  'How many samples to score.',
  lower_bound=2,
  upper_bound=10**6,
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where the data are now, if not where the config says.'
)


def main():
  from gan_jax.training import restore

  result = restore.evaluate(
    _WORKDIR.value,
    split=_SPLIT.value,
    num_samples=_NUM_SAMPLES.value,
    data_dir=_DATA_DIR.value,
  )
  print(json.dumps(result))


if __name__ == '__main__':
  cli.run(main)
