"""Prints the config keys with their meanings, defaults and ranges.

The command is gan_jax/commands/config.py; `gan-jax config` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.config import main

if __name__ == '__main__':
  cli.launch(main)
