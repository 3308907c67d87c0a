"""Translates images with a run's newest checkpoint.

The command is gan_jax/commands/translate.py; `gan-jax translate` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.translate import main

if __name__ == '__main__':
  cli.launch(main)
