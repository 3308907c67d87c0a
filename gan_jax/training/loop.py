"""Training loop: from a config to a finished run directory."""

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict
from tqdm import tqdm

from gan_jax.core.files import write_json
from gan_jax.data.dataset import Dataset
from gan_jax.data.domain_sets import DomainDataset
from gan_jax.devices import hosts
from gan_jax.devices.parallel import mode_in_use
from gan_jax.evaluation.evaluator import SHOWN
from gan_jax.reporting.run_report import LiveReport
from gan_jax.runs.checkpoint import Checkpoints, all_finite
from gan_jax.runs.fingerprint import sha256_of_file
from gan_jax.runs.metrics_log import Writer
from gan_jax.runs.program import (
  Program,
  advance,
  build,
)
from gan_jax.systems import epoch_rows
from gan_jax.systems.state import TrainState
from gan_jax.training import session
from gan_jax.training.meter import Clock, Diverged, Meter
from gan_jax.training.profile import ProfiledSteps, profiled
from gan_jax.training.signals import Interrupted, Stopped, StopRequest
from gan_jax.training.waiting import compiling

_EARLY_SECONDS = 10.0  # of steps, before a line that says how fast they are


def train(
  config: ConfigDict,
  workdir: str,
  *,
  dataset: Dataset | DomainDataset | None = None,
  writers: Sequence[Writer] = (),
  profile: ProfiledSteps | None = None,
) -> dict[str, Any] | None:
  """Trains a config in a run directory, resuming from its newest checkpoint.

  If several processes train together, each calls this; see `hosts`.

  Args:
    config: as a config file's get_config returns it.
    workdir: the run directory; created if it does not exist. Only the first
      process writes it; the others read its checkpoints.
    dataset: replaces the one that `config.data.name` names.
    writers: receive each report, in addition to the files in `workdir`.
    profile: the steps to profile; the trace goes to `workdir`/profile.

  Returns:
    The contents of result.json; None on all processes but the first.

  Raises:
    InputError: bad config, data or directory, before anything is changed.
    Diverged: NaN or infinity; the message names the last good checkpoint.
    Stopped: SIGTERM or Ctrl-C came; the state was saved.
  """
  program = build(config, dataset)
  if hosts.is_first():
    return _lead(program, workdir, writers, profile)
  _follow(program, workdir)
  return None


def _lead(
  program: Program,
  workdir: str,
  writers: Sequence[Writer],
  profile: ProfiledSteps | None,
) -> dict[str, Any]:
  """Trains as the first process, which writes the run directory."""
  with session.opened(program, workdir) as run:
    program, directory, start = run.program, run.directory, run.start
    plan = program.plan
    hosts.from_first(run.finished)  # the others have read it
    if run.finished:
      print(f'{directory.path} is finished: {plan.num_steps} steps')
      return directory.read_result()
    if profile is not None:
      profile.check(start, plan.num_steps)
    state = run.take_state()
    how = mode_in_use(program.config.parallel)
    _print_start(run, how)
    live_report = LiveReport(directory)
    clock = Clock(epoch_rows(program.config), plan.steps_per_epoch)
    with StopRequest() as request:
      with run.writing(state, how, request, writers) as recorder:

        def report(step, state, times):
          line = recorder.report(step, state, run.meter, times)
          live_report.update()
          return line

        def save(step, state):
          recorder.save(step, state, run.meter)

        try:
          state = _train_steps(
            program,
            start,
            state,
            run.meter,
            clock,
            request,
            report,
            save,
            profile,
          )
        except Diverged as error:
          recorder.write_divergence(error)
          live_report.finish()
          last_good = _last_good(run.checkpoints)
          raise Diverged(f'{error}; {last_good}', error.step) from None
      result = _finish(run, state, clock, request)
      live_report.finish()
    return result


def _print_start(run: session.Session, how: str) -> None:
  """Prints where the run starts, its devices and notes on its config."""
  program = run.program
  if run.start:
    print(f'resuming {run.directory.path} from step {run.start}')
  elif program.origin is not None:
    print(program.origin)
  session.print_once(
    f'training by {how} on {jax.devices()[0].device_kind}', sys.stdout
  )
  session.print_once(f'data: {program.data}', sys.stdout)
  if program.config.data.made_up:
    print(
      f'on random images in place of {program.config.data.name}: nothing can '
      'be learnt from them (config.data.made_up)'
    )
  if not run.start and (note := program.warn()):
    print(note)
  sys.stdout.flush()


def _finish(
  run: session.Session, state: TrainState, clock: Clock, request: StopRequest
) -> dict[str, Any]:
  """Writes result.json."""
  num_steps = run.program.plan.num_steps
  try:
    with request.interruptible():
      scores = run.evaluator.result(hosts.own_copy(state))
  except Interrupted:
    hosts.from_first(request.received)
    raise Stopped(request.received, num_steps) from None
  result = {
    **scores,
    'images_per_second': clock.images_per_second(),
    'config_sha256': sha256_of_file(run.directory.config),
    'config': run.directory.read_json(run.directory.config),
    'sessions': run.directory.sessions(),
  }
  write_json(run.directory.result, result)
  hosts.from_first(request.received or 0)
  if request.received is not None:  # the caller must stop, too
    raise Stopped(request.received, num_steps)
  return result


