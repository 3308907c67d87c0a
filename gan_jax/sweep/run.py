"""Many runs of one config, and the table of what came out."""

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
_PER_RUN = ('num_labels', 'label_seed', 'batch_size')  # not the data set itself


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

  Finished runs are not repeated, those that were stopped go on. A run that
  fails is noted, and does not end the others.

  Args:
    config: what all runs have in common.
    workdir: holds a run directory for each, table.md and table.csv.
    seeds: default those of the protocol.
    vary: lists of values by config key; of a protocol, the part to run.
    protocol: the whole of which this may be a part. Its other combinations
      stand in the table too, with what is there of them.
    mode: 'vmap' trains the seeds of a combination together, see
      `training.lanes`, and 'turn' one after the other; 'auto' does the first
      where there are no convolutions, and one device.
    command: the command that does this without its seeds and values, for the
      table's list of what has not been run.
    dataset: instead of the one that `config.data.name` names.

  Raises:
    InputError: anything bad in these, before any run starts.
    Stopped: SIGTERM or Ctrl-C came; what was running is saved.
  """
  if mode not in MODES:
    raise choice('mode', mode, MODES)
  vary = vary or {}
  if protocol is not None:
    vary = narrowed(protocol.vary, vary)
  seeds = protocol.seeds if seeds is None and protocol else seeds or []
  runs = plan_runs(config, vary, seeds)
  whole = runs
  if protocol is not None:
    all_seeds = list(dict.fromkeys([*protocol.seeds, *seeds]))
    whole = plan_runs(config, protocol.vary, all_seeds)
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


class Ledger(typing.Protocol):
  """Record of the outcomes of runs."""

  def path(self, run: Run) -> pathlib.Path:
    """The run's directory."""

  def has_result(self, run: Run) -> bool:
    """Tells whether it was finished before."""

  def note(self, run: Run, error: Diverged | InputError | None) -> None:
    """Takes down how a run ended."""

  def about(self, run: Run) -> str:
    """A run's outcome in a few words."""

  def write(self) -> str:
    """Writes the table of all outcomes; returns it."""


def train_groups(
  groups: Sequence[list[Run]], book: Ledger, data: 'Datasets', *, lanes: bool
) -> None:
  """Trains runs, those of a group together; goes on when one fails.

  Args:
    groups: the runs.
    book: takes down how they end, and is written after each group.
    data: their data sets.
    lanes: whether a run that is alone is trained as a lane, too.
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
  """Each data set once, whatever the number of runs on it."""

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


def _groups(runs: list[Run], mode: str, data: Datasets) -> list[list[Run]]:
  """The runs that are trained together; checks every combination."""
  cells: dict[str, list[Run]] = {}
  for run in runs:
    cells.setdefault(str(run.cell), []).append(run)
  groups = []
  for cell in cells.values():
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
  """Progress of a sweep: a bar on a terminal, else lines."""

  def __init__(self, total: int):
    self._total, self._done = total, 0
    self._trained, self._seconds = 0, 0.0  # of those not finished before
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
