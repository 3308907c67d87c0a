"""Verification of a run: trains it again from its directory and compares."""

import sys
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
from tqdm import tqdm

from gan_jax import config as cfg
from gan_jax.core.errors import InputError
from gan_jax.data.dataset import Dataset
from gan_jax.data.domain_sets import DomainDataset
from gan_jax.devices.parallel import mode_in_use
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.runs.checkpoint import Checkpoints
from gan_jax.runs.directory import RunDirectory, data_changes
from gan_jax.runs.environment import environment, environment_changes
from gan_jax.runs.fingerprint import fingerprints
from gan_jax.runs.program import (
  Due,
  Program,
  advance,
  build,
  init_state,
  state_template,
)
from gan_jax.runs.record import Record, told
from gan_jax.systems.state import TrainState
from gan_jax.training import origin
from gan_jax.training.meter import Clock, Meter


class Verdict(NamedTuple):
  """Outcome of a verification."""

  # The first difference and its step; None: all is reproduced bit for bit.
  finding: str | None
  # Changes of config, environment or data that may explain it.
  causes: list[str]
  steps: list[int]  # the checkpoint steps that were compared
  notes: list[str]  # what could not be compared


def verify(
  workdir: str,
  *,
  data_dir: str | None = None,
  dataset: Dataset | DomainDataset | None = None,
) -> Verdict:
  """Trains a run again, from its config.json alone, and compares.

  Nothing in the directory is changed. The comparison covers the hash of the
  data, the state's hash at every recorded checkpoint step, every value but the
  times in the reports of metrics.jsonl, the checkpoints that still exist, and
  everything but the speed in result.json. Values that the run did not record,
  because its version did not know them, are ignored with a note.

  Args:
    workdir: the run directory; config.json, data.json and metrics.jsonl are
      enough.
    data_dir: the current folder of the data, if it is not the config's.
    dataset: replaces the one that the config names.

  Raises:
    InputError: not a run directory, or one without a recorded checkpoint.
  """
  directory = RunDirectory(workdir)
  config = directory.read_config()
  result = directory.read_result() if directory.result.exists() else None
  causes = _edited(directory, config, result)
  config.data.data_dir = data_dir or config.data.data_dir
  program = origin.bind(build(config, dataset), directory)
  record = directory.record()
  if not record.hashes:
    raise InputError(f'{directory.path} has no recorded checkpoint yet')
  edited = directory.config_was_edited() or any(
    session.get('config_edited') for session in record.sessions
  )
  if edited and not causes:  # result.json does not tell which key
    causes.append(
      'config.json is not the file that the run recorded when it was started'
    )
  changed = data_changes(directory.read_data(), program.describe_data())
  causes += [f'data: {change}' for change in changed]
  now = environment(mode_in_use(config.parallel))
  for session in record.sessions:
    causes += environment_changes(session, now)

  until = max(record.hashes)
  if result is not None:
    until = max(until, result['steps'])
  lost = record.lost(program.plan.save_every, until)
  saved = _compare_checkpoints(directory, program, record.hashes)
  unknown: set[str] = set()
  past = _Past(record, lost, until)
  trained, state = _train_again(program, past, unknown)
  found = sorted({x for x in (trained, saved) if x is not None})
  finding = '; '.join(f'step {step}: {what}' for step, what in found) or None
  if finding is None and result is not None:
    finding = _compare_result(result, Evaluator(program).result(state), unknown)
  if finding is None and changed:
    finding = 'the data differ'
  if lost:
    gap = f'metrics.jsonl has lost {told(lost)}'
    finding = f'{finding}; {gap}' if finding else gap
  notes = [f'not compared, because the run did not record it: {name}'
           for name in sorted(unknown)]  # fmt: skip
  return Verdict(
    finding, list(dict.fromkeys(causes)), sorted(record.hashes), notes
  )


