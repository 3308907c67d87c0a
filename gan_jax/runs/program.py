"""Program of a run: its config bound to data, system and devices."""

import contextlib
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax.core import memory
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.core.types import Metrics, PRNGKey
from gan_jax.data.batches import read_ahead, to_unit_range
from gan_jax.data.dataset import Dataset, crop_to_native
from gan_jax.data.domain_sets import DomainDataset
from gan_jax.data.spec import (
  Data,
  DataSpec,
  DomainSpec,
  Stream,
  split_sizes,
)
from gan_jax.data.synthetic.random_images import made_up, made_up_domains
from gan_jax.devices import parallel
from gan_jax.metrics.diversity import stddev_over_z
from gan_jax.runs.checkpoint import abstract
from gan_jax.runs.fingerprint import data_fingerprints
from gan_jax.systems import (
  SYSTEMS,
  System,
  check,
  epoch_rows,
  make_system,
)
from gan_jax.systems.state import TrainState

_FEW_STEPS = 20  # in an epoch
_NUM_DEVIATING = 100  # training images; of as many samples a report tells it


class Due(NamedTuple):
  """Events that are due at a step."""

  report: bool
  save: bool
  last: bool  # the run ends after this step


class Plan(NamedTuple):
  """Schedule of a run's reports, evaluations and checkpoints, in steps."""

  num_steps: int
  steps_per_epoch: int
  steps_per_dispatch: int
  report_every: int
  eval_every: int  # a multiple of report_every
  save_every: int

  def due(self, step: int) -> Due:
    last = step == self.num_steps
    return Due(
      report=step % self.report_every == 0,
      save=step % self.save_every == 0 or last,
      last=last,
    )


class Origin(Protocol):
  """Protocol of an alternative to random initial parameters."""

  def apply(self, state: TrainState) -> TrainState:
    """Returns the state at step 0 with the parts taken from elsewhere."""


class Program(NamedTuple):
  """A config bound to data and a system without a mapped axis; see `build`."""

  config: ConfigDict
  data: Data
  plan: Plan
  system: System
  origin: Origin | None = None  # for a run that starts from another one

  def key(self, purpose: str) -> PRNGKey:
    return key_for(jax.random.key(self.config.seed), purpose)

  def sampler(self) -> Callable[[int], dict[str, dict[str, np.ndarray]]]:
    """Returns a function from a step to this process's rows of its batches."""
    part = jax.process_index(), jax.process_count()
    return self.data.sampler(self.system.batch_spec, self.config.seed, part)

  def warn(self) -> str | None:
    """Returns a note if the run is counted in epochs of very few steps."""
    num, config = self.plan.steps_per_epoch, self.config
    if num >= _FEW_STEPS or config.data.made_up or config.train.num_steps:
      return None
    return (
      f'note: an epoch of {self.data.num_train} images has only {num} '
      f'{"step" if num == 1 else "steps"}, so that this run of '
      f'{self.plan.num_steps} steps ends soon; give its length in steps, e.g. '
      '--config.train.num_steps=20000, or make config.data.batch_size smaller'
    )

  def describe_data(self) -> dict[str, Any]:
    """Returns the contents of a run's data.json."""
    hashes = data_fingerprints(self.data)
    description = {
      'spec': self.data.spec._asdict(),
      'sha256': hashes,
      'num_images': split_sizes(self.data),
    }
    if self.data.dataset.num_skipped:
      description['num_skipped'] = self.data.dataset.num_skipped
    if self.system.sampler is not None:
      description['std'] = self._data_std()
    return json.loads(json.dumps(description))  # equal to what is read back

  def _data_std(self) -> float:
    """The `stddev_over_z` of training images, evenly spread."""
    images = self.data.dataset.train.image
    images = images[:: math.ceil(len(images) / _NUM_DEVIATING)]
    native = crop_to_native(images, self.data.spec.native_size)
    return stddev_over_z(to_unit_range(native))


def build(
  config: ConfigDict, dataset: Dataset | DomainDataset | None = None
) -> Program:
  """Builds a run's program; checks everything before any work is done.

  Args:
    config: the result of a config file's get_config.
    dataset: replaces the data set that `config.data.name` names.

  Raises:
    InputError: the config or the data are invalid, or do not fit each other.
  """
  check(config)
  data = SYSTEMS[config.system].DATA(
    config.data, dataset, epoch_rows=epoch_rows(config)
  )
  program = Program(
    config=config,
    data=data,
    plan=_plan(config, data.spec.steps_per_epoch),
    system=make_system(config, data.spec),
  )
  if program.system.classifier is not None and data.spec.num_classes < 2:
    raise InputError(
      f'system {config.system} learns to tell classes apart, but '
      f'{data.dataset.name} has {data.spec.num_classes}; use data with at '
      'least two classes, or choose system gan'
    )
  if program.system.init_rows > data.num_train:
    raise InputError(
      f'config.model.init_rows = {program.system.init_rows} is more than the '
      f'{data.num_train} training images'
    )
  program.sampler()
  # Each update's batch is split, too: a stream may hold several batches.
  parallel.check(
    config.parallel, config.data.batch_size, config.train.num_microbatches
  )
  _check_memory(program)
  return program


