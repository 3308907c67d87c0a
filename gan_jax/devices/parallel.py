"""One pure training step on one device or many. The only file that says pmap.

The state has no device axis: it goes in and comes out replicated, so that a
checkpoint does not know how many devices there were.
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
  """'jit', 'pmap' or 'shard_map': how `config.parallel` is carried out here.

  'auto' is 'jit' on one device, 'pmap' on the devices of one process, and
  'shard_map' over several processes.
  """
  if mode != 'auto':
    return mode
  if jax.process_count() > 1:
    return 'shard_map'
  return 'pmap' if jax.device_count() > 1 else 'jit'


def num_replicas(mode: str) -> int:
  """Over how many devices `config.parallel` splits a batch."""
  return 1 if resolve(mode) == 'jit' else jax.device_count()


def axis_name(mode: str) -> str | None:
  """The mapped axis in this mode: None where one device has the whole batch."""
  return None if resolve(mode) == 'jit' else AXIS_NAME


def mode_in_use(mode: str) -> str:
  """The mode as it is carried out here, e.g. 'jit' or 'pmap over 8 devices'."""
  if axis_name(mode) is None:
    return 'jit'
  words = f'{resolve(mode)} over {num_replicas(mode)} devices'
  if jax.process_count() > 1:
    words += f' of {jax.process_count()} processes'
  return words


def replicated(mode: str) -> NamedSharding:
  """Returns the state's sharding: a copy on every device that takes part."""
  return NamedSharding(_mesh(mode), P())


def _mesh(mode: str) -> Mesh:
  return Mesh(np.array(jax.devices()[: num_replicas(mode)]), (AXIS_NAME,))


def check(mode: str, rows: int, pieces: int = 1) -> None:
  """Raises InputError for a batch that cannot be split over the devices.

  Args:
    mode: `config.parallel`.
    rows: of a player's turn.
    pieces: into which each device cuts its rows.
  """
  if jax.process_count() > 1 and resolve(mode) != 'shard_map':
    raise InputError(
      f'config.parallel = {mode} is for one process, and there are '
      f'{jax.process_count()}; set it to auto or shard_map'
    )
  if jax.device_count() != jax.process_count() * jax.local_device_count():
    raise InputError(
      f'{jax.device_count()} devices of {jax.process_count()} processes, of '
      f'which this one has {jax.local_device_count()}; give all as many'
    )
  if rows % num_replicas(mode):
    remedy = 'change config.data.batch_size'
    if jax.process_count() == 1:
      remedy += ', or set config.parallel=jit to use one device'
    raise InputError(
      f'a batch of {rows} rows does not divide by {num_replicas(mode)} '
      f'devices; {remedy}'
    )
  rows //= num_replicas(mode)
  if rows % pieces:
    raise InputError(
      f'the {rows} rows of a device do not divide by '
      f'config.train.num_microbatches = {pieces}; change it'
    )


class Step(NamedTuple):
  """A compiled step; both take (state, this process's batches, key)."""

  run: Callable[[Any, Sequence[Batch], PRNGKey], tuple[Any, Metrics]]
  lower: Callable[[Any, Sequence[Batch], PRNGKey], jax.stages.Lowered]


def compile_step(train_step: Callable, mode: str) -> Step:
  """Compiles one or several steps into one dispatch.

  Args:
    train_step: (state, batch, key) -> (state, metrics), made for the
      `axis_name` of this mode. Its images are floats in [-1, 1].
    mode: 'jit', 'pmap', 'shard_map' or 'auto'; see `resolve`.

  Returns:
    Functions of (state, batches of uint8 images, one per step, key). Where
    there are several processes, a batch holds the rows of this one. `run`
    returns (state, metrics [steps]) and donates the state; `lower` shows its
    program.
  """
  return _compile_step(train_step, resolve(mode))


@functools.lru_cache(maxsize=8)  # a Step compiles once
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
  """(state, batches [steps, rows, ...], key) -> (state, metrics [steps])."""

  def one_step(state, batch, key):
    batch = jax.tree.map(
      lambda x: to_unit_range(x) if x.dtype == np.uint8 else x, batch
    )
    return train_step(state, batch, key)

  def steps(state, batches, key):
    length = jax.tree.leaves(batches)[0].shape[0]
    if length > 1:
      return jax.lax.scan(lambda s, b: one_step(s, b, key), state, batches)
    state, metrics = one_step(state, jax.tree.map(lambda x: x[0], batches), key)
    return state, jax.tree.map(lambda x: x[None], metrics)

  return steps


def shard(steps: Callable, mesh: Mesh, *, check_vma: bool = False) -> Callable:
  """`several_steps` over the devices of a mesh, whose axis is AXIS_NAME.

  The program is that of `jax.pmap`, up to rounding. With `check_vma`, JAX
  proves while tracing that the state comes out the same on every device.
  """
  mapped = jax.shard_map(
    steps,
    mesh=mesh,
    in_specs=(P(), _ROWS, P()),
    out_specs=P(),
    check_vma=check_vma,
  )
  return jax.jit(mapped, donate_argnums=0)
