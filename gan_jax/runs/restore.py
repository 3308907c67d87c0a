"""Opening of a run directory to use its trained networks."""

import os
import sys
from typing import NamedTuple

from ml_collections import ConfigDict

from gan_jax.core.errors import InputError, choice
from gan_jax.data.spec import Data, DataSpec, DomainSpec, read_spec
from gan_jax.devices import parallel
from gan_jax.runs import program
from gan_jax.runs.checkpoint import Checkpoints, abstract, best_step
from gan_jax.runs.directory import RunDirectory, data_changes
from gan_jax.runs.fingerprint import data_fingerprints
from gan_jax.systems import (
  SYSTEMS,
  System,
  check,
  epoch_rows,
  make_system,
)
from gan_jax.systems.state import TrainState


class TrainedRun(NamedTuple):
  """A run's restored checkpoint, with its config, data spec and system."""

  directory: RunDirectory
  config: ConfigDict
  spec: DataSpec | DomainSpec
  system: System
  state: TrainState  # fields that were not read are None
  step: int


def load_run(
  workdir: str | os.PathLike, checkpoint: str = 'latest'
) -> TrainedRun:
  """Opens a run directory, without its data and without changing it.

  Args:
    workdir: the run directory.
    checkpoint: 'latest', 'best' by its config's `checkpoint.best_metric`, or a
      step.

  Raises:
    InputError: it is not a run directory, or has no such intact checkpoint.
  """
  return _load(workdir, checkpoint)


def load_generator(
  workdir: str | os.PathLike, checkpoint: str = 'latest'
) -> TrainedRun:
  """Opens a run directory like `load_run`, but reads only the generator.

  The discriminator's part of the checkpoint may be damaged or deleted.

  Raises:
    InputError: see `load_run`; or the system has no generator.
  """
  run = _load(workdir, checkpoint, discriminator=None, extra=None)
  if run.system.sampler is None and run.system.translator is None:
    raise InputError(f'system {run.config.system} has no generator')
  return run


def open_system(
  workdir: str | os.PathLike,
) -> tuple[RunDirectory, ConfigDict, DataSpec | DomainSpec, System]:
  """Opens a run's config, spec and system, without its checkpoints."""
  directory = RunDirectory(workdir)
  config = directory.read_config()
  check(config)
  recorded = directory.read_data()
  spec = read_spec(SYSTEMS[config.system].DATA.SPEC, recorded['spec'])
  if spec is None:
    raise InputError(f'{directory.data} is not the file that a run writes')
  return directory, config, spec, make_system(config, spec)


def _load(
  workdir: str | os.PathLike, checkpoint: str, **left_out: None
) -> TrainedRun:
  directory, config, spec, system = open_system(workdir)
  shapes = program.state_shapes(system, spec).replace(**left_out)
  checkpoints = Checkpoints(
    directory.checkpoints,
    initial=None
    if system.init_rows  # it would need the data
    else lambda: program.new_state(system, config),
  )
  template = abstract(shapes, parallel.replicated('jit'))
  if not checkpoints.steps():
    steps = config.checkpoint.save_every_steps
    often = f'every {steps} steps' if steps else 'every epoch'
    raise InputError(
      f'{directory.path} has no checkpoint yet; the training saves one {often} '
      'and when Ctrl-C stops it'
    )
  if checkpoint == 'latest':
    restored = checkpoints.restore_latest(
      template, report=lambda text: print(text, file=sys.stderr)
    )
  else:
    step = _choose(checkpoint, config, directory, checkpoints.steps())
    restored = checkpoints.restore(step, template)
  return TrainedRun(
    directory, config, spec, system, restored.state, restored.step
  )


def _choose(
  checkpoint: str,
  config: ConfigDict,
  directory: RunDirectory,
  steps: list[int],
) -> int:
  """Returns the step that 'best' or a number refers to, one of `steps`."""
  if checkpoint == 'best':
    name = config.checkpoint.best_metric
    if name is None:
      raise InputError(
        f'{directory.path} has no best checkpoint: its '
        'config.checkpoint.best_metric is None'
      )
    values = {
      line['step']: line[name]
      for line in directory.lines()
      if line.get(name) is not None and line['step'] in steps
    }
    if not values:
      raise InputError(f'no checkpoint in {directory.path} has a {name} yet')
    return best_step(values, name)
  if not checkpoint.isdecimal() or int(checkpoint) not in steps:
    raise choice('checkpoint', checkpoint, ['latest', 'best', *map(str, steps)])
  return int(checkpoint)


def load_run_data(run: TrainedRun, data_dir: str | None = None) -> Data:
  """Loads a run's training data, and checks them against the recorded hashes.

  Args:
    run: an open run.
    data_dir: folder of the data, if not the one in its config.
  """
  config = run.config.copy_and_resolve_references()
  config.data.data_dir = data_dir or config.data.data_dir
  data = SYSTEMS[config.system].DATA(config.data, epoch_rows=epoch_rows(config))
  changes = data_changes(
    {'sha256': run.directory.read_data()['sha256']},
    {'sha256': data_fingerprints(data)},
  )
  if changes:
    raise InputError(
      f'the data are not those that {run.directory.path} was trained on: '
      f'{"; ".join(changes)}'
    )
  return data