def _edited(
  directory: RunDirectory, config: ConfigDict, result: dict[str, Any] | None
) -> list[str]:
  """Lists the keys of config.json that differ from those in result.json."""
  if result is None:
    return []
  then = dict(cfg.flatten(directory.config_of(result)))
  now = dict(cfg.flatten(config))
  return [
    f'config.{key} is {now.get(key, "(absent)")!r} in config.json and '
    f'{then.get(key, "(absent)")!r} in result.json'
    for key in sorted(then.keys() | now.keys())
    if then.get(key, '(absent)') != now.get(key, '(absent)')
  ]


def _compare_checkpoints(
  directory: RunDirectory, program: Program, recorded: dict[int, str]
) -> tuple[int, str] | None:
  """Returns the first checkpoint that is damaged or not the recorded one."""
  checkpoints = Checkpoints(
    directory.checkpoints, initial=lambda: init_state(program)
  )
  for step in checkpoints.steps():
    try:
      saved = checkpoints.restore(step, state_template(program))
    except InputError as error:
      return step, str(error)
    if step not in recorded:
      return step, 'metrics.jsonl has no line for the checkpoint'
    if fingerprints(jax.device_get(saved.state))['state'] != recorded[step]:
      return step, 'the checkpoint is not the one that was recorded'
  return None


class _Past:
  """Plan of a run as it was carried out, according to its record.

  The report interval may change within a run, so the config alone does not
  tell at which steps the meter was reset.

  Args:
    record: the run's record.
    lost: the lines that it has lost; their reports were due.
    until: the last step to compare.
  """

  def __init__(self, record: Record, lost: list[tuple[int, str]], until: int):
    self.hashes, self.reports = record.hashes, record.reports
    self.until = until
    self._lost = {step for step, what in lost if what == 'report'}

  def due(self, step: int) -> Due:
    return Due(
      report=step in self.reports or step in self._lost,
      save=step in self.hashes,
      last=step >= self.until,
    )


def _train_again(
  program: Program, past: _Past, unknown: set[str]
) -> tuple[tuple[int, str] | None, TrainState]:
  """Returns the first step whose report or state differs, and the last state.

  Args:
    program: the program to train.
    past: the recorded plan and values.
    unknown: collects the names of values that the run did not record.
  """
  state = init_state(program)
  meter, evaluator = Meter({}), Evaluator(program)
  bar = tqdm(
    total=past.until, unit='step', disable=not sys.stderr.isatty(), leave=False
  )
  with bar:
    for step, state, metrics in advance(program, state, 0):  # noqa: B020
      bar.update(program.plan.steps_per_dispatch)
      meter.add(step, metrics)
      due = past.due(step)
      if due.save:
        sha256 = fingerprints(jax.device_get(state))['state']
        if sha256 != past.hashes[step]:
          return (step, 'the state differs'), state
      if due.report:
        meter.flush()
        if step in past.reports:
          line = evaluator.line(step, state, meter.means())
          difference = _compare_report(past.reports[step], line, unknown)
          if difference is not None:
            return (step, difference), state
        meter.reset()
      if due.last:
        return None, state


def _compare_report(
  recorded: dict[str, Any], line: dict[str, Any], unknown: set[str]
) -> str | None:
  """Returns the first value of a report, besides times, that differs."""
  unknown |= line.keys() - recorded.keys()
  for name in sorted(recorded.keys() - set(Clock.TIMES)):
    if name not in line or recorded[name] != line[name]:
      return (
        f'{name} in metrics.jsonl is {recorded[name]}, not {line.get(name)}'
      )
  return None


def _compare_result(
  recorded: dict[str, Any], result: dict[str, Any], unknown: set[str]
) -> str | None:
  """Returns the first entry of result.json that differs."""
  unknown |= result.keys() - recorded.keys()
  for name in result:
    if name in recorded and recorded[name] != result[name]:
      return f'{name} in result.json is {recorded[name]}, not {result[name]}'
  return None
