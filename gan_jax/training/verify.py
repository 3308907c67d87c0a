"""Proof of a run from its directory: train it again and compare."""

import sys
from typing import Any, NamedTuple

import jax
from tqdm import tqdm

from gan_jax.data.dataset import Dataset
from gan_jax.data.domain_sets import DomainDataset
from gan_jax.errors import InputError
from gan_jax.reporting.environment import environment, environment_changes
from gan_jax.reporting.metrics import read_lines
from gan_jax.training.checkpoint import Checkpoints
from gan_jax.training.evaluator import Evaluator
from gan_jax.training.fingerprint import fingerprints
from gan_jax.training.meter import Clock, Meter
from gan_jax.training.parallel import mode_in_use
from gan_jax.training.program import (
  Program,
  advance,
  build,
  init_state,
  state_template,
)
from gan_jax.training.run_directory import RunDirectory, data_changes
from gan_jax.training.state import TrainState


class Verdict(NamedTuple):
  """`finding` is None if everything compared was reproduced to the bit."""

  finding: str | None  # what differs, and at which step first
  causes: list[str]  # changes of environment or data that may explain it
  steps: list[int]  # the checkpoint steps that were compared


def verify(
  workdir: str,
  *,
  data_dir: str | None = None,
  dataset: Dataset | DomainDataset | None = None,
) -> Verdict:
  """Trains a run again, from its config.json alone, and compares.

  Nothing in the directory is changed. Compared are: the hash of the data, the
  state's hash at every checkpoint step that the run recorded, every value of
  every report in metrics.jsonl but the times, the checkpoints that are still
  there, and all of result.json but the speed.

  Args:
    workdir: the run directory.
    data_dir: where the data are now, if not where the config says.
    dataset: instead of the one that the config names.

  Raises:
    InputError: not a run directory, or one without a recorded checkpoint.
  """
  directory = RunDirectory(workdir)
  config = directory.read_config()
  config.data.data_dir = data_dir or config.data.data_dir
  program = build(config, dataset)
  recorded = directory.recorded_hashes()
  if not recorded:
    raise InputError(f'{directory.path} has no recorded checkpoint yet')
  now = environment(mode_in_use(config.parallel))
  causes = []
  for session in directory.sessions():
    causes += environment_changes(session, now)
  changed = data_changes(directory.read_data(), program.describe_data())
  causes = list(dict.fromkeys([f'data: {c}' for c in changed] + causes))

  saved = _compare_checkpoints(directory, program, recorded)
  reports = {
    line['step']: line
    for line in read_lines(directory.metrics)
    if 'epoch' in line
  }
  trained, state = _train_again(program, recorded, reports)
  found = min((x for x in (trained, saved) if x is not None), default=None)
  finding = found and f'step {found[0]}: {found[1]}'
  if finding is None and directory.result.exists():
    finding = _compare_result(directory, program, state)
  if finding is None and changed:
    finding = 'the data differ'
  return Verdict(finding, causes, sorted(recorded))


def _compare_checkpoints(
  directory: RunDirectory, program: Program, recorded: dict[int, str]
) -> tuple[int, str] | None:
  """The first checkpoint that is damaged or not what was recorded."""
  checkpoints = Checkpoints(directory.checkpoints)
  for step in checkpoints.steps():
    try:
      saved = checkpoints.restore(step, state_template(program))
    except InputError as error:
      return step, str(error)
    if fingerprints(jax.device_get(saved.state))['state'] != recorded.get(step):
      return step, 'the checkpoint is not the one that was recorded'
  return None


def _train_again(
  program: Program,
  hashes: dict[int, str],
  reports: dict[int, dict[str, Any]],
) -> tuple[tuple[int, str] | None, TrainState]:
  """The first step whose report or state differs, and the last state."""
  last = max(hashes)
  state = init_state(program)
  meter, evaluator = Meter({}), Evaluator(program)
  bar = tqdm(
    total=last, unit='step', disable=not sys.stderr.isatty(), leave=False
  )
  with bar:
    for step, state, metrics in advance(program, state, 0):  # noqa: B020
      bar.update(program.plan.steps_per_dispatch)
      meter.add(step, metrics)
      if step in hashes:
        sha256 = fingerprints(jax.device_get(state))['state']
        if sha256 != hashes[step]:
          return (step, 'the state differs'), state
      if step in reports:  # their interval is free to change within a run
        meter.flush()
        line = evaluator.line(step, state, meter.means())
        difference = _compare_report(reports[step], line)
        if difference is not None:
          return (step, difference), state
      if step >= last:
        return None, state


def _compare_report(
  recorded: dict[str, Any], line: dict[str, Any]
) -> str | None:
  """The first value of a report that is not reproduced; times are none."""
  for name in sorted((recorded.keys() | line.keys()) - set(Clock.TIMES)):
    if recorded.get(name) != line.get(name):
      return (
        f'{name} in metrics.jsonl is {recorded.get(name)}, not {line.get(name)}'
      )
  return None


def _compare_result(
  directory: RunDirectory, program: Program, state: TrainState
) -> str | None:
  """The first entry of result.json that the last state does not reproduce."""
  result = directory.read_json(directory.result)
  for name, value in Evaluator(program).result(state).items():
    if result.get(name) != value:
      return f'{name} in result.json is {result.get(name)}, not {value}'
  return None
