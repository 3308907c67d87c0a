"""Converts InceptionV3's PyTorch weights to a file that needs no PyTorch.

The command is gan_jax/commands/convert_inception.py; `gan-jax
convert_inception` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.convert_inception import main

if __name__ == '__main__':
  cli.launch(main)
