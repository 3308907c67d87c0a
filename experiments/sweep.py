"""Trains a config with many seeds and values, and makes a table of it.

The command is gan_jax/commands/sweep.py; `gan-jax sweep` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.sweep import main

if __name__ == '__main__':
  cli.launch(main)
