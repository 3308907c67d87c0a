"""Writes a trained network as one file that needs JAX alone to be used.

  python -m experiments.export --workdir=runs/a --output=generator.jax
  python -m experiments.export --workdir=runs/p --output=b2a.jax \\
    --network=translator --direction=b2a --params=beside

The file is a serialised jax.export artefact, for batches of any size, for CPU,
CUDA and TPU. Where jax, numpy, flatbuffers and, for parameters beside it,
safetensors are installed, it is used as follows; the command prints the program
for its own file, runs it and compares the output with the run's own.

  import pathlib
  import numpy as np
  from jax import export
  from safetensors.numpy import load_file  # for parameters beside the file

  file = pathlib.Path('generator.jax')
  exported = export.deserialize(bytearray(file.read_bytes()))
  weights = load_file('generator.safetensors')  # likewise
  z = np.random.default_rng(0).standard_normal((4, 100), np.float32)
  images = np.asarray(exported.call(weights, z))  # or exported.call(z)

A translator is of the training images' size. Averaged weights are used where
the run has them.
"""

from absl import flags

from gan_jax.commands import cli

_WORKDIR = cli.define_path('workdir', None, 'Run directory.', required=True)
_OUTPUT = cli.define_path(
  'output', None, 'The file to write; it is replaced if it is there.',
  required=True,
)  # fmt: skip
_NETWORK = flags.DEFINE_enum(
  'network', None, ['generator', 'translator', 'classifier'],
  'Default: what makes images, or a classifier that is alone.',
)  # fmt: skip
_DIRECTION = flags.DEFINE_enum(
  'direction', None, ['a2b', 'b2a'],
  "Of a translator; default: the run's only one, or a2b.",
)  # fmt: skip
_PLATFORMS = flags.DEFINE_list(
  'platforms', ['cpu', 'cuda', 'tpu'], 'What the file can run on.'
)
_PARAMS = flags.DEFINE_enum(
  'params', 'inside', ['inside', 'beside'],
  'Where the parameters are: in the file, or in one beside it that ends in '
  '.safetensors.',
)  # fmt: skip
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', 'latest', 'latest, best (by the config), or a step.'
)


def main():
  from gan_jax.inference import export, export_check

  artefact = export.export_network(
    _WORKDIR.value,
    _OUTPUT.value,
    network=_NETWORK.value,
    direction=_DIRECTION.value,
    platforms=_PLATFORMS.value,
    params=_PARAMS.value,
    checkpoint=_CHECKPOINT.value,
  )
  print(export_check.describe(artefact))
  print(f'\n{export_check.recipe(artefact)}')
  difference = export_check.difference(artefact)
  if difference is None:
    print('not compared: this machine cannot run the file in a second process')
  else:
    print(f"largest difference from the run's own output: {difference:g}")


if __name__ == '__main__':
  cli.run(main)
