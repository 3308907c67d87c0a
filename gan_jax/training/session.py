"""Opening of a run: all checks are made before anything is changed."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

import jax

import gan_jax
from gan_jax import config as cfg
from gan_jax.core.errors import InputError
from gan_jax.core.files import remove_temporary
from gan_jax.devices import hosts
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.runs.checkpoint import Checkpoints
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.metrics_log import MetricsLog, Writer
from gan_jax.runs.program import Program, init_state, state_template
from gan_jax.runs.record import told
from gan_jax.runs.stored_state import Restored
from gan_jax.systems.state import TrainState
from gan_jax.training import origin
from gan_jax.training.meter import Meter
from gan_jax.training.recorder import Recorder
from gan_jax.training.signals import StopRequest


class Session:
  """A run that is locked, checked and restored, but not changed yet.

  Attributes:
    program: the program that it trains.
    directory: the run directory.
    evaluator: the program's evaluator.
    checkpoints: the run's checkpoints.
    start: the number of steps done.
    meter: the metrics of the steps since the last report.
  """

  def __init__(
    self, program: Program, evaluator: Evaluator, directory: RunDirectory
  ):
    self.program = program = origin.bind(program, directory)
    self.evaluator, self.directory = evaluator, directory
    self._data = program.describe_data()
    directory.check(program.config, self._data)
    directory.check_folders()
    hosts.from_first()  # the others may read it
    self._record = directory.record()
    self.checkpoints, self._restored = _newest(
      program, self._data, directory, report=to_stderr
    )
    self.start = self._restored.step if self._restored else 0
    self.meter = Meter(self._restored.progress if self._restored else {})
    num_steps = program.plan.num_steps
    if self.start > num_steps:
      raise InputError(
        f'{directory.path} has done {self.start} steps, more than the '
        f'{num_steps} asked for; ask for a longer run'
      )
    if self._restored is None:
      self._check_nothing_lost()
    self.finished = self.start == num_steps and directory.result.exists()
    if self.finished:
      directory.read_result()

  def _check_nothing_lost(self) -> None:
    """Rejects a run without its checkpoints: a fresh start would delete it."""
    saves = self._record.hashes
    # A single line may be that of a checkpoint that a kill has prevented.
    if self.directory.result.exists():
      proof = f'{self.directory.result} is the result of a finished run'
    elif len(saves) > 1:
      proof = (
        f'{self.directory.metrics} records checkpoints up to step {max(saves)}'
      )
    else:
      return
    raise InputError(
      f'{proof}, but there is none in {self.directory.checkpoints}; restore '
      'that folder, or choose another --workdir to start afresh'
    )

  def take_state(self) -> TrainState:
    """Returns the restored or a new state; the session keeps no copy."""
    if self._restored is None:
      return init_state(self.program)
    state = self._restored.state
    self._restored = self._restored._replace(state=None)
    return state

  @contextlib.contextmanager
  def writing(
    self,
    state: TrainState,
    how: str,
    request: StopRequest,
    writers: Sequence[Writer] = (),
  ) -> Iterator[Recorder]:
    """Yields the recorder of the run; the directory is changed from here on.

    Args:
      state: the state after `start` steps.
      how: how the batch is split; see `parallel.mode_in_use`.
      request: the request to stop the run.
      writers: receive each report, in addition to TensorBoard.
    """
    directory, plan = self.directory, self.program.plan
    config = self.program.config
    self._say_what_is_lost()
    if directory.config_was_edited():
      to_stderr(
        f'note: {directory.config} was edited since the run was last started; '
        'its earlier steps may have used another config'
      )
    self.checkpoints.set_aside(after=self.start)
    for folder in (directory.path, directory.samples):
      remove_temporary(folder)
    origin.keep(self.program, directory)
    directory.define(config, self._data)
    directory.result.unlink(missing_ok=True)
    for change in directory.record_environment(
      self.start, how, plan.report_every
    ):
      note = f'note: {change}; results may differ in the last bits'
      print_once(note, sys.stderr)
    # A stop may have cut short the report that was due at the start: it is
    # written now, and that step's lines again, in their usual order.
    pending = plan.due(self.start).report and not self.meter.empty
    if config.log.tensorboard:
      # The import is slow, above all where PyTorch is installed.
      from gan_jax.runs.events import write_tensorboard

      writers = [write_tensorboard, *writers]
    log = MetricsLog(directory.path, self.start - pending, writers)
    best = config.checkpoint.best_metric
    values = {x['step']: x[best] for x in self._record.lines if best in x}
    recorder = Recorder(
      self.evaluator, log, self.checkpoints, best, values, request
    )
    with contextlib.closing(log), contextlib.closing(self.checkpoints):
      if pending:
        recorder.report(self.start, state, self.meter, {})
        recorder.write_hash(self.start, state)
      yield recorder

  def _say_what_is_lost(self) -> None:
    lost = self._record.lost(self.program.plan.save_every, self.start)
    if lost:
      to_stderr(
        f'note: {self.directory.metrics} has lost {told(lost)}; training '
        'continues, but gan-jax verify will report the gap'
      )


@contextlib.contextmanager
def opened(program: Program, workdir: str | os.PathLike) -> Iterator[Session]:
  """Opens the run in a directory, which is locked while the body runs.

  Raises:
    InputError: the run has another config or other data, another process is
      using it, its files are damaged, or its checkpoints are gone.
  """
  evaluator = Evaluator(program)
  directory = RunDirectory(workdir)
  with directory.locked():
    yield Session(program, evaluator, directory)


class Follower:
  """A run as seen by the processes other than the first, which writes reports.

  Attributes:
    start: the number of steps done.
    checkpoints: the run's checkpoints; all processes save together.
    meter: the step metrics; each process saves the same sums.
  """

  def __init__(self, program: Program, workdir: str | os.PathLike):
    directory = RunDirectory(workdir)
    self._program = program = origin.bind(program, directory)
    data = program.describe_data()
    hosts.from_first()  # has checked the directory
    self.checkpoints, self._restored = _newest(
      program, data, directory, report=lambda _: None
    )
    self.finished = bool(hosts.from_first())
    self.start = self._restored.step if self._restored else 0
    self.meter = Meter({})

  def take_state(self) -> TrainState:
    """Returns the restored or a new state."""
    if self._restored is None:
      return init_state(self._program)
    return self._restored.state


def _newest(
  program: Program,
  data: dict[str, Any],
  directory: RunDirectory,
  report: Callable[[str], None],
) -> tuple[Checkpoints, Restored | None]:
  """Returns a run's checkpoints and the newest intact one, on all processes.

  Raises:
    InputError: the processes would train different things, or there are
      checkpoints, but none is intact.
  """
  checkpoints = Checkpoints(
    directory.checkpoints,
    keep=program.config.checkpoint.keep,
    initial=lambda: init_state(program),
  )
  hosts.check_same(
    version=[gan_jax.__version__, jax.__version__],
    config=cfg.to_json(program.config),
    data=data,
    run_directory=directory.owner(),
    checkpoints=checkpoints.steps(),
  )
  template = state_template(program)
  return checkpoints, checkpoints.restore_latest(template, report=report)


def to_stderr(text: str) -> None:
  """Prints a note to stderr at once."""
  print(text, file=sys.stderr, flush=True)


@functools.cache
def print_once(text: str, file: TextIO) -> None:
  """Prints a text only once per process, as it holds for all its runs."""
  print(text, file=file, flush=True)
