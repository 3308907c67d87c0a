"""Training of several seeds of one config at once: `jax.vmap` of the step.

Each lane is a run with its own directory and its own checkpoints: it can be
evaluated, and resumed as a single run, at any time. Its numbers equal those of
the single run with its seed up to rounding.
"""

import contextlib
import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from gan_jax.core.errors import InputError
from gan_jax.data.batches import read_ahead
from gan_jax.data.dataset import Dataset
from gan_jax.data.domain_sets import DomainDataset
from gan_jax.devices import parallel
from gan_jax.runs.checkpoint import all_finite
from gan_jax.runs.program import Program, build, state_shapes
from gan_jax.systems import epoch_rows
from gan_jax.systems.state import TrainState
from gan_jax.training import loop, session
from gan_jax.training.meter import Clock, Diverged
from gan_jax.training.recorder import Recorder
from gan_jax.training.signals import Stopped, StopRequest
from gan_jax.training.waiting import compiling

Outcome = dict[str, Any] | Diverged | InputError


def check_one_device(config: ConfigDict) -> None:
  """Raises InputError if the config's batches are split over devices."""
  if parallel.axis_name(config.parallel) is not None:
    raise InputError(
      'runs in one program need one device; set --config.parallel=jit, or '
      'train them one after the other'
    )


def has_convolutions(program: Program) -> bool:
  """Returns whether a network has convolutions, i.e. 4-dimensional weights."""
  shapes = state_shapes(program.system, program.data.spec)
  weights = shapes.generator.params, shapes.discriminator.params
  return any(leaf.ndim >= 4 for leaf in jax.tree.leaves(weights))


def train_lanes(
  configs: Sequence[ConfigDict],
  workdirs: Sequence[str],
  *,
  dataset: Dataset | DomainDataset | None = None,
) -> list[Outcome]:
  """Trains configs that differ in `seed` and `data.label_seed` alone.

  Args:
    configs: one for each lane.
    workdirs: their run directories; created, or resumed.
    dataset: replaces the one that `config.data.name` names.

  Returns:
    For each lane, the contents of result.json, or the error that ended it; the
    other lanes continue.

  Raises:
    InputError: the configs split their batches over devices.
    Stopped: SIGTERM or Ctrl-C came; every lane's state was saved.
  """
  check_one_device(configs[0])
  lanes, errors = {}, {}
  with StopRequest() as request, contextlib.ExitStack() as stack:
    for i, (config, workdir) in enumerate(zip(configs, workdirs, strict=True)):
      try:
        program = build(config, dataset)
        opened = _opened(program, workdir, len(configs), request)
        lanes[i] = stack.enter_context(opened)
        dataset = program.data.dataset
      except InputError as error:
        errors[i] = error
    if request.received is None:
      _train(list(lanes.values()), request)
    if request.received is not None:  # the caller must stop, too
      raise Stopped(request.received, max(x.step for x in lanes.values()))
  errors |= {i: lane.error for i, lane in lanes.items() if lane.error}
  outcomes = []
  for i, (config, workdir) in enumerate(zip(configs, workdirs, strict=True)):
    try:
      # All steps are done: this writes the result of the run.
      finished = errors.get(i) or loop.train(config, workdir, dataset=dataset)
    except InputError as error:
      finished = error
    outcomes.append(finished)
  return outcomes


class _Lane:
  """One run: its own state, metrics and files."""

  def __init__(
    self, run: session.Session, state: TrainState, recorder: Recorder | None
  ):
    self.program, self.step, self.state = run.program, run.start, state
    self.error: Diverged | None = None
    self._meter, self._recorder = run.meter, recorder

  def add(self, step: int, metrics: dict[str, np.ndarray]) -> None:
    """Takes the metrics [steps] of the dispatch that ended at `step`."""
    if self.error is None:
      try:
        self._meter.add(step, metrics)
        self._meter.flush()
      except Diverged as error:
        self._end(error)

  def check(self, step: int, state: TrainState) -> None:
    if not all_finite(state):
      self._end(Diverged(f'a weight is not finite at step {step}', step))

  def _end(self, error: Diverged) -> None:
    self.error = error
    self._recorder.write_divergence(error)

  def report(
    self, step: int, state: TrainState, times: dict[str, float]
  ) -> None:
    self._recorder.report(step, state, self._meter, times)

  def save(self, step: int, state: TrainState) -> None:
    self._recorder.save(step, state, self._meter)
    self.step, self.state = step, state


