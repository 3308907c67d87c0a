"""Loading of configs from a config file, a config.json or a run."""

import json

from ml_collections import ConfigDict

from gan_jax import config as cfg
from gan_jax.core.errors import InputError
from gan_jax.core.files import expand
from gan_jax.runs import formats
from gan_jax.runs.directory import RunDirectory
from gan_jax.systems import complete


def load_config(spec: str) -> ConfigDict:
  """Loads a complete config.

  Args:
    spec: 'path/to/file.py:arg', the path of a run directory, or the path of a
      config.json, inside or outside a run directory.

  Raises:
    InputError: the file does not exist, or is not a valid config.
  """
  path = expand(spec)
  if path.is_dir():
    return RunDirectory(path).read_config()
  if path.suffix != '.json':
    config = cfg.load_config(str(expand(spec)))
    try:
      return complete(config)
    except InputError as error:
      raise InputError(f'{spec}: {error}') from None
  if path.name == 'config.json' and (path.parent / 'data.json').is_file():
    return RunDirectory(path.parent).read_config()
  try:
    values = json.loads(path.read_bytes())
  except FileNotFoundError:
    raise InputError(f'no config file {spec!r}') from None
  except ValueError as error:
    raise InputError(f'{path} is not valid JSON: {error}') from error
  if not isinstance(values, dict):
    raise InputError(f'{path} is not a config.json that a run wrote')
  return formats.read_config(values, path)
