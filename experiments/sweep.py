"""Trains a config with many seeds and values, and tabulates the results.

The command is gan_jax/commands/sweep.py; `gan-jax sweep` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.sweep import main

if __name__ == '__main__':
  cli.launch(main)
