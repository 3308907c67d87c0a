"""Plots a run's metrics over the epochs.

  python -m experiments.plot --workdir=runs/a --output=curves.png \
    --metrics=d_loss+g_loss,samples_std
"""

import pathlib

from absl import flags

from gan_jax.commands import cli

_WORKDIR = cli.define_path('workdir', None, 'Run directory.', required=True)
_METRICS = flags.DEFINE_list(
  'metrics',
  ['d_loss+g_loss'],
  'A panel for each; those joined by + share one. An unknown name is answered '
  'with the list.',
)
_OUTPUT = cli.define_path('output', None, 'PNG file.', required=True)


def main():
  output = pathlib.Path(_OUTPUT.value)
  if output.suffix.lower() != '.png':
    raise cli.InputError(f'--output={output}: want a name that ends in .png')
  from gan_jax.reporting.curves import plot_curves
  from gan_jax.runs.directory import RunDirectory

  directory = RunDirectory(_WORKDIR.value)
  directory.read_config()
  figure = plot_curves(directory.metrics, _METRICS.value)
  output.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(output)
  print(output)


if __name__ == '__main__':
  cli.run(main)
