"""Command line of the program gan-jax."""

import importlib
import pkgutil
import sys
from collections.abc import Sequence

import gan_jax
from gan_jax import commands
from gan_jax.core.errors import InputError, choice

try:
  from gan_jax.commands import cli
except ModuleNotFoundError as error:  # the losses alone need no absl
  sys.exit(
    f'error: {error.name} is not installed; the commands need it: '
    "pip install 'gan_jax[experiments]'"
  )


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command that the first argument names; returns its status."""
  argv = sys.argv[1:] if argv is None else argv
  if not argv or argv[0] in ('-h', '-help', '--help', 'help'):
    print(_overview())
    return 0 if argv else 2
  if argv[0] == '--version':
    print(gan_jax.__version__)
    return 0
  try:
    if argv[0] not in names():
      raise choice('command', argv[0], names())
  except InputError as error:
    print(f'error: {error} (--help lists them)', file=sys.stderr)
    return 2
  return _command(argv[0]).main(argv[1:])


def names() -> list[str]:
  """Returns the names of all commands."""
  found = (module.name for module in pkgutil.iter_modules(commands.__path__))
  return [name for name in found if name != 'cli']


def _command(name: str):
  return importlib.import_module(f'gan_jax.commands.{name}')


def _overview() -> str:
  lines = {name: _command(name).__doc__.partition('\n')[0] for name in names()}
  width = max(map(len, lines))
  return '\n'.join([
    f'usage: {cli.PROGRAM} COMMAND [--FLAG=VALUE ...]\n',
    gan_jax.__doc__.partition('\n')[0],
    '',
    *(f'  {name:{width}}  {line}' for name, line in lines.items()),
    f'\n{cli.PROGRAM} COMMAND --help lists its flags.',
  ])  # fmt: skip


def program() -> None:
  """Runs the program as a console script."""
  cli.launch(main)


if __name__ == '__main__':
  program()
