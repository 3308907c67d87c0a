"""Plan of a sweep: every combination of values with every seed."""

import itertools
import pathlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gan_jax.config import flatten
from gan_jax.config.table import all_rows, parse, unknown
from gan_jax.core.errors import InputError, choice
from gan_jax.systems import check, options, override

_SEEDS = ('seed', 'data.label_seed')  # the keys that a seed sets

Values = Mapping[str, Sequence[Any]]  # by config key, in order
Arms = Mapping[str, Mapping[str, Any]]  # values of several keys, by arm's name
_ARM = 'arm'  # takes the place of a config key


class Run(NamedTuple):
  """One run of a sweep."""

  cell: dict[str, Any]  # the varied keys, and their values in this run
  seed: int
  config: ConfigDict
  name: str  # of its directory
  notes: list[str]  # on keys that the values removed from the config


class Protocol(NamedTuple):
  """A sweep that a file describes; see `read_protocol`."""

  seeds: list[int]
  vary: dict[str, list[Any]]  # by config key; `arm` stands for keys of `arms`
  arms: dict[str, dict[str, Any]]
  source: str  # of the published numbers
  published: dict[str, list[str]]  # 'single', 'ensemble': one per combination


def parse_vary(
  config: ConfigDict, texts: Sequence[str], arms: Arms | None = None
) -> dict[str, list]:
  """Parses lists of values, such as `--vary=data.num_labels=20,50`.

  Args:
    config: a config of the system.
    texts: each 'KEY=VALUE,VALUE,...'. A tuple needs parentheses.
    arms: the arms of the sweep, if any; their key is `arm`.

  Raises:
    InputError: a key is unknown or repeated, or a value is empty or repeated.
  """
  rows, vary = options(config.system), {}
  for text in texts:
    key, equals, values = text.partition('=')
    key = key.removeprefix('config.')
    if not equals:
      raise InputError(f'--vary={text}: want KEY=VALUE,VALUE,...')
    if key in vary:
      raise InputError(f'--vary names {key} twice; give all values at once')
    is_arm = bool(arms) and key == _ARM
    vary[key] = [
      parse(rows, key, value) if value and not is_arm else value
      # Split at commas, except inside parentheses.
      for value in map(str.strip, re.split(r',(?![^()]*\))', values))
    ]
  check_values(config, vary, arms)
  return vary


def check_values(
  config: ConfigDict, vary: Values, arms: Arms | None = None
) -> None:
  """Raises InputError for keys or values that cannot be varied."""
  keys = [key for key, *_ in all_rows(options(config.system))]
  keys += [_ARM] if arms else []
  for key, values in vary.items():
    if key not in keys:
      raise unknown(key, keys)
    if key in _SEEDS:
      raise InputError(f'config.{key} is set by the seeds, not varied')
    if not values or '' in values:
      raise InputError(f'config.{key} has an empty value; give all values')
    for i, value in enumerate(values):
      if value in values[:i]:
        raise InputError(f'config.{key} has the value {value!r} twice')


def read_protocol(path: str) -> Protocol:
  """Reads a sweep's protocol from a TOML file.

  It has `seeds`, integers; a table `vary` of lists by config key, or a table
  `arms` of tables, which set several config keys each; and, optionally, a table
  `published` of reference results, with `source` and lists of texts, one per
  combination or arm, for `single` runs and for their `ensemble`.

  Raises:
    InputError: the file does not exist, or is invalid.
  """
  try:
    with pathlib.Path(path).open('rb') as file:
      read = tomllib.load(file)
    published = dict(read.pop('published', {}))
    arms = {
      name: {key: _as_tuple(value) for key, value in keys.items()}
      for name, keys in read.pop('arms', {}).items()
    }
    if arms and 'vary' in read:
      raise InputError(f'{path} has arms and vary; give one of them')
    vary = {} if arms else read.pop('vary')
    protocol = Protocol(
      seeds=[int(seed) for seed in read.pop('seeds')],
      vary={_ARM: [*arms]}
      if arms
      else {key: [*map(_as_tuple, values)] for key, values in vary.items()},
      arms=arms,
      source=published.pop('source', ''),
      published=published,
    )
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error
  except KeyError as error:
    raise InputError(f'{path} has no {error}') from error
  except (ValueError, TypeError, AttributeError) as error:
    raise InputError(f'{path} describes no sweep: {error}') from error
  num = len(_combinations(protocol.vary))
  for name in read:
    raise InputError(f'{path}: unknown key {name!r}')
  for name, texts in published.items():
    if name not in ('single', 'ensemble') or len(texts) != num:
      raise InputError(
        f'{path}: published.{name}: want single or ensemble, with {num} texts'
      )
  return protocol


def _as_tuple(value: Any) -> Any:
  return tuple(value) if isinstance(value, list) else value


def _combinations(vary: Values) -> list[dict[str, Any]]:
  return [
    dict(zip(vary, values, strict=True))
    for values in itertools.product(*vary.values())
  ]


def plan_runs(
  config: ConfigDict,
  vary: Values,
  seeds: Sequence[int],
  arms: Arms | None = None,
) -> list[Run]:
  """Plans every combination of the values with every seed, seeds fastest.

  A seed sets `config.seed`, and `config.data.label_seed` if the config has it.

  Raises:
    InputError: a combination is not a valid config.
  """
  arms = arms or {}
  check_values(config, vary, arms)
  if not seeds or len(set(seeds)) < len(seeds):
    raise InputError(f'seeds must be different numbers, not {list(seeds)}')
  runs = [
    _plan_run(config, cell, seed, arms)
    for cell in _combinations(vary)
    for seed in seeds
  ]
  if len({run.name for run in runs}) < len(runs):
    raise InputError('two runs would have the same directory')
  return runs


def _plan_run(
  config: ConfigDict, cell: dict[str, Any], seed: int, arms: Arms
) -> Run:
  parts = [f'{short}={value}' for short, value in short_names(cell).items()]
  name = '-'.join([*parts, f'seed={seed}'])
  seeds = dict.fromkeys([key for key in _SEEDS if _has(config, key)], seed)
  try:
    values = dict(cell)
    values |= arms.get(values.pop(_ARM, None), {})
    config, notes = override(config, values | seeds)
    check(config)
  except InputError as error:
    raise InputError(f'{name}: {error}') from error
  return Run(cell, seed, config, re.sub(r'[^\w.=+-]', '_', name), notes)


def _has(config: ConfigDict, key: str) -> bool:
  return key in dict(flatten(config))


def short_names(cell: Mapping[str, Any]) -> dict[str, Any]:
  """Shortens the keys to their last parts, if these are distinct."""
  last = [key.rpartition('.')[2] for key in cell]
  names = last if len(set(last)) == len(last) else list(cell)
  return dict(zip(names, cell.values(), strict=True))


def narrowed(vary: dict[str, list], to: dict[str, list]) -> dict[str, list]:
  """Restricts `vary` to the values in `to`.

  Raises:
    InputError: `to` has a key or a value that `vary` does not have.
  """
  for key, values in to.items():
    if key not in vary:
      raise choice('key of this sweep', key, vary)
    for value in values:
      if value not in vary[key]:
        raise InputError(
          f'{key}={value} is not in this sweep, which has '
          f'{", ".join(map(str, vary[key]))}'
        )
  return vary | to
