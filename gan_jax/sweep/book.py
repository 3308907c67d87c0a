"""Outcomes of a sweep's runs, and their tables."""

import pathlib
from collections.abc import Callable

from gan_jax.core.errors import InputError
from gan_jax.core.files import expand, write_text
from gan_jax.evaluation.classification import predicted_probabilities
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.runs import restore
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.program import Program
from gan_jax.sweep.plan import Protocol, Run, short_names
from gan_jax.sweep.tables import (
  Finished,
  Scores,
  cell_rows,
  to_csv,
  to_markdown,
)
from gan_jax.systems.state import TrainState
from gan_jax.training import origin
from gan_jax.training.meter import Diverged


class Book:
  """Ledger of a sweep: the outcomes of its runs, written as tables.

  Args:
    workdir: the folder of the runs' directories and of the tables.
    runs: all runs of the table.
    protocol: the sweep's protocol, if a file describes it.
    command: see `sweep.run.sweep`.
    build: returns a run's program.
  """

  def __init__(
    self,
    workdir: str,
    runs: list[Run],
    protocol: Protocol | None,
    command: str,
    build: Callable[[Run], Program],
  ):
    self._workdir, self._runs = expand(workdir), runs
    self._protocol, self._command, self._build = protocol, command, build
    first = build(runs[0])
    self._label = None
    if first.system.classifier is not None:
      self._label = first.data.dataset.test.label
      if not len(self._label):
        raise InputError(
          'a sweep compares errors on test images, but there are none; set '
          'config.data.num_test'
        )
    self._finished: dict[str, Finished] = {}
    self.failed: dict[str, str] = {}

  def path(self, run: Run) -> pathlib.Path:
    return self._workdir / run.name

  def has_result(self, run: Run) -> bool:
    return RunDirectory(self.path(run)).result.exists()

  def note(self, run: Run, error: Diverged | InputError | None) -> None:
    """Records how a run ended."""
    if error is None:
      self.look(run)
    else:
      self.failed[run.name] = ' '.join(str(error).split())

  def look(self, run: Run) -> None:
    """Records the scores of a run if it is finished."""
    directory = RunDirectory(self.path(run))
    if not self.has_result(run):
      return
    try:
      program = origin.bind(self._build(run), directory)
      directory.check(program.config, program.describe_data())
      self._finished[run.name] = score(program, directory)
    except InputError as error:
      self.failed[run.name] = str(error)

  def about(self, run: Run) -> str:
    """Summarises a run's outcome."""
    if run.name in self.failed:
      return f'failed: {self.failed[run.name]}'
    numbers = next(iter(self._finished[run.name].scores.values())).numbers
    return ', '.join(f'{name} {x:.4g}' for name, x in numbers.items())

  def write(self) -> str:
    """Writes table.md and table.csv; returns the contents of table.md."""
    rows, to_do = [], []
    cells: dict[str, list[Run]] = {}
    for run in self._runs:
      cells.setdefault(str(run.cell), []).append(run)
    published = self._protocol.published if self._protocol else {}
    for i, runs in enumerate(cells.values()):
      rows += cell_rows(
        short_names(runs[0].cell),
        [self._finished[r.name] for r in runs if r.name in self._finished],
        self._label,
        {name: texts[i] for name, texts in published.items()},
      )
      left = [
        run
        for run in runs
        if run.name not in self._finished and run.name not in self.failed
      ]
      if left:
        to_do.append(' '.join([self._command, *_flags(left)]))
    table = to_markdown(rows)
    if self._protocol is not None and self._protocol.source:
      table += f'\nPublished: {self._protocol.source}.\n'
    for title, lines in (
      ('Failed', [f'{name}: {why}' for name, why in self.failed.items()]),
      ('Not run yet', [f'`{line.strip()}`' for line in to_do]),
    ):
      if lines:
        table += f'\n{title}:\n\n' + ''.join(f'- {line}\n' for line in lines)
    self._workdir.mkdir(parents=True, exist_ok=True)
    write_text(self._workdir / 'table.md', table)
    write_text(self._workdir / 'table.csv', to_csv(rows))
    return table


def _flags(runs: list[Run]) -> list[str]:
  """Returns the flags that select these runs of one combination."""
  seeds = ','.join(str(run.seed) for run in runs)
  return [
    f'--seeds={seeds}',
    *(
      f'--vary={key}={str(value).replace(" ", "")}'
      for key, value in runs[0].cell.items()
    ),
  ]


def score(program: Program, directory: RunDirectory) -> Finished:
  """Computes the scores of a finished run, with averaged and with raw weights.

  A classifier's score is its test error; other systems' scores are all real
  numbers in result.json except the speed, and the number of modes.
  """
  result = directory.read_result()
  state = restore.load_run(directory.path).state
  kinds = {'raw': (state, result)}
  if state.generator.ema is not None or state.discriminator.ema is not None:
    raw = without_averages(state)
    again = Evaluator(program).result(raw)
    kinds = {'averaged': (state, result), 'raw': (raw, again)}
  classifies = program.system.classifier is not None
  scores = {}
  for kind, (weights, values) in kinds.items():
    numbers = {
      name: value
      for name, value in values.items()
      if (isinstance(value, float) and name != 'images_per_second')
      or name.endswith('num_modes')
    }
    probability = None
    if classifies:
      numbers = {'test_error': numbers['test_error']}
      probability = predicted_probabilities(
        program.system.classifier.predict,
        weights.discriminator.averaged,
        program.data.dataset.test.image,
        program.config.eval.batch_size,
      )
    scores[kind] = Scores(numbers, probability)
  return Finished(result['steps'], scores)


def without_averages(state: TrainState) -> TrainState:
  """Removes a state's moving averages, so that the raw weights are used."""
  return state.replace(
    generator=state.generator.replace(ema=None),
    discriminator=state.discriminator.replace(ema=None),
  )
