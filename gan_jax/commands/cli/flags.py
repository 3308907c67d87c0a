"""Flags that several commands share, and their parsing."""

import re
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict

from gan_jax.core.errors import InputError
from gan_jax.core.files import expand

flags.disclaim_key_flags()  # a flag belongs to the module that asks for it


class Flags(flags.FlagValues):
  """The flags of one call, separate from those of other calls in the process.

  A value is an attribute, `values.workdir`; `values['seeds'].present` tells
  whether it was given.
  """

  def __init__(self, argv: Sequence[str]):
    super().__init__()
    self.__dict__['argv'] = ['', *argv]  # as sys.argv, which names the program
    self.__dict__['overrides'] = {}  # of config keys: text by key

  def take_overrides(self) -> list[str]:
    """Moves --config.KEY=VALUE to `overrides`; returns the other arguments."""
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
  """Parser of paths that expands a leading ~, as few shells do after --x=."""

  syntactic_help = 'a path'

  def parse(self, argument: str) -> str:
    # Other paths are kept verbatim: pathlib would break gs://.
    return str(expand(argument)) if argument.startswith('~') else argument


def define_path(
  values: Flags,
  name: str,
  help: str,
  *,
  required: bool = False,
) -> None:
  """Defines a flag whose value is a path; a leading ~ is expanded."""
  flags.DEFINE(_Path(), name, None, help, flag_values=values, required=required)


def define_data_dir(values: Flags) -> None:
  """Defines --data_dir, for commands that read a run's data."""
  define_path(
    values, 'data_dir', "Current folder of the data; default: the config's."
  )


def define_checkpoint(values: Flags) -> None:
  """Defines --checkpoint, for commands that open a run."""
  flags.DEFINE_string(
    'checkpoint', 'latest', 'Checkpoint to use: latest, best (by '
    'config.checkpoint.best_metric), or a step.', flag_values=values,
  )  # fmt: skip


def define_seed(values: Flags, help: str) -> None:
  """Defines --seed, of 32 bits."""
  flags.DEFINE_integer(
    'seed', 0, help, lower_bound=0, upper_bound=2**32 - 1, flag_values=values
  )


def define_config(values: Flags) -> None:
  """Defines --config=FILE[:arg], with overrides --config.key=value."""
  flags.DEFINE_string(
    'config',
    None,
    'Config file, e.g. configs/digits_ssgan.py, or configs/digits_ssgan.py:'
    'smoke for a tiny run on random images; or a run directory, to use its '
    'config. --config.train.num_steps=500 sets a key; `gan-jax config SYSTEM` '
    'lists the keys of a system.',
    flag_values=values,
  )


def config_of(values: Flags, run: str | None = None) -> ConfigDict:
  """Returns the config of --config with the overrides --config.key=value.

  Args:
    values: the flags.
    run: a run directory whose config is used if --config is not given.

  Raises:
    InputError: there is no config, or it or an override is invalid.
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
  """Parses a list of numbers and ranges: '0-2,7' gives [0, 1, 2, 7]."""
  numbers: list[int] = []
  for part in text.split(','):
    match = re.fullmatch(r'([0-9]+)(?:-([0-9]+))?', part.strip())
    if not match:
      raise InputError(f'--{name}={text}: want numbers such as 0-9 or 1,2,5')
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
      raise InputError(f'--{name}={text}: {part} runs backwards')
    if last - first >= 10**6:
      raise InputError(f'--{name}={text}: {part} is more than a million')
    numbers += range(first, last + 1)
  if len(set(numbers)) < len(numbers):
    raise InputError(f'--{name}={text} names a number twice')
  return numbers
