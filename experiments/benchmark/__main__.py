"""Times our training step beside the same step in PyTorch, or on plain flax.

  python -m experiments.benchmark --peers=torch,flax --output=benchmark.json

Quote the ratios: they are of steps timed in turn. Leave the machine idle.
"""

import json
import pathlib

from absl import flags

from gan_jax.commands import cli

_SYSTEMS = flags.DEFINE_list(
  'systems',
  [
    'ssgan',
    'digits_ssgan',
    'improved_gan',
    'gan',
    'dcgan',
    'r3gan',
    'pix2pix',
    'cyclegan',
  ],
  'What to time.',
)
_PEERS = flags.DEFINE_list(
  'peers', ['flax'], 'Beside ours: torch (pip install torch), flax or none.'
)
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'Turns of each.', lower_bound=1)
_SECONDS = flags.DEFINE_float('seconds', 2.0, 'A turn, about.', lower_bound=0.0)
_SCALING = flags.DEFINE_bool(
  'scaling', False, 'Instead: how our step grows with batch, image and width.'
)
_CONVOLUTIONS = flags.DEFINE_bool(
  'convolutions', False, 'Instead: every form of a convolution, by shape.'
)
_OUTPUT = cli.define_path('output', None, 'Where all figures go, as JSON.')


def main():
  from experiments.benchmark import convolutions, measure

  peers = [peer for peer in _PEERS.value if peer and peer != 'none']
  measure.check_peers(peers)
  if _CONVOLUTIONS.value:
    for line in convolutions.table(_ROUNDS.value, pytorch='torch' in peers):
      print(line, flush=True)
    return
  options = {'rounds': _ROUNDS.value, 'seconds': _SECONDS.value}
  if _SCALING.value:
    print('| system | along | step | exponent |\n| --- | --- | --- | --- |')
    for name in _SYSTEMS.value:
      for line in measure.scaling(name, **options):
        print(line, flush=True)
    return
  result = measure.benchmark(_SYSTEMS.value, peers, **options)
  print(measure.to_markdown(result), end='')
  if _OUTPUT.value:
    pathlib.Path(_OUTPUT.value).write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
  cli.run(main)
