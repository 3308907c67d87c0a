"""Trains several configs over several label seeds and prints one table.

The command is gan_jax/commands/compare.py; `gan-jax compare` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.compare import main

if __name__ == '__main__':
  cli.launch(main)
