"""Plots the adversarial losses and their gradients over the logits.

python -m experiments.plot_losses --output=docs/losses.png
"""

import pathlib
from collections.abc import Sequence

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  return cli.call(
    'python -m experiments.plot_losses', __doc__, define, run, argv
  )


def define(values: cli.Flags) -> None:
  cli.define_path(values, 'output', 'PNG file.', required=True)


def run(values: cli.Flags) -> int | None:
  output = pathlib.Path(values.output)
  if output.suffix.lower() != '.png':
    raise cli.InputError(f'--output={output}: want a name that ends in .png')
  from gan_jax.reporting.loss_plots import plot_losses

  output.parent.mkdir(parents=True, exist_ok=True)
  plot_losses().savefig(output)
  print(output)


if __name__ == '__main__':
  cli.launch(main)
