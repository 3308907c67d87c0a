"""Config files: loading, checking, comparing, and keeping them as JSON.

A schema is a nested dict whose leaves are checkers: functions that return None
for a good value, and what the value must be for a bad one. A `Variants` in it
is a group whose `name` decides which other keys the group has.
"""

import difflib
import json
import math
import pathlib
import runpy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from gan_jax.core.errors import InputError

Checker = Callable[[Any], str | None]


def integer(low: int, high: int | None = None) -> Checker:
  """An integer in low..high, or from low on."""
  wish = f'an integer >= {low}' if high is None else f'an integer {low}..{high}'

  def check(value):
    good = isinstance(value, int) and not isinstance(value, bool)
    good = good and low <= value and (high is None or value <= high)
    return None if good else wish

  return check


def real(
  low: float, high: float = math.inf, *, exclusive: bool = False
) -> Checker:
  """A finite number in [low, high], or in [low, high) if `exclusive`."""
  wish = f'a finite number in [{low}, {high}{")" if exclusive else "]"}'

  def check(value):
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    good = good and math.isfinite(value) and low <= value <= high
    return None if good and not (exclusive and value == high) else wish

  return check


def one_of(*choices: str | int) -> Checker:
  """One of the given strings or numbers."""
  wish = f'one of: {", ".join(map(str, choices))}'

  def check(value):
    good = value in choices and not isinstance(value, bool)
    return None if good else wish

  return check


def integers(
  low: int, high: int | None = None, *, length: int | None = None
) -> Checker:
  """A tuple of integers as `integer` takes them, of any length >= 1 or one."""
  item = integer(low, high)
  size = '' if length is None else f'{length} '
  bounds = f'>= {low}' if high is None else f'{low}..{high}'
  wish = f'a tuple of {size}integers {bounds}'

  def check(value):
    good = isinstance(value, tuple) and len(value) == (length or len(value))
    good = good and len(value) > 0 and all(item(x) is None for x in value)
    return None if good else wish

  return check


def boolean(value: Any) -> str | None:
  """True or False."""
  return None if isinstance(value, bool) else 'True or False'


def string(value: Any) -> str | None:
  """Text that is not empty."""
  return None if isinstance(value, str) and value else 'a non-empty string'


def optional(checker: Checker) -> Checker:
  """None, or what `checker` takes."""

  def check(value):
    wish = None if value is None else checker(value)
    return wish and f'None or {wish}'

  return check


class Variants(dict):
  """Schemas of a config group by the group's `name`."""


OPTIMIZER_SCHEMA = {
  'name': one_of('adam', 'sgd'),
  'learning_rate': real(0.0),
  'b1': real(0.0, 1.0, exclusive=True),
  'b2': real(0.0, 1.0, exclusive=True),
  'eps': real(0.0),  # outside the square root, and
  'eps_root': real(0.0),  # inside
  'schedule': Variants(
    constant={},
    exponential={
      'decay_rate': real(0.0, 1.0),
      'decay_every_steps': optional(integer(1)),  # None: each epoch
    },
    linear={  # constant, then down to 0
      'constant_epochs': integer(0),
      'decay_epochs': integer(1),
    },
  ),
  'ema_decay': real(0.0, 1.0, exclusive=True),  # 0: no average
}

COMMON_SCHEMA = {
  'system': string,
  'seed': integer(0, 2**32 - 1),
  'parallel': one_of('auto', 'jit', 'pmap', 'shard_map'),
  'dtype': one_of('float32', 'bfloat16'),  # in which networks compute
  'data': {
    'name': string,
    'data_dir': optional(string),
    'batch_size': integer(1),
    'num_validation': integer(1),  # taken from the training split
  },
  'train': {
    'num_steps': optional(integer(0)),  # of these two one is set,
    'num_epochs': optional(integer(0)),  # the other None or 0
    'steps_per_dispatch': integer(1),
    # A batch is passed through the networks in so many pieces, one after the
    # other, whose gradients are averaged.
    'num_microbatches': integer(1),
  },
  'checkpoint': {
    'save_every_steps': optional(integer(1)),  # None: each epoch
    'keep': integer(1),
    # Of the reports, on validation: the checkpoint with its best value is kept
    # too. None: no other than the latest.
    'best_metric': optional(string),
  },
  'eval': {
    'batch_size': integer(1),
    # What made images are compared with validation images by, such as
    # 'fid,prdc', in the features of the extractor; None: by nothing.
    'metrics': optional(string),
    'extractor': optional(string),
    'num_samples': integer(4),
    'eval_every_steps': optional(integer(1)),  # None: with each report
  },
  'log': {
    'report_every_steps': optional(integer(1)),  # None: each epoch
    'grid': integers(1, 100, length=2),  # rows and columns of samples
    'tensorboard': boolean,
  },
}

