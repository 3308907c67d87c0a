"""The training loop: from a config to a finished run directory."""

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict
from tqdm import tqdm

import gan_jax
from gan_jax import config as cfg
from gan_jax.data.dataset import Dataset
from gan_jax.data.domain_sets import DomainDataset
from gan_jax.errors import InputError
from gan_jax.files import write_json
from gan_jax.reporting.metrics import MetricsLog
from gan_jax.training import hosts
from gan_jax.training.checkpoint import Checkpoints, all_finite
from gan_jax.training.evaluator import Evaluator
from gan_jax.training.meter import Clock, Diverged, Meter
from gan_jax.training.parallel import mode_in_use
from gan_jax.training.program import (
  Program,
  advance,
  build,
  init_state,
  state_template,
)
from gan_jax.training.recorder import Recorder
from gan_jax.training.run_directory import RunDirectory
from gan_jax.training.run_report import LiveReport
from gan_jax.training.signals import Stopped, StopRequest
from gan_jax.training.state import TrainState


def train(
  config: ConfigDict,
  workdir: str,
  *,
  dataset: Dataset | DomainDataset | None = None,
) -> dict[str, Any] | None:
  """Trains what `config` says in `workdir`, from where it was left.

  Where several processes train together, each calls this; see `hosts`.

  Args:
    config: as a config file's get_config returns it.
    workdir: the run directory; made if it does not exist. The first process
      alone writes it; the others read its checkpoints.
    dataset: instead of the one that `config.data.name` names.

  Returns:
    The contents of result.json; None on all processes but the first.

  Raises:
    InputError: bad config, data or directory, before anything is changed.
    Diverged: NaN or infinity; the message names the last good checkpoint.
    Stopped: SIGTERM or Ctrl-C came; the state was saved.
  """
  program = build(config, dataset)
  if hosts.is_first():
    return _lead(program, workdir)
  _follow(program, workdir)
  return None


def _lead(program: Program, workdir: str) -> dict[str, Any]:
  """Trains, and does all that is done once for all processes."""
  config = program.config
  evaluator = Evaluator(program)
  directory = RunDirectory(workdir)
  with directory.locked():
    data = program.describe_data()
    directory.check(config, data)
    hosts.from_first()  # the others may read it
    checkpoints = _checkpoints(program, directory)
    _check_same(program, data, directory, checkpoints)
    restored = checkpoints.restore_latest(
      state_template(program), report=_to_stderr
    )
    start = restored.step if restored else 0
    num_steps = program.plan.num_steps
    if start > num_steps:
      raise InputError(
        f'{directory.path} has done {start} steps, more than the {num_steps} '
        'asked for; ask for a longer run'
      )
    finished = start == num_steps and directory.result.exists()
    hosts.from_first(finished)  # the others have read it
    checkpoints.set_aside(after=start)
    if finished:
      print(f'{directory.path} is finished: {num_steps} steps')
      return directory.read_json(directory.result)
    directory.sessions()  # what cannot be read is said before any change
    directory.recorded_hashes()
    directory.define(config, data)
    directory.result.unlink(missing_ok=True)
    how = mode_in_use(config.parallel)
    for change in directory.record_environment(start, how):
      _to_stderr(f'note: {change}; results may differ in the last bits')
    if restored:
      print(f'resuming {directory.path} from step {start}')
    print(f'training by {how} on {jax.devices()[0].device_kind}', flush=True)
    state = restored.state if restored else init_state(program)
    live_report = LiveReport(directory)
    clock = Clock(config.data.batch_size, program.plan.steps_per_epoch)
    with StopRequest() as request:
      log = MetricsLog(directory.path, start, config.log.tensorboard)
      recorder = Recorder(
        evaluator, log, checkpoints, config.checkpoint.best_metric
      )

      def record(step, state, times, save):
        line = recorder.record(step, state, meter, times=times, save=save)
        live_report.update()
        return line

      meter = Meter(restored.progress if restored else {})
      with contextlib.closing(log), contextlib.closing(checkpoints):
        try:
          state = _train_steps(
            program, start, state, meter, clock, request, record
          )
        except Diverged as error:
          raise Diverged(f'{error}; {_last_good(checkpoints)}') from None
      result = {
        **evaluator.result(hosts.own_copy(state)),
        'images_per_second': clock.images_per_second(),
        'config': json.loads(cfg.to_json(config)),  # without tuples
        'sessions': directory.sessions(),
      }
      write_json(directory.result, result)
      live_report.finish()
      hosts.from_first()
      if request.received is not None:  # whoever called must not go on
        raise Stopped(request.received, num_steps)
    return result


