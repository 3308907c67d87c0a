"""Opening a run directory to use what was trained in it."""

import os
import sys
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax.data import load_dataset
from gan_jax.data.batches import to_uint8
from gan_jax.data.dataset import Dataset, crop_to_native, label_mask
from gan_jax.data.spec import DataSpec
from gan_jax.errors import InputError
from gan_jax.evaluation.classification import make_error_rate
from gan_jax.rng import key_for
from gan_jax.systems import System, make_system
from gan_jax.training import parallel, program
from gan_jax.training.checkpoint import Checkpoints, abstract
from gan_jax.training.fingerprint import data_fingerprints
from gan_jax.training.run_directory import RunDirectory, data_changes
from gan_jax.training.state import TrainState


class TrainedRun(NamedTuple):
  """A run directory's newest whole checkpoint, and what it was made by."""

  directory: RunDirectory
  config: ConfigDict
  spec: DataSpec
  system: System
  state: TrainState
  step: int


def load_run(workdir: str | os.PathLike) -> TrainedRun:
  """Opens a run directory, without its data and without changing it.

  Raises:
    InputError: it is no run directory, or has no checkpoint that is whole.
  """
  directory = RunDirectory(workdir)
  config = directory.read_config()
  program.check(config)
  recorded = directory.read_data()
  spec = DataSpec(
    **{
      k: tuple(v) if isinstance(v, list) else v
      for k, v in recorded['spec'].items()
    }
  )
  system = make_system(config, spec)
  shapes = jax.eval_shape(system.init, jax.random.key(0))
  restored = Checkpoints(directory.checkpoints).restore_latest(
    abstract(shapes, parallel.replicated('jit')),
    report=lambda text: print(text, file=sys.stderr),
  )
  if restored is None:
    raise InputError(f'{directory.path} has no checkpoint yet')
  return TrainedRun(
    directory, config, spec, system, restored.state, restored.step
  )


def load_run_data(run: TrainedRun, data_dir: str | None = None) -> Dataset:
  """The data that a run was trained on, checked against the recorded hashes.

  Args:
    run: an open run.
    data_dir: where the data are now, if not where its config says.
  """
  config = run.config.copy_and_resolve_references()
  config.data.data_dir = data_dir or config.data.data_dir
  dataset = load_dataset(config.data)
  mask = label_mask(dataset.train.label, config.data, dataset.num_classes)
  recorded = run.directory.read_data()
  changes = data_changes(
    {'sha256': recorded['sha256']},
    {'sha256': data_fingerprints(dataset, mask)},
  )
  if changes:
    raise InputError(
      f'the data are not those that {run.directory.path} was trained on: '
      f'{"; ".join(changes)}'
    )
  return dataset


def evaluate(
  workdir: str, *, split: str = 'test', data_dir: str | None = None
) -> dict:
  """The classification error of a run's newest checkpoint.

  Args:
    workdir: the run directory.
    split: 'test' or 'validation'.
    data_dir: where the data are now, if not where the config says.

  Returns:
    A dict of the step, the split, its size, the error in [0, 1] and which
    weights were used, 'averaged' or 'raw'.
  """
  run = load_run(workdir)
  if run.system.predict is None:
    raise InputError(f'system {run.config.system} does not classify')
  examples = getattr(load_run_data(run, data_dir), split)
  error_rate = make_error_rate(run.system.predict, run.config.eval.batch_size)
  player = run.state.discriminator
  return {
    'step': run.step,
    'split': split,
    'num_examples': len(examples.label),
    'error': error_rate(player.averaged, examples),
    'weights': 'raw' if player.ema is None else 'averaged',
  }


def sample(workdir: str, *, num: int, seed: int) -> dict[str, np.ndarray]:
  """Samples of a run's generator.

  Args:
    workdir: the run directory.
    num: how many.
    seed: of z.

  Returns:
    Panels by name, each uint8 [num, H, W, C] without padding.
  """
  run = load_run(workdir)
  if run.system.generate is None:
    raise InputError(f'system {run.config.system} has no generator')
  key = key_for(jax.random.key(seed), 'samples')
  generate = jax.jit(run.system.generate, static_argnums=2)
  panels = generate(run.state.generator.averaged, key, num)
  return {
    name: crop_to_native(np.asarray(to_uint8(panel)), run.spec.native_size)
    for name, panel in panels.items()
  }
