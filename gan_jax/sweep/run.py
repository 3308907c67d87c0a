"""Execution of a sweep: many runs of one config, and their result table."""

import pathlib
import sys
import time
import typing
from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict
from tqdm import tqdm

from gan_jax.config import flatten
from gan_jax.core.errors import InputError, choice
from gan_jax.data.dataset import Dataset
from gan_jax.data.domain_sets import DomainDataset
from gan_jax.devices import parallel
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.runs.program import Program, build
from gan_jax.sweep import estimate
from gan_jax.sweep.book import Book
from gan_jax.sweep.plan import Protocol, Run, Values, narrowed, plan_runs
from gan_jax.training import loop
from gan_jax.training.lanes import (
  check_one_device,
  has_convolutions,
  train_lanes,
)
from gan_jax.training.meter import Diverged

MODES = ('auto', 'turn', 'vmap')
_PER_RUN = ('num_labels', 'label_seed', 'batch_size')  # same data set


class Result(NamedTuple):
  """Outcome of a sweep."""

  table: str  # the contents of table.md
  failed: dict[str, str]  # reasons, by the runs' names
  workdirs: list[pathlib.Path]  # of the runs that were asked for


def sweep(
  config: ConfigDict,
  workdir: str,
  *,
  seeds: Sequence[int] | None = None,
  vary: Values | None = None,
  protocol: Protocol | None = None,
  mode: str = 'auto',
  command: str = '',
  dataset: Dataset | DomainDataset | None = None,
) -> Result:
  """Trains every combination of the values with every seed.

  Finished runs are not repeated, and interrupted ones resume. A failed run is
  recorded and does not stop the others.

  Args:
    config: the config that all runs share.
    workdir: the folder of the run directories, table.md and table.csv.
    seeds: the seeds; by default the protocol's.
    vary: lists of values by config key; with a protocol, the subset to run.
    protocol: the whole sweep, of which this may be a part. The table also has
      its other combinations, with the runs that are finished.
    mode: 'vmap' trains the seeds of a combination together, see
      `training.lanes`, and 'turn' one after the other; 'auto' is 'vmap' on one
      device if the networks have no convolutions.
    command: the command of this sweep without its seeds and values, for the
      table's list of runs to do.
    dataset: replaces the data set that `config.data.name` names.

  Raises:
    InputError: an argument is invalid; it is raised before any run starts.
    Stopped: SIGTERM or Ctrl-C was received; the current runs are saved.
  """
  if mode not in MODES:
    raise choice('mode', mode, MODES)
  runs = _planned(config, vary, seeds, protocol)
  whole = runs
  if protocol is not None:
    seeds = [*protocol.seeds, *(run.seed for run in runs)]
    seeds = list(dict.fromkeys(seeds))
    whole = plan_runs(config, protocol.vary, seeds, protocol.arms)
  for note in dict.fromkeys(note for run in runs for note in run.notes):
    print(f'note: {note}', file=sys.stderr)
  data = Datasets(dataset)
  groups = _groups(runs, mode, data)
  book = Book(workdir, whole, protocol, command, data.build)
  asked = {run.name for run in runs}
  for run in whole:
    if run.name not in asked:
      book.look(run)
  train_groups(groups, book, data, lanes=mode == 'vmap')
  return Result(book.write(), book.failed, [book.path(run) for run in runs])


def estimate_hours(
  config: ConfigDict,
  *,
  seeds: Sequence[int] | None = None,
  vary: Values | None = None,
  protocol: Protocol | None = None,
  budget: float | None = None,
) -> str:
  """Times a few steps of each combination; returns a table of hours.

  Nothing is written.

  Args:
    config: as in `sweep`, and so on.
    seeds: seeds.
    vary: lists of values by config key.
    protocol: the whole sweep.
    budget: hours; runs that do not fit are marked as cut.
  """
  runs = _planned(config, vary, seeds, protocol)
  data, timed = Datasets(None), []
  for cell in _cells(runs):
    program = data.build(cell[0])
    print(f'timing {cell[0].name}', file=sys.stderr, flush=True)
    timed.append((cell, program, estimate.time_steps(program)))
  return estimate.to_markdown(estimate.estimate(timed, budget))


class Ledger(typing.Protocol):
  """Protocol of a record of the outcomes of runs."""

  def path(self, run: Run) -> pathlib.Path:
    """Returns the run's directory."""

  def has_result(self, run: Run) -> bool:
    """Tells whether the run is finished."""

  def note(self, run: Run, error: Diverged | InputError | None) -> None:
    """Records how a run ended."""

  def about(self, run: Run) -> str:
    """Summarises a run's outcome."""

  def write(self) -> str:
    """Writes the table of all outcomes; returns it."""


