"""Writes a trained network as one file that needs JAX alone to be used.

  gan-jax export --workdir=runs/a --output=generator.jax
  gan-jax export --workdir=runs/p --output=b2a.jax \\
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

from collections.abc import Sequence

from absl import flags

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax export', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  cli.define_path(values, 'workdir', 'Run directory.', required=True)
  cli.define_path(
    values,
    'output',
    'The file to write; it is replaced if it is there.',
    required=True,
  )
  flags.DEFINE_enum(
    'network',
    None,
    ['generator', 'translator', 'classifier'],
    'Default: what makes images, or a classifier that is alone.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'direction',
    None,
    ['a2b', 'b2a'],
    "Of a translator; default: the run's only one, or a2b.",
    flag_values=values,
  )
  flags.DEFINE_list(
    'platforms',
    ['cpu', 'cuda', 'tpu'],
    'What the file can run on.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'params',
    'inside',
    ['inside', 'beside'],
    'Where the parameters are: in the file, or in one beside it that ends in '
    '.safetensors.',
    flag_values=values,
  )
  cli.define_checkpoint(values)


def run(values: cli.Flags) -> int | None:
  from gan_jax.inference import export, export_check

  artefact = export.export_network(
    values.workdir,
    values.output,
    network=values.network,
    direction=values.direction,
    platforms=values.platforms,
    params=values.params,
    checkpoint=values.checkpoint,
  )
  print(export_check.describe(artefact))
  print(f'\n{export_check.recipe(artefact)}')
  difference = export_check.difference(artefact)
  if difference is None:
    print('not compared: this machine cannot run the file in a second process')
  else:
    print(f"largest difference from the run's own output: {difference:g}")
