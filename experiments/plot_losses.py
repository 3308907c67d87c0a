"""Plots the adversarial losses and their gradients over the logits.

python -m experiments.plot_losses --output=docs/losses.png
"""

import pathlib

from gan_jax.commands import cli

_OUTPUT = cli.define_path('output', None, 'PNG file.', required=True)


def main():
  output = pathlib.Path(_OUTPUT.value)
  if output.suffix.lower() != '.png':
    raise cli.InputError(f'--output={output}: want a name that ends in .png')
  from gan_jax.reporting.loss_plots import plot_losses

  output.parent.mkdir(parents=True, exist_ok=True)
  plot_losses().savefig(output)
  print(output)


if __name__ == '__main__':
  cli.run(main)
