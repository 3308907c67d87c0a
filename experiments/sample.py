"""Saves samples of a run as a grid, single images, arrays or an animation.

The command is gan_jax/commands/sample.py; `gan-jax sample` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.sample import main

if __name__ == '__main__':
  cli.launch(main)
