"""Writes the report of a run, or of several side by side, as one HTML file.

The command is gan_jax/commands/report.py; `gan-jax report` is the same.
"""

from gan_jax.commands import cli
from gan_jax.commands.report import main

if __name__ == '__main__':
  cli.launch(main)
