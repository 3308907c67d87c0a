"""Plots a run's metrics against the epoch.

  gan-jax plot --workdir=runs/a --output=curves.png \
    --metrics=d_loss+g_loss,samples_std
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax plot', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  cli.define_path(values, 'workdir', 'Run directory.', required=True)
  flags.DEFINE_list(
    'metrics',
    ['d_loss+g_loss'],
    'Comma-separated metrics, each in its own panel; names joined by + share '
    'one. An unknown name lists the known ones.',
    flag_values=values,
  )
  cli.define_path(values, 'output', 'PNG file to write.', required=True)


def run(values: cli.Flags) -> int | None:
  output = pathlib.Path(values.output)
  if output.suffix.lower() != '.png':
    raise cli.InputError(f'--output={output}: want a name that ends in .png')
  from gan_jax.reporting.curves import plot_curves
  from gan_jax.runs.directory import RunDirectory

  directory = RunDirectory(values.workdir)
  directory.read_config()
  figure = plot_curves(directory, values.metrics)
  output.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(output)
  print(output)
