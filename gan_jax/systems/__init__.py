"""Registry of the systems, and their configs.

A config file sets the values that its result depends on, and nothing else:

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


# Overrides of the smoke variant: a run of seconds that needs no data.
_SMOKE = {
  'data.made_up': True,
  'train.num_epochs': None,
  'train.num_steps': 8,
  'checkpoint.save_every_steps': 2,
  'checkpoint.keep': 3,
  'log.report_every_steps': 2,
}


def options(name: Any) -> cfg.Table:
  """Returns a system's config keys; raises InputError for an unknown system."""
  if not isinstance(name, str) or name not in SYSTEMS:
    raise choice('system', name, SYSTEMS)
  system = SYSTEMS[name]
  rows = cfg.COMMON | system.DATA.OPTIONS | system.OPTIONS
  return rows | {'system': rows['system']._replace(default=name)}


def base(name: str) -> ConfigDict:
  """Returns a system's config with the default of every key."""
  return _to_config(options(name), {})


def sized(
  config: ConfigDict,
  arg: str = '',
  paper: Mapping[str, Any] | None = None,
  cpu: Mapping[str, Any] | None = None,
) -> ConfigDict:
  """Completes a config at the size that a config file's argument asks for.

  Args:
    config: a modified result of `base`. A group whose `name` was changed gets
      that variant's keys.
    arg: '' for the config itself; 'paper' for the paper's sizes, if the config
      is smaller; 'cpu' for its whole schedule within about an hour on two
      cores, if the config takes longer; 'smoke' for eight steps of small
      networks on random images of the right shape, which need no data.
    paper: the paper's values, by dotted key.
    cpu: values for the whole schedule within an hour, by dotted key.

  Raises:
    ValueError: the argument is unknown, or the config has an unknown key.
  """
  sizes = {k: v for k, v in (('paper', paper), ('cpu', cpu)) if v}
  if arg not in ('', 'smoke', *sizes):
    choices = ', '.join(map(repr, ['smoke', *sizes]))
    raise ValueError(f'unknown argument {arg!r}; {choices} or nothing')
  config = complete(config)
  if arg in sizes:
    return override(config, sizes[arg])[0]
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
  """Adds the missing keys of a config's system; see `table.complete`."""
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
  """Returns a config with changed values, and notes; see `table.override`.

  A length in steps replaces one in epochs and vice versa; a data folder
  replaces synthetic images.
  """
  if changes.get('system', config.system) != config.system:
    raise InputError(
      f'config.system is {config.system} and cannot become '
      f'{changes["system"]}, which has other keys; use a config of that system'
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
  """Returns the keys that may change between a run and its continuation.

  The run's length does not affect earlier steps; the data are checked by hash.
  """
  return {key for key, _, row in table.all_rows(options(name)) if row.free}


def epoch_rows(config: ConfigDict) -> int:
  """Counts the training images that a step consumes.

  That is the batch size, unless D has several updates with their own batch, or
  sees several images as one.
  """
  has_turns = 'n_critic' in config.get('loss', {})
  return gan.num_rows(config) if has_turns else config.data.batch_size


def make_system(
  config, data_spec: DataSpec | DomainSpec, axis_name: str | None = None
) -> System:
  """Builds the system that `config.system` names from the rest of `config`.

  Equal values return the same functions, so that a second compilation, such as
  that of the next run in a sweep over seeds, is a cache hit.
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
  ):  # no system reads them
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
  # A copy, so that later changes of the caller's config do not reach it.
  return make(cfg.from_json(config), data_spec, axis_name)
