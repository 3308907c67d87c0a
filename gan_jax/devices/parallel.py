"""Compilation of a training step for one device or many.

This is the only file that uses pmap. The state has no device axis: it is
replicated before and after a step, so that checkpoints do not depend on the
number of devices.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gan_jax.core.errors import InputError
from gan_jax.core.types import Batch, Metrics, PRNGKey
from gan_jax.data.batches import to_unit_range

AXIS_NAME = 'batch'
_ROWS = P(None, AXIS_NAME)  # of batches [steps, rows, ...]


def resolve(mode: str) -> str:
  """Resolves `config.parallel` to 'jit', 'pmap' or 'shard_map'.

  'auto' is 'jit' on one device, 'pmap' on several devices of one process, and
  'shard_map' over several processes.
  """
  if mode != 'auto':
    return mode
  if jax.process_count() > 1:
    return 'shard_map'
  return 'pmap' if jax.device_count() > 1 else 'jit'


def num_replicas(mode: str) -> int:
  """Returns the number of devices that a batch is split over."""
  return 1 if resolve(mode) == 'jit' else jax.device_count()


def axis_name(mode: str) -> str | None:
  """Returns the mapped axis's name; None if one device has the whole batch."""
  return None if resolve(mode) == 'jit' else AXIS_NAME


def mode_in_use(mode: str) -> str:
  """Describes the mode in use, e.g. 'jit' or 'pmap over 8 devices'."""
  if axis_name(mode) is None:
    return 'jit'
  words = f'{resolve(mode)} over {num_replicas(mode)} devices'
  if jax.process_count() > 1:
    words += f' of {jax.process_count()} processes'
  return words


def replicated(mode: str) -> NamedSharding:
  """Returns the state's sharding: a copy on every participating device."""
  return NamedSharding(_mesh(mode), P())


def _mesh(mode: str) -> Mesh:
  return Mesh(np.array(jax.devices()[: num_replicas(mode)]), (AXIS_NAME,))


def check(mode: str, rows: int, pieces: int = 1) -> None:
  """Raises InputError for a batch that cannot be split over the devices.

  Args:
    mode: `config.parallel`.
    rows: batch size of an update.
    pieces: number of microbatches that each device splits its rows into.
  """
  if jax.process_count() > 1 and resolve(mode) != 'shard_map':
    raise InputError(
      f'config.parallel = {mode} is for one process, but there are '
      f'{jax.process_count()}; set it to auto or shard_map'
    )
  if jax.device_count() != jax.process_count() * jax.local_device_count():
    raise InputError(
      f'this process has {jax.local_device_count()} of the '
      f'{jax.device_count()} devices of {jax.process_count()} processes; give '
      'each process the same number of devices'
    )
  if rows % num_replicas(mode):
    remedy = 'change config.data.batch_size'
    if jax.process_count() == 1:
      remedy += ', or set config.parallel=jit to use one device'
    raise InputError(
      f'a batch of {rows} rows is not divisible by {num_replicas(mode)} '
      f'devices; {remedy}'
    )
  rows //= num_replicas(mode)
  if rows % pieces:
    raise InputError(
      f'the {rows} rows of a device are not divisible by '
      f'config.train.num_microbatches = {pieces}; change it'
    )


class Step(NamedTuple):
  """A compiled step: functions of (state, this process's batches, key)."""

  run: Callable[[Any, Sequence[Batch], PRNGKey], tuple[Any, Metrics]]
  lower: Callable[[Any, Sequence[Batch], PRNGKey], jax.stages.Lowered]


def compile_step(train_step: Callable, mode: str) -> Step:
  """Compiles one or several steps into one dispatch.

  Args:
    train_step: (state, batch, key) -> (state, metrics), built for the
      `axis_name` of this mode. Its images are floats in [-1, 1].
    mode: 'jit', 'pmap', 'shard_map' or 'auto'; see `resolve`.

  Returns:
    Functions of (state, batches of uint8 images, one per step, key). With
    several processes, a batch holds this process's rows. `run` returns (state,
    metrics [steps]) and donates the state; `lower` returns the lowered program.
  """
  return _compile_step(train_step, resolve(mode))


@functools.lru_cache(maxsize=8)  # so that equal steps compile once
def _compile_step(train_step: Callable, mode: str) -> Step:
  steps = several_steps(train_step)
  if mode == 'pmap':
    compiled = jax.pmap(
      steps,
      axis_name=AXIS_NAME,
      in_axes=(None, 1, None),
      out_axes=(None, None),
      donate_argnums=0,
    )
  elif mode == 'shard_map':
    compiled = shard(steps, _mesh(mode))
  else:
    compiled = jax.jit(steps, donate_argnums=0)

  def split(*rows):  # [B, ...] per step to [steps, (replicas,) rows, ...]
    stacked = np.stack(rows)
    if mode == 'pmap':
      return stacked.reshape(
        len(rows), num_replicas(mode), -1, *stacked.shape[2:]
      )
    if mode == 'shard_map':
      return jax.make_array_from_process_local_data(
        NamedSharding(_mesh(mode), _ROWS), stacked
      )
    return stacked

  def run(state, batches, key):
    return compiled(state, jax.tree.map(split, *batches), key)

  def lower(state, batches, key):
    return compiled.lower(state, jax.tree.map(split, *batches), key)

  return Step(run, lower)


def several_steps(train_step: Callable) -> Callable:
  """Returns (state, batches [steps, rows, ...], key) -> (state, metrics)."""

  def one_step(state, batch, key):
    batch = jax.tree.map(to_unit_range, batch)
    return train_step(state, batch, key)

  def steps(state, batches, key):
    length = jax.tree.leaves(batches)[0].shape[0]
    if length > 1:
      return jax.lax.scan(lambda s, b: one_step(s, b, key), state, batches)
    state, metrics = one_step(state, jax.tree.map(lambda x: x[0], batches), key)
    return state, jax.tree.map(lambda x: x[None], metrics)

  return steps


def shard(steps: Callable, mesh: Mesh, *, check_vma: bool = False) -> Callable:
  """Shards `several_steps` over a mesh with the axis AXIS_NAME.

  The program equals that of `jax.pmap`, up to rounding. With `check_vma`, JAX
  proves while tracing that the new state is the same on every device.
  """
  mapped = jax.shard_map(
    steps,
    mesh=mesh,
    in_specs=(P(), _ROWS, P()),
    out_specs=P(),
    check_vma=check_vma,
  )
  return jax.jit(mapped, donate_argnums=0)
