"""Trains a GAN from a config file, or resumes an interrupted run.

The command is gan_jax/commands/train.py; `gan-jax train` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.train import main

if __name__ == '__main__':
  cli.launch(main)
