"""Compiles a training step for an absent TPU slice: memory, FLOPs, time.

The command is gan_jax/commands/compile.py; `gan-jax compile` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.compile import main

if __name__ == '__main__':
  cli.launch(main)