def _follow(program: Program, workdir: str) -> None:
  """Trains as another process: takes part in the steps and in saving only."""
  run = session.Follower(program, workdir)
  if run.finished:
    return
  clock = Clock(epoch_rows(program.config), program.plan.steps_per_epoch)

  def report(step, state, times):
    del step, state, times
    run.meter.reset()
    return {}

  def save(step, state):
    del step
    run.checkpoints.save(state, run.meter.saved())

  state = run.take_state()
  with StopRequest() as request, contextlib.closing(run.checkpoints):
    _train_steps(
      program, run.start, state, run.meter, clock, request, report, save
    )
    # The first process may still be scoring, or have given that up.
    stop = request.received or int(hosts.from_first())
    if stop:
      raise Stopped(stop, program.plan.num_steps)


def _train_steps(
  program: Program,
  start: int,
  state: TrainState,
  meter: Meter,
  clock: Clock,
  request: StopRequest,
  report: Callable[[int, TrainState, dict[str, float]], dict[str, Any]],
  save: Callable[[int, TrainState], None],
  profile: ProfiledSteps | None = None,
) -> TrainState:
  """Runs the remaining steps, with reports and checkpoints as they are due."""
  plan = program.plan
  if start == plan.num_steps:
    return state
  # Another step would add to the metrics of a report that was cut short.
  stop = int(hosts.from_first(request.received or 0))
  if stop:
    raise Stopped(stop, start)
  agree = hosts.Agreement()
  shown = program.system.shown | SHOWN | {'step_seconds': '{:.3f} s/step'}
  silent = hosts.is_first() and not sys.stderr.isatty()
  bar = tqdm(
    total=plan.num_steps,
    initial=start,
    unit='step',
    disable=not (hosts.is_first() and sys.stderr.isatty()),
    dynamic_ncols=True,
  )
  with bar:
    wait = compiling(bar, request, start)
    dispatches = advance(program, state, start, wait)
    if profile is not None:
      dispatches = profiled(dispatches, profile, start, plan.steps_per_dispatch)
    for step, state, metrics in dispatches:
      stop = agree(request.received or 0)  # read once: it can arrive any time
      meter.add(step, metrics)
      clock.step(plan.steps_per_dispatch)
      bar.update(plan.steps_per_dispatch)
      due = plan.due(step)
      if silent and clock.elapsed() > _EARLY_SECONDS:
        silent = False
        if step < plan.report_every:
          print(_early_line(step, program, clock), flush=True)
      if due.report or due.save or stop:
        meter.flush()
        if not all_finite(state):
          raise Diverged(f'a weight is not finite at step {step}', step)
        clock.pause()
        if due.report:
          line = report(step, state, clock.lap())
          if line:
            left = clock.seconds_left(plan.num_steps - step)
            told = _summary(line, program, shown, left)
            bar.write(told, file=sys.stdout)
            sys.stdout.flush()
          # A stop may have cut the first process's report short.
          stop = stop or int(hosts.from_first(request.received or 0))
        if due.save or stop:
          save(step, state)
        clock.resume()
      if stop:
        raise Stopped(stop, step)
      if due.last:
        break
  return state


def _last_good(checkpoints: Checkpoints) -> str:
  checkpoints.close()
  steps = checkpoints.steps()
  if not steps:
    return 'no checkpoint was saved before'
  return f'the last good checkpoint is {checkpoints.path(steps[-1])}'


def _early_line(step: int, program: Program, clock: Clock) -> str:
  """Returns the speed as a line for people who wait for the first report."""
  plan = program.plan
  left = clock.seconds_left(plan.num_steps - step)
  return (
    f'step {step}/{plan.num_steps}  {clock.seconds_left(1):.3f} s/step  '
    f'{tqdm.format_interval(left)} left; the first report comes at step '
    f'{plan.report_every}, the first checkpoint at step {plan.save_every}'
  )


def _summary(
  line: dict[str, Any],
  program: Program,
  shown: Mapping[str, str],
  seconds_left: float | None,
) -> str:
  """Formats a report as a line for the terminal."""
  step, num_steps = line['step'], program.plan.num_steps
  images = step * epoch_rows(program.config)
  if images >= 1000:
    images = tqdm.format_sizeof(images)
  parts = [
    f'step {step:>{len(str(num_steps))}}/{num_steps}',
    f'epoch {line["epoch"]:.1f}',
    f'{images} images',
    *(form.format(line[k]) for k, form in shown.items() if k in line),
  ]
  if seconds_left is not None:
    parts.append(f'{tqdm.format_interval(seconds_left)} left')
  return '  '.join(parts)