# What may change between a run and its continuation. The run's length does not
# act on earlier steps; the data are checked by their hash.
FREE_KEYS = (
  'train.num_steps',
  'train.num_epochs',
  'data.data_dir',
  'data.memory_gb',
  'log.',
  'parallel',
)


def load_config(spec: str) -> ConfigDict:
  """The config that `path/to/file.py:arg` describes.

  Raises:
    InputError: no such file, or one that does not define a good get_config.
  """
  path, _, arg = spec.partition(':')
  if not pathlib.Path(path).is_file():
    raise InputError(f'no config file {path!r}; see configs/ for the choices')
  try:
    get_config = runpy.run_path(path).get('get_config')
    config = get_config(arg) if callable(get_config) else None
  except ValueError as error:
    raise InputError(f'{spec}: {error}') from error
  except Exception as error:  # whatever somebody's file may do
    raise InputError(
      f'{spec}: {type(error).__name__} in the config file: {error}'
    ) from error
  if not callable(get_config):
    raise InputError(f'{path} defines no get_config(arg)')
  if not isinstance(config, ConfigDict):
    raise InputError(f'{path}: get_config must return an ml_collections config')
  return config


def flatten(config: Mapping, prefix: str = '') -> Iterator[tuple[str, Any]]:
  """All leaves as ('group.key', value), in the order of their names."""
  for key in sorted(config.keys()):
    value = config[key]
    if isinstance(value, (Mapping, ConfigDict)):
      yield from flatten(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def _resolve(schema: Mapping, config: Any, prefix: str = '') -> Mapping:
  """`schema` without `Variants`: those that the names in `config` choose."""
  group = config if isinstance(config, ConfigDict) else {}
  resolved = {}
  for key, item in schema.items():
    if isinstance(item, Variants):
      names = one_of(*item)
      chosen = group.get(key)
      name = chosen.get('name') if isinstance(chosen, ConfigDict) else None
      if names(name):
        raise InputError(
          f'config.{prefix}{key}.name must be {names(name)}, not {name!r}'
        )
      item = {'name': names} | item[name]
    if isinstance(item, Mapping):
      item = _resolve(item, group.get(key), f'{prefix}{key}.')
    resolved[key] = item
  return resolved


def check_config(config: ConfigDict, *schemas: Mapping) -> None:
  """Raises InputError for the first unknown, missing or bad key.

  Args:
    config: what to check.
    *schemas: those of its system and its data, beside COMMON_SCHEMA.
  """
  schema = {}
  for part in (COMMON_SCHEMA, *schemas):
    schema |= dict(flatten(_resolve(part, config)))
  values = dict(flatten(config))
  for key in values:
    if key not in schema:
      near = difflib.get_close_matches(key, schema, n=1)
      raise InputError(
        f'unknown config key config.{key}'
        + (f'; did you mean config.{near[0]}?' if near else '')
      )
  for key, check in schema.items():
    if key not in values:
      raise InputError(
        f'config.{key} is missing; system {config.system!r} needs it'
      )
    wish = check(values[key])
    if wish:
      raise InputError(f'config.{key} must be {wish}, not {values[key]!r}')
  if bool(config.train.num_steps) == bool(config.train.num_epochs):
    raise InputError(
      'set one of config.train.num_steps and config.train.num_epochs, and the '
      'other to 0'
    )


def to_json(config: ConfigDict) -> str:
  """A config as JSON, its keys in order; `from_json` reads it back."""
  return json.dumps(config.to_dict(), indent=2, sort_keys=True) + '\n'


def from_json(text: str) -> ConfigDict:
  """The config that `to_json` wrote. Configs hold tuples, never lists."""

  def restore(value):
    if isinstance(value, dict):
      return {key: restore(item) for key, item in value.items()}
    return tuple(map(restore, value)) if isinstance(value, list) else value

  return ConfigDict(restore(json.loads(text)))


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
  """The keys that differ and are not free to, as 'config.key: old -> new'."""
  old_values, new_values = dict(flatten(old)), dict(flatten(new))
  missing = '(absent)'
  lines = []
  for key in sorted(old_values.keys() | new_values.keys()):
    before, after = old_values.get(key, missing), new_values.get(key, missing)
    if before != after and not key.startswith(FREE_KEYS):
      lines.append(f'config.{key}: {before!r} -> {after!r}')
  return lines
