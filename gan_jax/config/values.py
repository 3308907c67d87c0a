"""Conversions of configs: config files, flat dicts, JSON, and differences."""

import json
import pathlib
import runpy
import traceback
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

from gan_jax.config.table import Key
from gan_jax.core.errors import InputError

_CHECKOUT = pathlib.Path(__file__).parents[2]


def load_config(spec: str) -> ConfigDict:
  """Loads the config that `path/to/file.py:arg` defines.

  A path is relative to the current folder, or to this project's checkout.

  Raises:
    InputError: the file does not exist, or has no valid get_config.
  """
  path, _, arg = spec.partition(':')
  if not pathlib.Path(path).is_file():
    beside = _CHECKOUT / path
    if not beside.is_file():
      raise InputError(
        f'no config file {path!r} in {pathlib.Path.cwd()}; give its path, or '
        "one of this project's, such as configs/digits_ssgan.py"
      )
    path = str(beside)
  try:
    get_config = runpy.run_path(path).get('get_config')
    config = get_config(arg) if callable(get_config) else None
    ignores = arg and _same(config, get_config('') if config else None)
  except ValueError as error:
    raise InputError(f'{spec}: {error}') from error
  except Exception as error:  # a user's file may raise anything
    raise InputError(
      f'{spec}: {type(error).__name__} in the config file'
      f'{_line(error, path)}: {_told(error)}'
    ) from error
  if not callable(get_config):
    raise InputError(f'{path} defines no get_config(arg)')
  if not isinstance(config, ConfigDict):
    raise InputError(
      f'{path}: get_config must return what sized(config, arg) returns, an '
      f'ml_collections config, not {type(config).__name__}'
    )
  if ignores:
    raise InputError(
      f'{spec}: get_config ignores its argument {arg!r}; end it with `return '
      'sized(config, arg)`'
    )
  return config


def _same(config: Any, other: Any) -> bool:
  both = isinstance(config, ConfigDict) and isinstance(other, ConfigDict)
  return both and dict(flatten(config)) == dict(flatten(other))


def _line(error: Exception, path: str) -> str:
  """Formats the innermost line of a traceback in a file, as ', line 7'."""
  lines = [
    frame.lineno
    for frame in traceback.extract_tb(error.__traceback__)
    if frame.filename == path
  ]
  return f', line {lines[-1]}' if lines else ''


def _told(error: BaseException) -> str:
  """Returns an error's message, unwrapping errors that hold another error."""
  while error.args and isinstance(error.args[0], BaseException):
    error = error.args[0]
  return str(error.args[0]) if error.args else str(error)


def flatten(config: Mapping, prefix: str = '') -> Iterator[tuple[str, Any]]:
  """Yields all leaves as ('group.key', value), sorted by name."""
  for key in sorted(config.keys()):
    value = config[key]
    if isinstance(value, (Mapping, ConfigDict)):
      yield from flatten(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def from_values(
  values: Mapping[str, Any], keys: Mapping[str, Key]
) -> ConfigDict:
  """Builds a config from flat values, with the types of the rows `keys`."""
  nested = {}
  for path, value in values.items():
    group = nested
    *groups, name = path.split('.')
    for part in groups:
      group = group.setdefault(part, {})
    kind = keys[path].check.kind if path in keys else None
    if kind is object:  # of several types: an integer, or a tuple
      value = config_dict.FieldReference(value, object)
    optional = path in keys and keys[path].check.accepts(None)
    if optional and isinstance(value, keys[path].check.kind | None):
      value = config_dict.FieldReference(value, keys[path].check.kind)
    group[name] = value
  return ConfigDict(nested)


def to_json(config: ConfigDict) -> str:
  """Converts a config to JSON with sorted keys; `from_json` reads it back."""
  return json.dumps(config.to_dict(), indent=2, sort_keys=True) + '\n'


def from_json(text: str) -> ConfigDict:
  """Reads a config from JSON. Lists become tuples, as configs have no lists."""

  def restore(value):
    if isinstance(value, dict):
      return {key: restore(item) for key, item in value.items()}
    return tuple(map(restore, value)) if isinstance(value, list) else value

  return ConfigDict(restore(json.loads(text)))


def differences(
  old: ConfigDict, new: ConfigDict, free: Collection[str] = ()
) -> list[str]:
  """Lists changed keys, except free ones, as 'config.key: old -> new'."""
  old_values, new_values = dict(flatten(old)), dict(flatten(new))
  missing = '(absent)'
  lines = []
  for key in sorted(old_values.keys() | new_values.keys()):
    before, after = old_values.get(key, missing), new_values.get(key, missing)
    if before != after and key not in free:
      lines.append(f'config.{key}: {before!r} -> {after!r}')
  return lines
