"""Times our training step against the same step in PyTorch, or in plain flax.

  python -m experiments.benchmark --peers=torch,flax --output=benchmark.json

Quote the ratios, since candidates are timed in turn. Keep the machine idle.
"""

import json
import pathlib
from collections.abc import Sequence

from absl import flags

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  return cli.call('python -m experiments.benchmark', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  flags.DEFINE_list(
    'systems',
    [
      'ssgan',
      'digits_ssgan',
      'improved_gan',
      'gan',
      'dcgan',
      'rpgan',
      'sngan',
      'r3gan',
      'pix2pix',
      'cyclegan',
      'fastcut',
    ],
    'Systems to time.',
    flag_values=values,
  )
  flags.DEFINE_list(
    'peers',
    ['flax'],
    'Peers to time: torch (pip install torch), flax or none.',
    flag_values=values,
  )
  cli.define_path(
    values,
    'against',
    'The folder of another checkout, e.g. of an earlier commit by git worktree '
    'add: its step is one more candidate.',
  )
  flags.DEFINE_integer(
    'rounds',
    5,
    'Rounds, each with a turn of every candidate.',
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_float(
    'seconds',
    2.0,
    'Approximate duration of a turn.',
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_bool(
    'scaling',
    False,
    'Instead: time our step against batch size, image size and width.',
    flag_values=values,
  )
  flags.DEFINE_bool(
    'convolutions',
    False,
    'Instead: time every form of a convolution, by shape.',
    flag_values=values,
  )
  flags.DEFINE_bool(
    'sampling',
    False,
    'Instead: time `gan-jax sample` of 50,000 digits against the generator.',
    flag_values=values,
  )
  cli.define_path(values, 'output', 'A JSON file for all figures.')


def run(values: cli.Flags) -> int | None:
  from experiments.benchmark import convolutions, measure, sampling

  peers = [peer for peer in values.peers if peer and peer != 'none']
  measure.check_peers(peers)
  if values.convolutions:
    for line in convolutions.table(values.rounds, pytorch='torch' in peers):
      print(line, flush=True)
    return
  if values.sampling:
    for line in sampling.table(values.rounds):
      print(line, flush=True)
    return
  options = {'rounds': values.rounds, 'seconds': values.seconds}
  if values.scaling:
    print('| system | along | step | exponent |\n| --- | --- | --- | --- |')
    for name in values.systems:
      for line in measure.scaling(name, **options):
        print(line, flush=True)
    return
  result = measure.benchmark(
    values.systems, peers, against=values.against, **options
  )
  print(measure.to_markdown(result), end='')
  if values.output:
    pathlib.Path(values.output).write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
  cli.launch(main)
