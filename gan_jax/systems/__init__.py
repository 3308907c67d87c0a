"""The systems by name, and their configs.

A config file states what its result depends on, and nothing else:

    from gan_jax.systems import base, sized

    def get_config(arg=''):
      config = base('gan')  # every key with its default
      config.data.name = 'mnist'
      config.train.num_epochs = 100
      return sized(config, arg)

docs/config.md lists the keys.
"""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from gan_jax import config as cfg
from gan_jax.config import table
from gan_jax.core.errors import InputError, choice
from gan_jax.data.spec import DataSpec, DomainSpec
from gan_jax.systems import (
  cut,
  cyclegan,
  gan,
  improved_gan,
  pix2pix,
  ssgan,
  supervised,
)
from gan_jax.systems.system import System

SYSTEMS = {
  'cut': cut,
  'cyclegan': cyclegan,
  'gan': gan,
  'improved_gan': improved_gan,
  'pix2pix': pix2pix,
  'ssgan': ssgan,
  'supervised': supervised,
}


# What 'smoke' makes of any config: seconds, and no data.
_SMOKE = {
  'data.made_up': True,
  'train.num_epochs': None,
  'train.num_steps': 8,
  'checkpoint.save_every_steps': 2,
  'checkpoint.keep': 3,
  'log.report_every_steps': 2,
}


def options(name: Any) -> cfg.Table:
  """The table of a system's config keys; InputError if there is no such one."""
  if not isinstance(name, str) or name not in SYSTEMS:
    raise choice('system', name, SYSTEMS)
  system = SYSTEMS[name]
  rows = cfg.COMMON | system.DATA.OPTIONS | system.OPTIONS
  return rows | {'system': rows['system']._replace(default=name)}


def base(name: str) -> ConfigDict:
  """A config of a system, whose every key has its default."""
  return _to_config(options(name), {})


def sized(
  config: ConfigDict, arg: str = '', paper: Mapping[str, Any] | None = None
) -> ConfigDict:
  """A whole config, in the size that a config file's argument asks for.

  Args:
    config: from `base`, changed. A group whose `name` was changed has that
      variant's keys.
    arg: '' for the config as it is; 'paper' for the paper's sizes, where the
      config itself is smaller; 'smoke' for eight steps of small networks on
      random images of the right shape, which need no data.
    paper: values of the paper's sizes, by dotted key.

  Raises:
    ValueError: another argument, or a key that the config cannot have.
  """
  sizes = ['smoke', 'paper'] if paper else ['smoke']
  if arg not in ('', *sizes):
    choices = ', '.join(map(repr, sizes))
    raise ValueError(f'unknown argument {arg!r}; {choices} or nothing')
  config = complete(config)
  if arg == 'paper':
    return override(config, paper)[0]
  if arg == '':
    return config
  rows, values = options(config.system), dict(cfg.flatten(config))
  system = SYSTEMS[config.system]
  for key, size in (system.DATA.SMOKE | system.SMOKE).items():
    if size is None and key in values:
      values[key] = None
    elif isinstance(values.get(key), int):
      values[key] = min(size, values[key])
    elif isinstance(values.get(key), tuple) and isinstance(size, int):
      values[key] = tuple(min(size, value) for value in values[key])
    elif key in values and values[key] is not None:
      values[key] = size
  return _to_config(rows, values | _SMOKE)


def _to_config(rows: cfg.Table, values: Mapping[str, Any]) -> ConfigDict:
  whole = table.complete(rows, values)
  return cfg.from_values(whole, table.resolve(rows, whole))


def complete(config: ConfigDict) -> ConfigDict:
  """The config with all keys of its system; see `table.complete`."""
  rows = options(config.get('system'))
  return _to_config(rows, dict(cfg.flatten(config)))


def check(config: ConfigDict) -> None:
  """Raises InputError for an unknown system, or a bad key or value."""
  table.check(options(config.get('system')), dict(cfg.flatten(config)))
  if bool(config.train.num_steps) == bool(config.train.num_epochs):
    raise InputError(
      'set one of config.train.num_steps and config.train.num_epochs; they are '
      f'{config.train.num_steps} and {config.train.num_epochs}'
    )


def override(
  config: ConfigDict, changes: Mapping[str, Any]
) -> tuple[ConfigDict, list[str]]:
  """A config with other values, and notes; see `table.override`.

  A new length in steps takes the place of one in epochs, and the other way
  round; a folder of data takes the place of made-up images.
  """
  if changes.get('system', config.system) != config.system:
    raise InputError(
      f'config.system is {config.system} and cannot become '
      f'{changes["system"]}, which has other keys; take a config of that system'
    )
  rows = options(config.system)
  changes = dict(changes)
  lengths = {'train.num_steps', 'train.num_epochs'}
  given = [key for key in lengths & changes.keys() if changes[key]]
  if len(given) == 1:
    changes |= dict.fromkeys(lengths - {*changes}, None)
  if changes.get('data.data_dir') is not None:
    changes.setdefault('data.made_up', False)
  values, notes = table.override(rows, dict(cfg.flatten(config)), changes)
  return cfg.from_values(values, table.resolve(rows, values)), notes


def free_keys(name: str) -> set[str]:
  """The keys that may change between a run and its continuation.

  The run's length does not act on earlier steps; the data are checked by their
  hash.
  """
  return {key for key, _, row in table.all_rows(options(name)) if row.free}


def epoch_rows(config: ConfigDict) -> int:
  """The images that a step takes from the training set, whose pass is an epoch.

  A batch, for each update that has one of its own.
  """
  has_turns = 'n_critic' in config.get('loss', {})
  turns = gan.num_turns(config.loss) if has_turns else 1
  return turns * config.data.batch_size


def make_system(
  config, data_spec: DataSpec | DomainSpec, axis_name: str | None = None
) -> System:
  """The system that `config.system` names, built from the rest of `config`.

  The same values give the same functions, so that whoever compiles them again,
  such as the next run of a sweep over seeds, finds them compiled.
  """
  if config.system not in SYSTEMS:
    raise choice('system', config.system, SYSTEMS)
  values = config.to_dict()
  for key in (
    'seed',
    'log',
    'checkpoint',
    'eval',
    'init',
  ):  # no system knows them
    values.pop(key, None)
  values['data'].pop('label_seed', None)
  make = SYSTEMS[config.system].make_system
  return _made(make, json.dumps(values), data_spec, axis_name)


@functools.lru_cache(maxsize=8)
def _made(
  make: Callable[..., System],
  config: str,
  data_spec: DataSpec | DomainSpec,
  axis_name: str | None,
) -> System:
  # A copy of its own: whoever changes the config later changes no system.
  return make(cfg.from_json(config), data_spec, axis_name)
