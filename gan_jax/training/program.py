"""A config bound to data and devices: all that stepping needs."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax import config as cfg
from gan_jax.data import Dataset, load_dataset
from gan_jax.data.batches import Sampler, to_unit_range
from gan_jax.data.dataset import label_mask
from gan_jax.data.spec import DataSpec, Stream
from gan_jax.errors import InputError, choice
from gan_jax.rng import key_for
from gan_jax.systems import SYSTEMS, System, make_system
from gan_jax.training import parallel
from gan_jax.training.checkpoint import abstract
from gan_jax.training.fingerprint import data_fingerprints
from gan_jax.training.state import TrainState
from gan_jax.types import Metrics, PRNGKey


class Plan(NamedTuple):
  """When what happens, in steps."""

  num_steps: int
  steps_per_epoch: int
  steps_per_dispatch: int
  report_every: int
  save_every: int


class Program(NamedTuple):
  """Made by `build`; `system` is free of any mapped axis."""

  config: ConfigDict
  dataset: Dataset
  mask: np.ndarray  # bool [N], which training labels are kept
  spec: DataSpec
  plan: Plan
  system: System

  def key(self, purpose: str) -> PRNGKey:
    return key_for(jax.random.key(self.config.seed), purpose)

  def describe_data(self) -> dict[str, Any]:
    """The contents of a run's data.json."""
    hashes = data_fingerprints(self.dataset, self.mask)
    description = {'spec': self.spec._asdict(), 'sha256': hashes}
    return json.loads(json.dumps(description))  # as it is read back


def check(config: ConfigDict) -> None:
  """Raises InputError for an unknown system, or a bad key or value."""
  name = config.get('system')
  if name not in SYSTEMS:
    raise choice('system', name, SYSTEMS)
  cfg.check_config(config, SYSTEMS[name].SCHEMA)


def build(config: ConfigDict, dataset: Dataset | None = None) -> Program:
  """Checks everything that can be wrong before any work is done.

  Args:
    config: as a config file's get_config returns it.
    dataset: instead of the one that `config.data.name` names.

  Raises:
    InputError: bad config or data, or images that the networks cannot make.
  """
  check(config)
  dataset = load_dataset(config.data) if dataset is None else dataset
  num_train = len(dataset.train.label)
  spec = DataSpec(
    image_shape=tuple(dataset.train.image.shape[1:]),
    native_size=tuple(dataset.native_size),
    num_classes=dataset.num_classes,
    steps_per_epoch=max(1, num_train // config.data.batch_size),
  )
  program = Program(
    config=config,
    dataset=dataset,
    mask=label_mask(dataset.train.label, config.data, dataset.num_classes),
    spec=spec,
    plan=_plan(config, spec.steps_per_epoch),
    system=make_system(config, spec),
  )
  make_sampler(program)
  if program.system.init_rows > num_train:
    raise InputError(
      f'config.model.init_rows = {program.system.init_rows} is more than the '
      f'{num_train} training images'
    )
  # Each turn of a player, too, is split: a stream may hold several.
  parallel.check_batch(config.parallel, config.data.batch_size)
  state_shapes(program.system, spec)
  return program


def _plan(config: ConfigDict, steps_per_epoch: int) -> Plan:
  chunk = config.train.steps_per_dispatch
  plan = Plan(
    num_steps=config.train.num_steps
    or config.train.num_epochs * steps_per_epoch,
    steps_per_epoch=steps_per_epoch,
    steps_per_dispatch=chunk,
    report_every=config.log.report_every_steps or steps_per_epoch,
    save_every=config.checkpoint.save_every_steps or steps_per_epoch,
  )
  # Whatever happens between dispatches must happen at the same steps in a
  # resumed run: chunks of other lengths compile to other bits.
  for name, steps in (
    ('the length of the run', plan.num_steps),
    ('config.log.report_every_steps', plan.report_every),
    ('config.checkpoint.save_every_steps', plan.save_every),
  ):
    if steps % chunk:
      raise InputError(
        f'{name} is {steps} steps, not a multiple of '
        f'config.train.steps_per_dispatch = {chunk}'
      )
  return plan


def make_sampler(program: Program) -> Sampler:
  """The training batches, by step."""
  return Sampler(
    program.dataset.train,
    program.mask,
    program.system.batch_spec,
    program.config.seed,
  )


def init_state(program: Program) -> TrainState:
  """The state at step 0, on the devices of `config.parallel`."""
  rows = {'init': Stream('all', program.system.init_rows)}
  sampler = Sampler(
    program.dataset.train, program.mask, rows, program.config.seed
  )
  image = sampler(0)['init']['image']
  init = jax.jit(
    lambda key, image: program.system.init(key, to_unit_range(image)),
    out_shardings=parallel.replicated(program.config.parallel),
  )
  return init(program.key('init'), image)


def state_shapes(system: System, spec: DataSpec) -> TrainState:
  """The shapes and dtypes of a system's state."""
  image = jax.ShapeDtypeStruct(
    (system.init_rows, *spec.image_shape), jax.numpy.float32
  )
  return jax.eval_shape(system.init, jax.random.key(0), image)


def state_template(program: Program) -> TrainState:
  """The shapes, dtypes and placement of a state, for restoring one."""
  shapes = state_shapes(program.system, program.spec)
  return abstract(shapes, parallel.replicated(program.config.parallel))


def compile_step(program: Program) -> parallel.Step:
  """The training step on the devices of `config.parallel`."""
  mode = program.config.parallel
  system = make_system(program.config, program.spec, parallel.axis_name(mode))
  return parallel.compile_step(system.train_step, mode)


def advance(
  program: Program, state: TrainState, start: int
) -> Iterator[tuple[int, TrainState, Metrics]]:
  """Trains from step `start` on, for as long as the caller asks for more.

  Args:
    program: what to train.
    state: the state after `start` steps; it is donated.
    start: a multiple of the plan's steps_per_dispatch.

  Yields:
    After each dispatch: the number of steps done, the state, and the metrics
    of the dispatch's steps, arrays [steps] that may still be being computed.
  """
  run = compile_step(program).run
  sampler = make_sampler(program)
  key = program.key('train')
  chunk = program.plan.steps_per_dispatch
  step = start
  while True:
    batches = [sampler(step + i) for i in range(chunk)]
    state, metrics = run(state, batches, key)
    step += chunk
    yield step, state, metrics