def _follow(program: Program, workdir: str) -> None:
  """Takes part in the steps and saves of a run that the first process leads."""
  data = program.describe_data()
  directory = RunDirectory(workdir)
  hosts.from_first()
  checkpoints = _checkpoints(program, directory)
  _check_same(program, data, directory, checkpoints)
  restored = checkpoints.restore_latest(
    state_template(program), report=lambda _: None
  )
  if hosts.from_first():
    return
  start = restored.step if restored else 0
  state = restored.state if restored else init_state(program)
  clock = Clock(program.config.data.batch_size, program.plan.steps_per_epoch)
  meter = Meter({})

  def record(step, state, times, save):
    if times is not None:
      meter.means()
    if save:
      checkpoints.save(state, meter.saved())
    return {}

  with StopRequest() as request, contextlib.closing(checkpoints):
    _train_steps(program, start, state, meter, clock, request, record)
    hosts.from_first()  # its scores may take longer
    if request.received is not None:
      raise Stopped(request.received, program.plan.num_steps)


def _check_same(
  program: Program,
  data: dict[str, Any],
  directory: RunDirectory,
  checkpoints: Checkpoints,
) -> None:
  hosts.check_same(
    version=[gan_jax.__version__, jax.__version__],
    config=cfg.to_json(program.config),
    data=data,
    run_directory=directory.owner(),
    checkpoints=checkpoints.steps(),
  )


def _checkpoints(program: Program, directory: RunDirectory) -> Checkpoints:
  settings = program.config.checkpoint
  return Checkpoints(
    directory.checkpoints, keep=settings.keep, best=settings.best_metric
  )


def _train_steps(
  program: Program,
  start: int,
  state: TrainState,
  meter: Meter,
  clock: Clock,
  request: StopRequest,
  record: Callable[..., dict[str, Any]],
) -> TrainState:
  """Steps until the end; `record` writes what is due and returns a report."""
  plan = program.plan
  if start == plan.num_steps:
    return state
  agree = hosts.Agreement()
  bar = tqdm(
    total=plan.num_steps,
    initial=start,
    unit='step',
    disable=not (hosts.is_first() and sys.stderr.isatty()),
    dynamic_ncols=True,
  )
  with bar:
    for step, state, metrics in advance(program, state, start):  # noqa: B020
      stop = agree(request.received or 0)  # read once: it can arrive any time
      meter.add(step, metrics)
      clock.step(plan.steps_per_dispatch)
      bar.update(plan.steps_per_dispatch)
      done = step == plan.num_steps
      report = step % plan.report_every == 0
      save = step % plan.save_every == 0 or done or stop > 0
      if report or save:
        meter.flush()
        if save and not all_finite(state):
          raise Diverged(f'a weight is not finite at step {step}')
        clock.pause()
        line = record(step, state, clock.lap() if report else None, save)
        if line:
          bar.write(_summary(line, plan.num_steps), file=sys.stdout)
          sys.stdout.flush()
        clock.resume()
      if done:
        break
      if stop:
        raise Stopped(stop, step)
  return state


def _last_good(checkpoints: Checkpoints) -> str:
  checkpoints.close()
  steps = checkpoints.steps()
  if not steps:
    return 'no checkpoint was saved before'
  return f'the last good checkpoint is {checkpoints.path(steps[-1])}'


def _summary(line: dict[str, Any], num_steps: int) -> str:
  """A report as a line for people."""
  shown = {
    'd_loss': 'd_loss {:.3f}',
    'g_loss': 'g_loss {:.4f}',
    'labelled_accuracy': 'labelled accuracy {:.1%}',
    'validation_error': 'validation error {:.1%}',
    'samples_std': 'std over z {:.3f}',
    'validation_l1_a2b': 'validation L1 {:.3f}',
    'validation_l1_b2a': 'validation L1 {:.3f}',
    'validation_cycle_a': 'validation cycle a {:.3f}',
    'validation_cycle_b': 'b {:.3f}',
    'step_seconds': '{:.3f} s/step',
  }
  parts = [f'step {line["step"]:>6}/{num_steps}']
  parts += [form.format(line[k]) for k, form in shown.items() if k in line]
  return '  '.join(parts)


def _to_stderr(text: str) -> None:
  print(text, file=sys.stderr, flush=True)
