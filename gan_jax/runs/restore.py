"""Opening a run directory to use what was trained in it."""

import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from gan_jax.data.batches import to_uint8
from gan_jax.data.dataset import crop_to_native
from gan_jax.data.domains import DomainData
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import DataSpec, DomainSpec, read_spec
from gan_jax.core.errors import InputError, choice
from gan_jax.evaluation.samples import nearest_neighbours
from gan_jax.runs.metrics_log import read_lines
from gan_jax.core.rng import key_for
from gan_jax.systems import SYSTEMS, System, make_system
from gan_jax.devices import parallel
from gan_jax.runs import program
from gan_jax.runs.checkpoint import Checkpoints, abstract, best_step
from gan_jax.runs.fingerprint import data_fingerprints
from gan_jax.runs.directory import RunDirectory, data_changes
from gan_jax.systems.state import TrainState
from gan_jax.core.types import Array


class TrainedRun(NamedTuple):
  """A run directory's newest whole checkpoint, and what it was made by."""

  directory: RunDirectory
  config: ConfigDict
  spec: DataSpec | DomainSpec
  system: System
  state: TrainState  # None where it was not read
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
    InputError: it is no run directory, or has no such checkpoint that is whole.
  """
  return _load(workdir, checkpoint)


def load_generator(workdir: str | os.PathLike) -> TrainedRun:
  """Opens a run directory as `load_run` does, but for its generator alone.

  The discriminator is not read: its part of a checkpoint may be damaged, or
  deleted.

  Raises:
    InputError: as `load_run`, or the system has no generator.
  """
  run = _load(workdir, 'latest', discriminator=None, extra=None)
  if run.system.generate is None and run.system.translate is None:
    raise InputError(f'system {run.config.system} has no generator')
  return run


def _load(
  workdir: str | os.PathLike, checkpoint: str, **left_out: None
) -> TrainedRun:
  directory = RunDirectory(workdir)
  config = directory.read_config()
  program.check(config)
  recorded = directory.read_data()
  spec = read_spec(SYSTEMS[config.system].DATA.SPEC, recorded['spec'])
  if spec is None:
    raise InputError(f'{directory.data} is not the file that a run writes')
  system = make_system(config, spec)
  shapes = program.state_shapes(system, spec).replace(**left_out)
  checkpoints = Checkpoints(directory.checkpoints)
  template = abstract(shapes, parallel.replicated('jit'))
  if not checkpoints.steps():
    raise InputError(f'{directory.path} has no checkpoint yet')
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
  """The step that 'best' or a number means, one of `steps`."""
  if checkpoint == 'best':
    name = config.checkpoint.best_metric
    if name is None:
      raise InputError(
        f'{directory.path} chose no best checkpoint: its '
        'config.checkpoint.best_metric is None'
      )
    values = {
      line['step']: line[name]
      for line in read_lines(directory.metrics)
      if line.get(name) is not None and line['step'] in steps
    }
    if not values:
      raise InputError(f'no checkpoint in {directory.path} has a {name} yet')
    return best_step(values, name)
  if not checkpoint.isdecimal() or int(checkpoint) not in steps:
    raise choice('checkpoint', checkpoint, ['latest', 'best', *map(str, steps)])
  return int(checkpoint)


def load_run_data(
  run: TrainedRun, data_dir: str | None = None
) -> LabelledData | DomainData:
  """The data that a run was trained on, checked against the recorded hashes.

  Args:
    run: an open run.
    data_dir: where the data are now, if not where its config says.
  """
  config = run.config.copy_and_resolve_references()
  config.data.data_dir = data_dir or config.data.data_dir
  data = SYSTEMS[config.system].DATA(config.data)
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


def sample(workdir: str, *, num: int, seed: int) -> dict[str, np.ndarray]:
  """`num` samples of a run's generator, as `generate` returns them."""
  run = load_generator(workdir)
  return generate(run, latents(run, [seed], num))


def latents(run: TrainedRun, seeds: Sequence[int], num: int = 1) -> Array:
  """The first `num` z of each seed, one seed's after the other's.

  Returns:
    z [len(seeds) * num, z_dim]; a seed's do not depend on the others.

  Raises:
    InputError: the system makes no images from z.
  """
  if run.system.sample_z is None:
    raise InputError(
      f'system {run.config.system} makes no images from noise; of one that '
      'translates images, use experiments.translate'
    )
  keys = [key_for(jax.random.key(seed), 'samples') for seed in seeds]
  return jnp.concatenate([run.system.sample_z(key, num) for key in keys])


def closed_tour(run: TrainedRun, z: Array, num_between: int) -> Array:
  """A way through all of z [N, z_dim], and from the last back to the first.

  Returns:
    z [N * (num_between + 1), z_dim]: each of the given ones, as it is, and
    after it `num_between` on the way to the next.
  """
  steps = num_between + 1
  following = jnp.roll(z, -1, axis=0)
  on_the_way = [
    run.system.interpolate(z, following, i / steps) for i in range(1, steps)
  ]
  return jnp.stack([z, *on_the_way], axis=1).reshape(-1, z.shape[-1])


def generate(run: TrainedRun, z: Array) -> dict[str, np.ndarray]:
  """What a run's generator makes of z [N, z_dim].

  Returns:
    Panels by name, each uint8 [N, H, W, C] without padding. An image depends on
    its own z alone, to the bit.
  """
  one = jax.jit(run.system.generate)
  weights = run.state.generator.averaged
  each = tqdm(range(len(z)), desc='generating', disable=not sys.stderr.isatty())
  panels = [one(weights, z[i : i + 1]) for i in each]
  return {
    name: crop_to_native(
      np.concatenate([to_uint8(panel[name]) for panel in panels]),
      run.spec.native_size,
    )
    for name in panels[0]
  }


def beside_nearest(
  run: TrainedRun, panels: dict[str, np.ndarray], data_dir: str | None = None
) -> dict[str, np.ndarray]:
  """Panels of samples [N, H, W, C], each sample and its nearest training image.

  Args:
    run: an open run.
    panels: what `generate` made.
    data_dir: where the data are now, if not where the config says.

  Returns:
    Panels by name, each uint8 [2 N, H, W, C].
  """
  train = load_run_data(run, data_dir).dataset.train.image
  train = crop_to_native(train, run.spec.native_size)
  pairs = {}
  for name, panel in panels.items():
    index, _ = nearest_neighbours(panel, train)
    pairs[name] = np.stack([panel, train[index]], axis=1)
  return {
    name: pair.reshape(-1, *train.shape[1:]) for name, pair in pairs.items()
  }
