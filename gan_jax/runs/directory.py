"""Run directory: its lock, its files, and checks before a run continues.

    config.json         the complete config, and its format
    init.json, .npz     initial parameters, if taken from another run
    data.json           shapes and sha256 of the data, and of the kept labels
    environment.json    versions, devices and commit, once per start
    metrics.jsonl       a line per report, one per checkpoint with its hash,
                        and one of a divergence
    tensorboard/        the same curves
    samples/            image grids from fixed noise
    checkpoints/        written by orbax
    result.json         the final scores, written at the end

It holds only data (JSON, images and arrays), and nothing in it is ever
executed. All paths in it are relative, so it can be moved.
"""

import contextlib
import datetime
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
from gan_jax.data.spec import are_split_sizes
from gan_jax.runs import formats
from gan_jax.runs.environment import environment, environment_changes
from gan_jax.runs.fingerprint import sha256_of_file
from gan_jax.runs.metrics_log import read_lines
from gan_jax.runs.record import Record
from gan_jax.systems import free_keys

_LOCK = '.lock'
# Files that a kill may leave before the directory is a run's: see `define`.
_BEFORE_CONFIG = (_LOCK, 'init.npz', 'init.json', 'data.json')
_OPTIONAL = {'format', 'num_images', 'num_skipped', 'std'}  # in data.json
_ABSENT = (
  'every run writes it before its first step, so it was removed, or not '
  'copied; restore it'
)
# flock's errors if another process has the lock; any other error means that the
# file system has no locks.
_LOCKED = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class RunDirectory:
  """Directory of one run, and its files by name."""

  def __init__(self, path: str | os.PathLike):
    if '://' in str(path):
      raise InputError(
        f'{path} is not a folder of this file system; mount the bucket, and '
        'give the folder where it is mounted'
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
    self._edited = False  # whether config.json was, before this start

  def read_config(self) -> ConfigDict:
    """Reads the run's config; raises InputError if this is not a run's."""
    return self._migrated(self._stored_config(), self.config)

  def _migrated(
    self, values: Mapping[str, Any], source: pathlib.Path
  ) -> ConfigDict:
    steps_per_epoch = None
    if self.data.is_file():
      steps_per_epoch = self._stored_data()['spec'].get('steps_per_epoch')
    return formats.read_config(values, source, self.version(), steps_per_epoch)

  def config_of(self, result: dict[str, Any]) -> ConfigDict:
    """Returns the config that result.json recorded."""
    return self._migrated(result['config'], self.result)

  def _stored_config(self) -> dict[str, Any]:
    if not self.config.is_file():
      raise InputError(f'{self.path} is not a run directory: no config.json')
    return self.read_json(self.config)

  def config_was_edited(self) -> bool:
    """Tells whether config.json was edited after the last start wrote it."""
    sessions = self.sessions()
    recorded = sessions[-1].get('config_sha256') if sessions else None
    return recorded is not None and recorded != sha256_of_file(self.config)

  def version(self) -> str:
    """Returns the version of gan_jax that last wrote to it."""
    sessions = self.sessions()  # 0.1.0 did not record its version
    return sessions[-1].get('gan_jax', '0.1.0') if sessions else '(unknown)'

  def read_json(self, path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON object; raises InputError if the file has none."""
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
    """Reads data.json: {'spec': the data's spec as a dict, 'sha256': hashes}.

    It also has 'num_images', the sizes of the splits, unless a version before
    0.2.0 wrote it. If files were skipped, it has 'num_skipped', and for a G
    that draws samples 'std', the deviation of the training images.
    """
    return formats.read_data(
      self._stored_data(), self._stored_config(), self.data, self.version()
    )

  def _stored_data(self) -> dict[str, Any]:
    data = self.read_json(self.data)
    good = data.keys() - _OPTIONAL == {'spec', 'sha256'}
    good = good and all(isinstance(data[x], dict) for x in ('spec', 'sha256'))
    if 'num_images' in data:
      good = good and are_split_sizes(data['num_images'])
    if not good:
      raise InputError(f'{self.data} is not the file that a run writes')
    return data

  def lines(self) -> Iterator[dict[str, Any]]:
    """Reads metrics.jsonl line by line; converts epochs to this version."""
    steps_per_epoch = None
    if self.data.is_file():
      steps_per_epoch = self.read_data()['spec']['steps_per_epoch']
    for line in read_lines(self.metrics):
      if 'epoch' in line and steps_per_epoch is not None:
        line['epoch'] = line['step'] / steps_per_epoch
      yield line

  def read_result(self) -> dict[str, Any]:
    """Reads result.json; raises InputError if it is absent or incomplete."""
    if not self.result.exists():
      raise InputError(
        f'{self.path} has no {self.result.name}; the run is not finished'
      )
    result = self.read_json(self.result)
    kinds = {'system': str, 'steps': int, 'sha256': dict, 'config': dict}
    if not all(isinstance(result.get(k), kind) for k, kind in kinds.items()):
      raise InputError(
        f'{self.result} is not the file that a run writes; remove it, and the '
        'same training command writes it again'
      )
    formats.format_of(result['config'], self.result, self.version())
    return result

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Creates the directory if needed, and locks it against other processes.

    Raises:
      InputError: it is not writable, is not a run's, or is in use.
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
    """Reads the random token of the process that has it `locked`; '' if none.

    Processes compare it to check that they see the same directory.
    """
    path = self.path / _LOCK
    return path.read_text() if path.exists() else ''

  def check_folders(self) -> None:
    """Raises InputError if one of the run's folders is a file."""
    for folder in (self.samples, self.checkpoints, self.tensorboard):
      if folder.exists() and not folder.is_dir():
        raise InputError(f'{folder} is a file, not a folder; move it away')

  def check(self, config: ConfigDict, data: dict[str, Any]) -> None:
    """Raises InputError if this is a run with another config or other data."""
    if not self.config.exists():
      return
    changed = cfg.differences(
      self.read_config(), config, free_keys(config.system)
    )
    if changed:
      raise InputError(
        f'{self.path} is a run of another config: {"; ".join(changed)}. '
        'Choose another --workdir; --workdir alone continues with its own '
        'config'
      )
    changes = data_changes(self.read_data(), data)
    if changes:
      raise InputError(
        f'the data are not those that {self.path} was started with: '
        f'{"; ".join(changes)}'
      )

  def define(self, config: ConfigDict, data: dict[str, Any]) -> None:
    """Writes the run's definition; config.json last, which makes it a run."""
    self._edited = self.config_was_edited()
    if not self.config.exists():  # else `check` has found it unchanged
      write_json(self.data, {'format': formats.current()} | data)
    write_text(self.config, config_text(config))

  def sessions(self) -> list[dict[str, Any]]:
    """Reads the environment of each start of the run, in order."""
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
    """Reads the run's record: its reports, checkpoints and starts."""
    return Record(list(self.lines()), self.sessions())

  def record_environment(
    self, step: int, parallel: str, report_every: int
  ) -> list[str]:
    """Records the environment from `step` on; returns its changes.

    Args:
      step: the number of completed steps.
      parallel: how the batch is split.
      report_every: steps between reports, from here on.
    """
    now = environment(parallel)
    sessions = self.sessions()
    changes = environment_changes(sessions[-1], now) if sessions else []
    edited = {'config_edited': True} if self._edited else {}
    sessions.append({
      'from_step': step,
      'started': datetime.datetime.now(datetime.UTC).isoformat(
        timespec='seconds'
      ),
      **edited,
      'report_every_steps': report_every,
      'config_sha256': sha256_of_file(self.config),
      **now,
    })  # fmt: skip
    write_json(self.environment, {'sessions': sessions})
    return changes


def config_text(config: ConfigDict) -> str:
  """Formats config.json: the complete config, and its format number."""
  values = {'format': formats.current()} | config.to_dict()
  return json.dumps(values, indent=2, sort_keys=True) + '\n'


def data_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
  """Lists the differences between two data.json, as 'name: old -> new'.

  It ignores `class_counts` if an older version did not record them (None), and
  `num_skipped`.
  """
  lines = []
  for group in ('sha256', 'spec'):
    before, after = old.get(group, {}), new.get(group, {})
    for key in sorted(before.keys() | after.keys()):
      unknown = key == 'class_counts' and before.get(key, 0) is None
      if before.get(key) != after.get(key) and not unknown:
        lines.append(f'{group}.{key}: {before.get(key)} -> {after.get(key)}')
  return lines
