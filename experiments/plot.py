"""Plots a run's metrics against the epoch.

The command is gan_jax/commands/plot.py; `gan-jax plot` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.plot import main

if __name__ == '__main__':
  cli.launch(main)
