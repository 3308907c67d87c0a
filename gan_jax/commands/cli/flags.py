"""Flags that several commands share, and values that fail in one line."""

import re
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict

from gan_jax.core.errors import InputError
from gan_jax.core.files import expand

flags.disclaim_key_flags()  # a flag belongs to the module that asks for it


class Flags(flags.FlagValues):
  """The flags of one call, so that one process can make several.

  A value is an attribute, `values.workdir`; `values['seeds'].present` says
  whether it was given.
  """

  def __init__(self, argv: Sequence[str]):
    super().__init__()
    self.__dict__['argv'] = ['', *argv]  # as sys.argv, which names the program
    self.__dict__['overrides'] = {}  # of the config: texts by key

  def take_overrides(self) -> list[str]:
    """The arguments but for --config.KEY=VALUE, which go to `overrides`."""
    if 'config' not in self:
      return self.argv
    rest, left = [], list(self.argv)
    while left:
      argument = left.pop(0)
      match = re.fullmatch(r'--?(no)?config\.([^=]+)(?:=(.*))?', argument, re.S)
      if match is None:
        rest.append(argument)
        continue
      negated, key, text = match.groups()
      if negated:
        text = 'False'
      elif text is None:  # a value may follow; a switch needs none
        text = left.pop(0) if left and left[0][:2] != '--' else 'True'
      self.overrides[key] = text
    return rest


class _Path(flags.ArgumentParser):
  """A path in which a leading ~ is replaced, as few shells do after --x=."""

  syntactic_help = 'a path'

  def parse(self, argument: str) -> str:
    # Kept as it is otherwise: pathlib would spoil what gs:// says.
    return str(expand(argument)) if argument.startswith('~') else argument


def define_path(
  values: Flags,
  name: str,
  help: str,
  *,
  required: bool = False,
) -> None:
  """A flag whose value is a path; a leading ~ is replaced."""
  flags.DEFINE(_Path(), name, None, help, flag_values=values, required=required)


def define_data_dir(values: Flags) -> None:
  """The flag --data_dir of the commands that look at a run's data."""
  define_path(
    values, 'data_dir', 'Where the data are now, if not where the config says.'
  )


def define_checkpoint(values: Flags) -> None:
  """The flag --checkpoint of the commands that open a run."""
  flags.DEFINE_string(
    'checkpoint', 'latest', 'latest, best (by the config), or a step.',
    flag_values=values,
  )  # fmt: skip


def define_seed(values: Flags, help: str) -> None:
  """The flag --seed, 32 bits."""
  flags.DEFINE_integer(
    'seed', 0, help, lower_bound=0, upper_bound=2**32 - 1, flag_values=values
  )


def define_config(values: Flags) -> None:
  """The flag --config=FILE[:arg], with overrides --config.key=value."""
  flags.DEFINE_string(
    'config',
    None,
    'Config file, e.g. configs/digits_ssgan.py, or configs/digits_ssgan.py:'
    'smoke for a tiny run on made-up images; or a run directory, whose config '
    'it is. --config.train.num_steps=500 sets a key; `gan-jax config SYSTEM` '
    'lists the keys of a system.',
    flag_values=values,
  )


def config_of(values: Flags, run: str | None = None) -> ConfigDict:
  """The config that --config names, with what --config.key=value set.

  Args:
    values: the flags.
    run: a run directory, whose config it is where --config is not given.

  Raises:
    InputError: there is none, or it or a key cannot be what is asked.
  """
  from gan_jax.config import table
  from gan_jax.runs.configs import load_config
  from gan_jax.runs.directory import RunDirectory
  from gan_jax.systems import options, override

  if values.config is not None:
    config = load_config(values.config)
  elif run and RunDirectory(run).config.exists():
    config = RunDirectory(run).read_config()
  else:
    there = f', as {run} holds no run' if run else ''
    raise InputError(f'give --config=FILE, e.g. configs/digits_ssgan.py{there}')
  rows = options(config.system)
  changes = {}
  for key, text in values.overrides.items():
    changes[key] = table.parse(rows, key, text)
  config, notes = override(config, changes)
  for note in notes:
    print(f'note: {note}', file=sys.stderr)
  return config


def parse_range(name: str, text: str) -> list[int]:
  """'0-2,7' as [0, 1, 2, 7]."""
  numbers: list[int] = []
  for part in text.split(','):
    match = re.fullmatch(r'([0-9]+)(?:-([0-9]+))?', part.strip())
    if not match:
      raise InputError(f'--{name}={text}: want numbers such as 0-9 or 1,2,5')
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
      raise InputError(f'--{name}={text}: {part} runs backwards')
    if last - first >= 10**6:
      raise InputError(f'--{name}={text}: {part} are more than a million')
    numbers += range(first, last + 1)
  if len(set(numbers)) < len(numbers):
    raise InputError(f'--{name}={text} names a number twice')
  return numbers
