"""Repeats a run from its directory and compares every recorded hash.

  gan-jax verify --workdir=runs/a

config.json, data.json and metrics.jsonl are enough. environment.json helps to
name causes, checkpoints/ and result.json are compared if they exist, and
samples/, tensorboard/ and report.html are not read.

Prints 'identical' and exits with 0, or prints the first step that differs and
likely causes, and exits with 1. Results are bit-identical only on the same kind
of machine, with the same package versions and the same number of cores.
"""

import sys
from collections.abc import Sequence

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax verify', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  cli.define_path(values, 'workdir', 'Run directory.', required=True)
  cli.define_data_dir(values)


def run(values: cli.Flags) -> int | None:
  from gan_jax.training.verify import verify

  verdict = verify(values.workdir, data_dir=values.data_dir)
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
