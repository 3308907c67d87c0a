"""Prints the config keys with their meanings, defaults and ranges.

gan-jax config gan     the keys of one system
gan-jax config         all keys, as in docs/config.md
"""

from collections.abc import Sequence

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax config', __doc__, define, run, argv, positional=True)


def define(values: cli.Flags) -> None:
  del values  # the command has no flags


def run(values: cli.Flags, *systems: str) -> None:
  del values
  from gan_jax.commands.cli.config_page import page, system_page

  if len(systems) > 1:
    raise cli.InputError('name one system, or none for all')
  print(
    system_page(*systems) if systems else page(), end='\n' if systems else ''
  )
