"""Exports a trained network to a file that runs with JAX alone.

The command is gan_jax/commands/export.py; `gan-jax export` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.export import main

if __name__ == '__main__':
  cli.launch(main)
