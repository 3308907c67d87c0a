"""Prints the classification error of a run's newest checkpoint as JSON.

python -m experiments.evaluate --workdir=runs/a
"""

import json

from absl import flags

from gan_jax import cli

_WORKDIR = flags.DEFINE_string('workdir', None, 'Run directory.', required=True)
_SPLIT = flags.DEFINE_enum(
  'split', 'test', ['test', 'validation'], 'Which examples.'
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where the data are now, if not where the config says.'
)


def main():
  from gan_jax.training import restore

  result = restore.evaluate(
    _WORKDIR.value, split=_SPLIT.value, data_dir=_DATA_DIR.value
  )
  print(json.dumps(result))


if __name__ == '__main__':
  cli.run(main)
