"""Repeats a run from its directory and compares every recorded hash.

The command is gan_jax/commands/verify.py; `gan-jax verify` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.verify import main

if __name__ == '__main__':
  cli.launch(main)
