"""Exports a trained network to a file that runs with JAX alone.

  gan-jax export --workdir=runs/a --output=generator.jax
  gan-jax export --workdir=runs/p --output=b2a.jax \\
    --network=translator --direction=b2a --params=beside

The file is a serialised jax.export artefact that takes batches of any size, on
CPU, CUDA and TPU. To use it, install jax, numpy, flatbuffers and, with
--params=beside, safetensors, and run the program below. The command prints this
program for the file that it has written, runs it and compares its output with
the run's own.

  import pathlib
  import numpy as np
  from jax import export
  from safetensors.numpy import load_file  # with --params=beside

  file = pathlib.Path('generator.jax')
  exported = export.deserialize(bytearray(file.read_bytes()))
  weights = load_file('generator.safetensors')  # with --params=beside
  z = np.random.default_rng(0).standard_normal((4, 100), np.float32)
  images = np.asarray(exported.call(weights, z))  # or exported.call(z)

A translator takes images of the training images' size. If the run keeps
averaged weights, those are exported.
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
    'The file to write; an existing one is replaced.',
    required=True,
  )
  flags.DEFINE_enum(
    'network',
    None,
    ['generator', 'translator', 'classifier'],
    'Network to export; default: the generator or translator, or the '
    'classifier of a run that has neither.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'direction',
    None,
    ['a2b', 'b2a'],
    "Direction of a translator; default: the run's only one, or a2b.",
    flag_values=values,
  )
  flags.DEFINE_list(
    'platforms',
    ['cpu', 'cuda', 'tpu'],
    'Comma-separated platforms that the file can run on.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'params',
    'inside',
    ['inside', 'beside'],
    'Where to write the parameters: inside the file, or beside it in a file of '
    'the same name that ends in .safetensors.',
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
