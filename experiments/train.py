"""Trains a GAN from a config file; the same command resumes it.

The command is gan_jax/commands/train.py; `gan-jax train` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.train import main

if __name__ == '__main__':
  cli.launch(main)
