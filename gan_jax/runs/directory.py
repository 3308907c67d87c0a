"""A run's directory: its lock, its config, and what it may continue with.

    config.json         the config, complete, and its format
    init.json, .npz     what it started from, if from another run's parameters
    data.json           shapes and sha256 of the data, and of the kept labels
    environment.json    versions, devices and commit, once per start
    metrics.jsonl       a line per report, one per checkpoint with its hash,
                        and one of a divergence
    tensorboard/        the same curves
    samples/            image grids from fixed noise
    checkpoints/        by orbax
    result.json         at the end

It is data: JSON, images and arrays, and nothing in it is ever executed. All
names in it are relative, so it can be moved.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from gan_jax import config as cfg
from gan_jax.core import os_errors
from gan_jax.core.errors import InputError
from gan_jax.core.files import expand, write_json, write_text
from gan_jax.runs import formats
from gan_jax.runs.environment import environment, environment_changes
from gan_jax.runs.fingerprint import sha256_of_file
from gan_jax.runs.metrics_log import read_lines
from gan_jax.runs.record import Record
from gan_jax.systems import free_keys

_LOCK = '.lock'
# What a kill may have left of a run that is not one yet: see `define`.
_BEFORE_CONFIG = (_LOCK, 'init.npz', 'init.json', 'data.json')
_OPTIONAL = {'format', 'num_skipped', 'std'}  # in data.json
_ABSENT = (
  'every run writes it before its first step, so it was removed, or not copied '
  'along: bring it back'
)
# What flock says where another process has the lock; all else means that the
# file system has none.
_LOCKED = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class RunDirectory:
  """The files of one run, by name."""

  def __init__(self, path: str | os.PathLike):
    if '://' in str(path):
      raise InputError(
        f'{path} is not a folder of this file system; mount the bucket, and '
        'name the folder where it is'
      )
    self.path = expand(path)
    self.config = self.path / 'config.json'
    self.data = self.path / 'data.json'
    self.init = self.path / 'init.json'
    self.environment = self.path / 'environment.json'
    self.metrics = self.path / 'metrics.jsonl'
    self.samples = self.path / 'samples'
    self.tensorboard = self.path / 'tensorboard'
    self.checkpoints = self.path / 'checkpoints'
    self.result = self.path / 'result.json'
    self._edited = False  # config.json, before this start

  def read_config(self) -> ConfigDict:
    """The run's config; InputError if this is no run's directory."""
    return self._migrated(self._stored_config(), self.config)

  def _migrated(
    self, values: Mapping[str, Any], source: pathlib.Path
  ) -> ConfigDict:
    steps_per_epoch = None
    if self.data.is_file():
      steps_per_epoch = self._stored_data()['spec'].get('steps_per_epoch')
    return formats.read_config(values, source, self.version(), steps_per_epoch)

  def config_of(self, result: dict[str, Any]) -> ConfigDict:
    """The config that result.json remembers."""
    return self._migrated(result['config'], self.result)

  def _stored_config(self) -> dict[str, Any]:
    if not self.config.is_file():
      raise InputError(f'{self.path} is not a run directory: no config.json')
    return self.read_json(self.config)

  def config_was_edited(self) -> bool:
    """Tells whether config.json was changed since the last start wrote it."""
    sessions = self.sessions()
    recorded = sessions[-1].get('config_sha256') if sessions else None
    return recorded is not None and recorded != sha256_of_file(self.config)

  def version(self) -> str:
    """The version of gan_jax that wrote to it last."""
    sessions = self.sessions()  # 0.1.0 did not write it down
    return sessions[-1].get('gan_jax', '0.1.0') if sessions else '(unknown)'

  def read_json(self, path: pathlib.Path) -> dict[str, Any]:
    """A JSON object; InputError if the file is absent or holds none."""
    try:
      value = json.loads(path.read_bytes())
    except FileNotFoundError:
      raise InputError(f'{self.path} has no {path.name}; {_ABSENT}') from None
    except ValueError as error:
      raise InputError(f'{path} is not valid JSON: {error}') from error
    if not isinstance(value, dict):
      raise InputError(f'{path} is not the file that a run writes')
    return value

  def read_data(self) -> dict[str, Any]:
    """data.json: {'spec': the data's spec as a dict, 'sha256': hashes}.

    And 'num_skipped', where files were; and 'std', the training images'
    deviation, of a run whose G draws samples.
    """
    return formats.read_data(
      self._stored_data(), self._stored_config(), self.data, self.version()
    )

  def _stored_data(self) -> dict[str, Any]:
    data = self.read_json(self.data)
    good = data.keys() - _OPTIONAL == {'spec', 'sha256'}
    good = good and all(isinstance(data[x], dict) for x in ('spec', 'sha256'))
    if not good:
      raise InputError(f'{self.data} is not the file that a run writes')
    return data

  def lines(self) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, epochs as this version counts them."""
    lines = list(read_lines(self.metrics))
    if not self.data.is_file():
      return lines
    steps_per_epoch = self.read_data()['spec']['steps_per_epoch']
    for line in lines:
      if 'epoch' in line:
        line['epoch'] = line['step'] / steps_per_epoch
    return lines

  def read_result(self) -> dict[str, Any]:
    """result.json; InputError if the run has none that is whole."""
    if not self.result.exists():
      raise InputError(
        f'{self.path} has no {self.result.name}; the run is not finished'
      )
    result = self.read_json(self.result)
    kinds = {'system': str, 'steps': int, 'sha256': dict, 'config': dict}
    if not all(isinstance(result.get(k), kind) for k, kind in kinds.items()):
      raise InputError(
        f'{self.result} is not the file that a run writes; remove it, and the '
        'same training command writes it anew'
      )
    formats.format_of(result['config'], self.result, self.version())
    return result

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Makes the directory if need be and keeps other processes from writing.

    Raises:
      InputError: it cannot be written, is not a run's, or is in use.
    """
    try:
      self.path.mkdir(parents=True, exist_ok=True)
      foreign = not self.config.exists() and any(
        entry.name not in _BEFORE_CONFIG and entry.suffix != '.tmp'
        for entry in self.path.iterdir()
      )
      if foreign:
        raise InputError(
          f'{self.path} is neither empty nor a run directory; choose another '
          '--workdir'
        )
      lock = (self.path / _LOCK).open('a')
    except OSError as error:
      reason = os_errors.explain(error)
      raise InputError(f'cannot write to {self.path}: {reason}') from error
    with lock:
      try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except OSError as error:
        if error.errno in _LOCKED:
          raise InputError(
            f'another process is working on {self.path}; wait for it, or '
            'choose another --workdir'
          ) from None
        raise InputError(
          f'the file system of {self.path} cannot lock files (flock: '
          f'{error.strerror}), so two trainings could write to it at once; '
          'choose a --workdir on another one, or mount it with locks'
        ) from error
      lock.truncate(0)
      lock.write(secrets.token_hex())
      lock.flush()
      os.fsync(lock.fileno())
      yield

  def owner(self) -> str:
    """A word that only the process that has it `locked` knew before; or ''.

    So processes know whether they see the same directory.
    """
    path = self.path / _LOCK
    return path.read_text() if path.exists() else ''

  def check_folders(self) -> None:
    """Raises InputError if a file stands where a run keeps a folder."""
    for folder in (self.samples, self.checkpoints, self.tensorboard):
      if folder.exists() and not folder.is_dir():
        raise InputError(f'{folder} is a file, not a folder; move it away')

  def check(self, config: ConfigDict, data: dict[str, Any]) -> None:
    """Raises InputError if this is a run of another config or other data."""
    if not self.config.exists():
      return
    changed = cfg.differences(
      self.read_config(), config, free_keys(config.system)
    )
    if changed:
      raise InputError(
        f'{self.path} is a run of another config: {"; ".join(changed)}. '
        'Choose another --workdir; --workdir alone goes on with its own config'
      )
    changes = data_changes(self.read_data(), data)
    if changes:
      raise InputError(
        f'the data are not those that {self.path} was started with: '
        f'{"; ".join(changes)}'
      )

  def define(self, config: ConfigDict, data: dict[str, Any]) -> None:
    """Writes what the run is; config.json last, which makes it a run."""
    self._edited = self.config_was_edited()
    if not self.config.exists():  # else they are the same, and checked
      write_json(self.data, {'format': formats.current()} | data)
    write_text(self.config, config_text(config))

  def sessions(self) -> list[dict[str, Any]]:
    """The environment of each start of the run, in order."""
    if not self.environment.exists():
      return []
    sessions = self.read_json(self.environment).get('sessions')
    if not isinstance(sessions, list) or not all(
      isinstance(session, dict) and isinstance(session.get('from_step'), int)
      for session in sessions
    ):
      raise InputError(f'{self.environment} has no list of sessions')
    return sessions

  def record(self) -> Record:
    """Reads what the run recorded of itself."""
    return Record(self.lines(), self.sessions())

  def record_environment(
    self, step: int, parallel: str, report_every: int
  ) -> list[str]:
    """Notes what the run goes on with from `step`; returns what changed.

    Args:
      step: the number of steps done.
      parallel: how the batch is split.
      report_every: steps between reports, from here on.
    """
    now = environment(parallel)
    sessions = self.sessions()
    changes = environment_changes(sessions[-1], now) if sessions else []
    edited = {'config_edited': True} if self._edited else {}
    sessions.append({
      'from_step': step,
      **edited,
      'report_every_steps': report_every,
      'config_sha256': sha256_of_file(self.config),
      **now,
    })  # fmt: skip
    write_json(self.environment, {'sessions': sessions})
    return changes


def config_text(config: ConfigDict) -> str:
  """Formats config.json: the whole config, and its format number."""
  values = {'format': formats.current()} | config.to_dict()
  return json.dumps(values, indent=2, sort_keys=True) + '\n'


def data_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
  """The differences between two data.json, as 'what: old -> new'.

  `class_counts` that an older version did not record, None, do not count; nor
  does how many files were skipped, if the others are the same.
  """
  lines = []
  for group in ('sha256', 'spec'):
    before, after = old.get(group, {}), new.get(group, {})
    for key in sorted(before.keys() | after.keys()):
      unknown = key == 'class_counts' and before.get(key, 0) is None
      if before.get(key) != after.get(key) and not unknown:
        lines.append(f'{group}.{key}: {before.get(key)} -> {after.get(key)}')
  return lines
