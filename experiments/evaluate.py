"""Prints scores of a run's checkpoint, or of two folders of images, as JSON.

The command is gan_jax/commands/evaluate.py; `gan-jax evaluate` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.evaluate import main

if __name__ == '__main__':
  cli.launch(main)
