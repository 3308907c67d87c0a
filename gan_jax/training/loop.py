"""The training loop: from a config to a finished run directory."""

import contextlib
import json
import sys
from typing import Any

import jax
from ml_collections import ConfigDict
from tqdm import tqdm

from gan_jax import config as cfg
from gan_jax.data.dataset import Dataset
from gan_jax.data.domain_sets import DomainDataset
from gan_jax.errors import InputError
from gan_jax.files import write_json
from gan_jax.reporting.metrics import MetricsLog
from gan_jax.training.checkpoint import Checkpoints, Restored, all_finite
from gan_jax.training.evaluator import Evaluator
from gan_jax.training.fingerprint import fingerprints
from gan_jax.training.meter import Clock, Diverged, Meter
from gan_jax.training.parallel import mode_in_use
from gan_jax.training.program import (
  Program,
  advance,
  build,
  init_state,
  state_template,
)
from gan_jax.training.run_directory import RunDirectory
from gan_jax.training.signals import Stopped, StopRequest
from gan_jax.training.state import TrainState


def train(
  config: ConfigDict,
  workdir: str,
  *,
  dataset: Dataset | DomainDataset | None = None,
) -> dict[str, Any]:
  """Trains what `config` says in `workdir`, from where it was left.

  Args:
    config: as a config file's get_config returns it.
    workdir: the run directory; made if it does not exist.
    dataset: instead of the one that `config.data.name` names.

  Returns:
    The contents of result.json.

  Raises:
    InputError: bad config, data or directory, before anything is changed.
    Diverged: NaN or infinity; the message names the last good checkpoint.
    Stopped: SIGTERM or Ctrl-C came; the state was saved.
  """
  program = build(config, dataset)
  evaluator = Evaluator(program)
  directory = RunDirectory(workdir)
  with directory.locked():
    data = program.describe_data()
    directory.check(config, data)
    checkpoints = Checkpoints(
      directory.checkpoints,
      keep=config.checkpoint.keep,
      best=config.checkpoint.best_metric,
    )
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
    checkpoints.set_aside(after=start)
    if start == num_steps and directory.result.exists():
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
      print(f'resuming {directory.path} from step {start}', flush=True)
    clock = Clock(config.data.batch_size, program.plan.steps_per_epoch)
    with StopRequest() as request:
      log = MetricsLog(directory.path, start, config.log.tensorboard)
      with contextlib.closing(log), contextlib.closing(checkpoints):
        try:
          state = _train_steps(
            program, restored, checkpoints, log, evaluator, clock, request
          )
        except Diverged as error:
          raise Diverged(f'{error}; {_last_good(checkpoints)}') from None
      result = {
        **evaluator.result(state),
        'images_per_second': clock.images_per_second(),
        'config': json.loads(cfg.to_json(config)),  # without tuples
        'sessions': directory.sessions(),
      }
      write_json(directory.result, result)
      if request.received is not None:  # whoever called must not go on
        raise Stopped(request.received, num_steps)
    return result


def _train_steps(
  program: Program,
  restored: Restored | None,
  checkpoints: Checkpoints,
  log: MetricsLog,
  evaluator: Evaluator,
  clock: Clock,
  request: StopRequest,
) -> TrainState:
  """Steps, reports and saves until the end."""
  plan = program.plan
  start = restored.step if restored else 0
  state = restored.state if restored else init_state(program)
  meter = Meter(restored.progress if restored else {})
  if start == plan.num_steps:
    return state
  bar = tqdm(
    total=plan.num_steps,
    initial=start,
    unit='step',
    disable=not sys.stderr.isatty(),
    dynamic_ncols=True,
  )
  with bar:
    for step, state, metrics in advance(program, state, start):  # noqa: B020
      meter.add(step, metrics)
      clock.step(plan.steps_per_dispatch)
      bar.update(plan.steps_per_dispatch)
      stop = request.received  # read once: it can arrive at any time
      done = step == plan.num_steps
      report = step % plan.report_every == 0
      save = step % plan.save_every == 0 or done or stop is not None
      if report or save:
        meter.flush()
        line = {}
        if save and not all_finite(state):
          raise Diverged(f'a weight is not finite at step {step}')
        clock.pause()
        if report:
          line = evaluator.line(step, state, meter.means()) | clock.lap()
          log.write(line)
          for name, grid in evaluator.grids(state).items():
            log.write_sample(name, step, grid)
          bar.write(_summary(line, plan.num_steps), file=sys.stdout)
          sys.stdout.flush()
        if save:
          # On disk before the checkpoint can be: every checkpoint has its line.
          sha256 = fingerprints(jax.device_get(state))['state']
          log.write({'step': step, 'state_sha256': sha256})
          value = line.get(program.config.checkpoint.best_metric)
          checkpoints.save(state, meter.saved(), value)
        clock.resume()
      if done:
        break
      if stop is not None:
        checkpoints.close()
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