@contextlib.contextmanager
def _opened(
  program: Program, workdir: str, num_lanes: int, request: StopRequest
) -> Iterator[_Lane]:
  """Yields a lane restored from its newest checkpoint; its run is locked."""
  with session.opened(program, workdir) as run:
    state = run.take_state()
    if run.start == program.plan.num_steps:
      yield _Lane(run, state, None)
      return
    how = f'vmap of {num_lanes} runs'
    with run.writing(state, how, request) as recorder:
      yield _Lane(run, state, recorder)


def _train(lanes: Sequence[_Lane], request: StopRequest) -> None:
  """Trains all lanes to the end.

  A kill may have come when only some lanes had saved: those that are behind
  catch up first.
  """
  while True:
    going = [
      lane
      for lane in lanes
      if lane.error is None and lane.step < lane.program.plan.num_steps
    ]
    if not going:
      return
    start = min(lane.step for lane in going)
    ahead = [lane.step for lane in going if lane.step > start]
    until = min(ahead, default=going[0].program.plan.num_steps)
    last = [lane for lane in going if lane.step == start]
    _train_together(last, start, until, request)


def _train_together(
  lanes: Sequence[_Lane], start: int, until: int, request: StopRequest
) -> None:
  """Trains lanes from step `start` to `until`, where all are saved."""
  plan, config = lanes[0].program.plan, lanes[0].program.config
  clock = Clock(epoch_rows(config), plan.steps_per_epoch)
  bar = tqdm(
    total=until,
    initial=start,
    unit='step',
    disable=not sys.stderr.isatty(),
    dynamic_ncols=True,
    leave=False,
  )
  pending = None
  with bar:
    wait = compiling(bar, request, start)
    for step, state, metrics in _advance(lanes, start, wait):
      clock.step(plan.steps_per_dispatch)
      bar.update(plan.steps_per_dispatch)
      _read(lanes, pending)  # while the device computes the next dispatch
      pending = step, metrics
      stop = request.received
      due = plan.due(step)
      last = due.save or step == until  # lanes that are ahead wait there
      if due.report or last or stop is not None:
        _read(lanes, pending)
        pending = None
        clock.pause()
        for lane, own in _each(lanes, state):
          lane.check(step, own)
        if due.report:
          times = clock.lap()
          for lane, own in _each(lanes, state):
            lane.report(step, own, times)
          stop = stop or request.received  # it may have cut a report short
        if last or stop is not None:
          for lane, own in _each(lanes, state):
            lane.save(step, own)
        clock.resume()
      if stop is not None:
        raise Stopped(stop, step)
      if step == until or all(lane.error for lane in lanes):
        return


def _each(
  lanes: Sequence[_Lane], state: TrainState
) -> Iterator[tuple[_Lane, TrainState]]:
  """Yields the lanes without an error, each with its part of the state."""
  for i, lane in enumerate(lanes):
    if lane.error is None:
      yield lane, jax.tree.map(lambda x: x[i], state)  # noqa: B023


def _advance(
  lanes: Sequence[_Lane],
  start: int,
  compiling: contextlib.AbstractContextManager,
) -> Iterator[tuple[int, TrainState, Any]]:
  """Mirrors `program.advance`, with a lane axis in states and metrics."""
  programs = [lane.program for lane in lanes]
  train_step = _vmapped(programs[0].system.train_step)
  run = parallel.compile_step(train_step, 'jit').run
  state = jax.tree.map(lambda *x: jnp.stack(x), *(x.state for x in lanes))
  keys = jnp.stack([program.key('train') for program in programs])
  batches = zip(
    *(read_ahead(program.sampler(), start) for program in programs),
    strict=True,
  )
  chunk = programs[0].plan.steps_per_dispatch
  for step in itertools.count(start + chunk, chunk):
    several = [
      jax.tree.map(lambda *x: np.stack(x), *each)
      for each in itertools.islice(batches, chunk)
    ]
    first = step == start + chunk
    with compiling if first else contextlib.nullcontext():
      state, metrics = run(state, several, keys)
    yield step, state, metrics


@functools.lru_cache(maxsize=8)  # the same function, so it is compiled once
def _vmapped(train_step: Callable) -> Callable:
  return jax.vmap(train_step)


def _read(lanes: Sequence[_Lane], pending: tuple[int, Any] | None) -> None:
  """Waits for a dispatch's metrics [steps, lanes] and distributes them."""
  if pending is not None:
    step, metrics = pending
    values = jax.device_get(metrics)
    for i, lane in enumerate(lanes):
      lane.add(step, {name: value[:, i] for name, value in values.items()})
