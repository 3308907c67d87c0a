"""Format versions of a run directory, and migrations from older ones.

config.json, data.json and result.json record their format; without one it is 1,
the format of version 0.1.0. The row of a config key records the format that
introduced it and the value that preserves older behaviour: a new key needs
nothing else. Renamed keys, and keys whose meaning changed, are migrated here by
pure functions of a file's contents. Files of newer formats are refused.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

import gan_jax
from gan_jax.config import flatten, from_values
from gan_jax.config.table import all_rows, check, resolve
from gan_jax.core.errors import InputError
from gan_jax.systems import SYSTEMS, options

_CHANGED = 3  # the last format that did more than add keys

# Leaves that older states may lack, since their initial value preserves the
# behaviour: a pattern of the path, such as r'generator/ema/.*', and the format
# that introduced them.
ADDED_LEAVES: dict[str, int] = {}


def current() -> int:
  """Returns the format that this version writes."""
  rows = [row for name in SYSTEMS for *_, row in all_rows(options(name))]
  since = [row.since for row in rows]
  return max([_CHANGED, *since, *ADDED_LEAVES.values()])


def format_of(values: Mapping[str, Any], source: Any, version: str) -> int:
  """Returns the format of a file's contents.

  Args:
    values: the contents.
    source: the file, for messages.
    version: the version of gan_jax that wrote it, if known.

  Raises:
    InputError: it is newer than this version, or invalid.
  """
  number = values.get('format', 1)
  if not isinstance(number, int) or isinstance(number, bool) or number < 1:
    raise InputError(
      f'{source}: format must be an integer >= 1, not {number!r}'
    )
  if number > current():
    raise InputError(
      f'{source} is of format {number}, which gan_jax {version} wrote; this is '
      f'gan_jax {gan_jax.__version__}, which reads formats 1 to {current()}: '
      'use a newer version'
    )
  return number


def read_config(
  values: Mapping[str, Any],
  source: Any,
  version: str = '(unknown)',
  steps_per_epoch: int | None = None,
) -> ConfigDict:
  """Reads the config in a config.json of any format.

  Args:
    values: the file's contents.
    source: the file, for messages.
    version: the version of gan_jax that wrote it, if known.
    steps_per_epoch: the value in data.json, needed for format 1.

  Raises:
    InputError: the format is newer, the system unknown, or a key is unknown,
      missing or invalid.
  """
  number = format_of(values, source, version)
  flat = dict(flatten({k: v for k, v in values.items() if k != 'format'}))
  try:
    if number < 2:
      flat = _config_to_2(flat, steps_per_epoch)
    if number < 3:
      flat = _config_to_3(flat)
    rows = options(flat.get('system'))
    keys = resolve(rows, flat, before=True)
    added = {k: row.was for k, row in keys.items() if row.since > number}
    flat = added | flat
    flat = {k: tuple(v) if isinstance(v, list) else v for k, v in flat.items()}
    check(rows, flat)
  except InputError as error:
    raise InputError(
      f'{source}: {error}. gan_jax {version} wrote it, in format {number}; '
      f'this is gan_jax {gan_jax.__version__}'
      if version != gan_jax.__version__
      else f'{source}: {error}; it was edited'
    ) from None
  return from_values(flat, keys)


def read_data(
  values: Mapping[str, Any],
  config: Mapping[str, Any],
  source: Any,
  version: str = '(unknown)',
) -> dict[str, Any]:
  """Reads the contents of a data.json of any format.

  Args:
    values: the file's contents, {'spec': ..., 'sha256': ...}.
    config: the contents of the run's config.json.
    source: the file, for messages.
    version: the version of gan_jax that wrote it, if known.
  """
  number = format_of(values, source, version)
  data = {k: v for k, v in values.items() if k != 'format'}
  if number < 2:
    turns = _turns(dict(flatten(config)))
    spec = dict(data['spec'])
    # A step was taken to use one batch. Nested floor divisions agree.
    if isinstance(steps := spec.get('steps_per_epoch'), int):
      spec['steps_per_epoch'] = max(1, steps // turns)
    data['spec'] = spec
  if number < 3 and 'num_classes' in data['spec']:
    data['spec'] = {'class_counts': None} | data['spec']
  return data


def _config_to_2(
  flat: Mapping[str, Any], steps_per_epoch: int | None
) -> dict[str, Any]:
  """Migrates to format 2: keys per variant; an epoch is a pass of D's data.

  An epoch used to be `n_critic` passes. Durations in epochs are converted, so
  that the run's length, saves and decays stay at the same steps.
  """
  flat = dict(flat)
  if flat.get('loss.adversarial.name') not in ('minimax', 'non_saturating'):
    flat.pop('loss.adversarial.label_smoothing', None)
  players = [f'optimizer.{player}' for player in ('generator', 'discriminator')]
  for player in players:
    if flat.get(f'{player}.name') == 'sgd':
      for name in ('b1', 'b2', 'eps', 'eps_root'):
        flat.pop(f'{player}.{name}', None)
  turns = _turns(flat)
  if turns == 1:
    return flat
  if not isinstance(steps_per_epoch, int):  # absent, or edited
    steps_per_epoch = None
  epochs = ['train.num_epochs']
  for player in players:
    if flat.get(f'{player}.schedule.name') == 'linear':
      epochs += [f'{player}.schedule.{x}_epochs' for x in ('constant', 'decay')]
  if steps_per_epoch is None or steps_per_epoch % turns == 0:
    for key in epochs:
      if isinstance(flat.get(key), int):
        flat[key] *= turns
  elif len(epochs) > 1:
    raise InputError(
      f'a linear schedule with n_critic = {turns} cannot be counted in the '
      'epochs of this version; gan_jax 0.1.0 reads it'
    )
  elif isinstance(flat.get('train.num_epochs'), int):
    if flat['train.num_epochs']:
      flat['train.num_steps'] = flat['train.num_epochs'] * steps_per_epoch
    flat['train.num_epochs'] = None
  if steps_per_epoch is not None:
    every = [
      'checkpoint.save_every_steps',
      'log.report_every_steps',
      *(
        f'{player}.schedule.decay_every_steps'
        for player in players
        if flat.get(f'{player}.schedule.name') == 'exponential'
      ),
    ]
    for key in every:
      flat[key] = flat.get(key) or steps_per_epoch
  return flat


def _config_to_3(flat: Mapping[str, Any]) -> dict[str, Any]:
  """Migrates to format 3: schedules have a unit; averages have a group."""
  flat = dict(flat)
  for player in ('generator', 'discriminator'):
    group = f'optimizer.{player}'
    decay = flat.pop(f'{group}.ema_decay', None)
    if decay is not None:
      flat[f'{group}.ema.name'] = 'debiased' if decay else 'none'
    if decay:
      flat[f'{group}.ema.decay'] = decay
    schedule = f'{group}.schedule'
    if flat.get(f'{schedule}.name') == 'linear':
      for old, new in (('constant_epochs', 'hold'), ('decay_epochs', 'length')):
        if f'{schedule}.{old}' in flat:
          flat[f'{schedule}.{new}'] = flat.pop(f'{schedule}.{old}')
    if f'{schedule}.decay_every_steps' in flat:
      every = flat.pop(f'{schedule}.decay_every_steps')
      flat[f'{schedule}.unit'] = 'epochs' if every is None else 'steps'
      flat[f'{schedule}.every'] = 1 if every is None else every
  return flat


def _turns(flat: Mapping[str, Any]) -> int:
  """Counts D's updates in a step; an invalid number is refused later."""
  turns = flat.get('loss.n_critic')
  return turns if isinstance(turns, int) and turns > 0 else 1