def made_up_program(config: ConfigDict, shape: tuple[int, int, int]) -> Program:
  """Builds a program on random images [H, W, C], padded to its image_size.

  It is for timing and compiling, not for learning.
  """
  rows = 10 * config.data.batch_size
  if 'crop_size' in config.data:
    config.data.preprocess = 'resize_and_crop'
    config.data.load_size = config.data.crop_size = shape[:2]
    images = made_up_domains(shape, rows, 1, seen=shape[:2])
    return build(config, images)
  if config.data.num_labels is not None:
    config.data.num_labels = 100  # labels do not affect speed
  side = config.data.image_size or shape[0]
  images = made_up((side, side, shape[2]), max(1000, rows), 10)
  return build(config, images)


def _check_memory(program: Program) -> None:
  """Raises InputError if a device cannot hold the state and a batch."""
  shapes = state_shapes(program.system, program.data.spec)
  device = jax.local_devices()[0]
  stats = device.memory_stats() or {}  # None on a CPU
  memory.check(
    'the state (parameters, optimisers, averages)',
    sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shapes)),
    stats.get('bytes_limit') or memory.host_bytes(),
    'make the networks or the images smaller (config.model, config.data)',
  )


def _plan(config: ConfigDict, steps_per_epoch: int) -> Plan:
  chunk = config.train.steps_per_dispatch
  report_every = config.log.report_every_steps or steps_per_epoch
  plan = Plan(
    num_steps=config.train.num_steps
    or config.train.num_epochs * steps_per_epoch,
    steps_per_epoch=steps_per_epoch,
    steps_per_dispatch=chunk,
    report_every=report_every,
    eval_every=config.eval.eval_every_steps or report_every,
    save_every=config.checkpoint.save_every_steps or steps_per_epoch,
  )
  # Dispatches must start at the same steps in a resumed run: programs of
  # different chunk lengths are not bitwise equal.
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
  if plan.eval_every % report_every:
    raise InputError(
      f'config.eval.eval_every_steps is {plan.eval_every}, not a multiple of '
      f'the {report_every} steps between two reports, which its scores are in'
    )
  return plan


def init_state(program: Program) -> TrainState:
  """Initialises the state on the devices of `config.parallel`."""
  image = None
  if program.system.init_rows:
    rows = {'init': Stream('all', program.system.init_rows)}
    sampler = program.data.sampler(rows, program.config.seed)
    image = sampler(0)['init']['image']
  state = new_state(program.system, program.config, image)
  return state if program.origin is None else program.origin.apply(state)


def new_state(
  system: System, config: ConfigDict, image: np.ndarray | None = None
) -> TrainState:
  """Initialises a system's state, on `init_rows` images if it needs them."""
  init = _compile_init(system.init, config.parallel)
  return init(key_for(jax.random.key(config.seed), 'init'), image)


@functools.lru_cache(maxsize=8)
def _compile_init(init: Callable, mode: str) -> Callable:
  # It runs once. A low optimisation level gives the same bits in a quarter of
  # the compile time.
  options = {'xla_backend_optimization_level': 1}
  return jax.jit(
    lambda key, image: init(key, jax.tree.map(to_unit_range, image)),
    out_shardings=parallel.replicated(mode),
    compiler_options=options if jax.default_backend() == 'cpu' else None,
  )


def state_shapes(system: System, spec: DataSpec | DomainSpec) -> TrainState:
  """Returns the shapes and dtypes of a system's state."""
  image = None
  if system.init_rows:
    shape = (system.init_rows, *spec.image_shape)
    image = jax.ShapeDtypeStruct(shape, jax.numpy.float32)
  return jax.eval_shape(system.init, jax.random.key(0), image)


def state_template(program: Program) -> TrainState:
  """Returns the shapes, dtypes and placement of a state, to restore one."""
  shapes = state_shapes(program.system, program.data.spec)
  return abstract(shapes, parallel.replicated(program.config.parallel))


def compile_step(program: Program) -> parallel.Step:
  """Compiles the training step for the devices of `config.parallel`."""
  mode = program.config.parallel
  system = make_system(
    program.config, program.data.spec, parallel.axis_name(mode)
  )
  return parallel.compile_step(system.train_step, mode)


def advance(
  program: Program,
  state: TrainState,
  start: int,
  compiling: contextlib.AbstractContextManager | None = None,
) -> Iterator[tuple[int, TrainState, Metrics]]:
  """Trains from step `start` on, until the caller stops iterating.

  Args:
    program: the program to run.
    state: the state after `start` steps; it is donated.
    start: a multiple of the plan's steps_per_dispatch.
    compiling: a context entered for the first dispatch, which compiles.

  Yields:
    After each dispatch: the number of completed steps, the state, and the
    metrics of the dispatch's steps, arrays [steps] whose computation may still
    be running.
  """
  run = compile_step(program).run
  batches_by_step = read_ahead(program.sampler(), start)
  key = program.key('train')
  chunk = program.plan.steps_per_dispatch
  step = start
  while True:
    batches = list(itertools.islice(batches_by_step, chunk))
    with (compiling if step == start else None) or contextlib.nullcontext():
      state, metrics = run(state, batches, key)
    step += chunk
    yield step, state, metrics
