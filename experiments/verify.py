"""Trains a run again from its directory and compares every recorded hash.

  python -m experiments.verify --workdir=runs/a

Of the run directory, config.json, data.json and metrics.jsonl suffice:
environment.json helps to name causes, checkpoints/ and result.json are compared
where they are there, and samples/, tensorboard/ and report.html are not read.

Prints 'identical', or the first step that differs and likely causes; exits
with 0 or 1. Equality to the bit is promised for the same kind of machine, the
same package versions and the same number of cores only.
"""

import sys

from absl import flags

from gan_jax.commands import cli

_WORKDIR = cli.define_path('workdir', None, 'Run directory.', required=True)
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where the data are now, if not where the config says.'
)


def main():
  from gan_jax.training.verify import verify

  verdict = verify(_WORKDIR.value, data_dir=_DATA_DIR.value)
  steps = ', '.join(map(str, verdict.steps))
  for note in verdict.notes:
    print(f'note: {note}', file=sys.stderr)
  if verdict.finding is None:
    print(f'identical at steps {steps}')
    return 0
  print(f'different: {verdict.finding}')
  for cause in verdict.causes:
    print(f'likely cause: {cause}')
  if not verdict.causes:
    print('no change of config, versions, device, cores or data explains it')
  return 1


if __name__ == '__main__':
  cli.run(main)