def train_groups(
  groups: Sequence[list[Run]], book: Ledger, data: 'Datasets', *, lanes: bool
) -> None:
  """Trains runs, each group together; continues if one fails.

  Args:
    groups: the runs.
    book: the record of their outcomes, written after each group.
    data: their data sets.
    lanes: whether a group of one run is trained as a lane, too.
  """
  progress = _Progress(sum(map(len, groups)))
  for group in groups:
    together = len(group) > 1 or lanes
    progress.begin(group, sum(not book.has_result(run) for run in group))
    for run, error in _train(group, together, book, data):
      book.note(run, error)
    book.write()
    progress.end(group, book)
  progress.close()


class Datasets:
  """Cache of data sets, each loaded once for all runs on it."""

  def __init__(self, dataset: Dataset | DomainDataset | None):
    self._given = dataset
    self._loaded = {}

  def build(self, run: Run) -> Program:
    key = str(
      [item for item in flatten(run.config.data) if item[0] not in _PER_RUN]
    )
    known = self._given or self._loaded.get(key)
    program = build(run.config, known)
    self._loaded[key] = program.data.dataset
    return program


def _planned(
  config: ConfigDict,
  vary: Values | None,
  seeds: Sequence[int] | None,
  protocol: Protocol | None,
) -> list[Run]:
  """Plans the runs that are asked for."""
  if protocol is None:
    return plan_runs(config, vary or {}, seeds or [])
  seeds = protocol.seeds if seeds is None else seeds
  return plan_runs(
    config, narrowed(protocol.vary, vary or {}), seeds, protocol.arms
  )


def _cells(runs: list[Run]) -> list[list[Run]]:
  """Groups the runs of each combination of values."""
  cells: dict[str, list[Run]] = {}
  for run in runs:
    cells.setdefault(str(run.cell), []).append(run)
  return list(cells.values())


def _groups(runs: list[Run], mode: str, data: Datasets) -> list[list[Run]]:
  """Groups the runs that are trained together; checks every combination."""
  groups = []
  for cell in _cells(runs):
    try:
      program = data.build(cell[0])
      Evaluator(program)
      if mode == 'vmap':
        check_one_device(program.config)
    except InputError as error:
      raise InputError(f'{cell[0].name}: {error}') from error
    together = mode == 'vmap' or (
      mode == 'auto'
      and parallel.axis_name(program.config.parallel) is None
      and not has_convolutions(program)
    )
    groups += [cell] if together else [[run] for run in cell]
  return groups


def _train(
  group: list[Run], together: bool, book: Ledger, data: Datasets
) -> list[tuple[Run, Diverged | InputError | None]]:
  """Trains a group; returns each run and the error that ended it, if any."""
  dataset = data.build(group[0]).data.dataset
  paths = [str(book.path(run)) for run in group]
  if together:
    configs = [run.config for run in group]
    ends = train_lanes(configs, paths, dataset=dataset)
    errors = [end if isinstance(end, Exception) else None for end in ends]
    return list(zip(group, errors, strict=True))
  try:
    loop.train(group[0].config, paths[0], dataset=dataset)
  except (Diverged, InputError) as error:
    return [(group[0], error)]
  return [(group[0], None)]


class _Progress:
  """Progress display of a sweep: a bar on a terminal, else lines."""

  def __init__(self, total: int):
    self._total, self._done = total, 0
    self._trained, self._seconds = 0, 0.0  # of runs not finished before
    self._bar = tqdm(
      total=total,
      unit='run',
      desc='sweep',
      disable=not sys.stderr.isatty(),
      dynamic_ncols=True,
    )

  def begin(self, group: list[Run], num_new: int) -> None:
    self._started, self._trained = time.monotonic(), self._trained + num_new
    self._new = num_new
    names = ', '.join(run.name for run in group)
    self._bar.write(f'== {names}', file=sys.stdout)

  def end(self, group: list[Run], book: Ledger) -> None:
    self._bar.update(len(group))
    if self._new:
      self._seconds += time.monotonic() - self._started
    for run in group:
      self._done += 1
      line = f'{self._done}/{self._total} {run.name}: {book.about(run)}'
      self._bar.write(line, file=sys.stdout)
    left = self._total - self._done
    if self._bar.disable and self._trained and left:
      seconds = self._seconds / self._trained * left
      print(f'about {tqdm.format_interval(seconds)} left', flush=True)

  def close(self) -> None:
    self._bar.close()
