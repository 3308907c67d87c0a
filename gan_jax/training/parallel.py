"""One pure training step on one device or many. The only file that says pmap.

The state has no device axis: it goes in and comes out replicated, so that a
checkpoint does not know how many devices there were.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gan_jax.data.batches import to_unit_range
from gan_jax.errors import InputError
from gan_jax.types import Batch, Metrics, PRNGKey

AXIS_NAME = 'batch'


def num_replicas(mode: str) -> int:
  """Over how many devices `config.parallel` splits a batch."""
  return 1 if mode == 'jit' else jax.device_count()


def axis_name(mode: str) -> str | None:
  """The mapped axis in this mode: None where one device has the whole batch."""
  mapped = mode == 'pmap' or (mode == 'auto' and jax.device_count() > 1)
  return AXIS_NAME if mapped else None


def mode_in_use(mode: str) -> str:
  """The mode as it is carried out here, e.g. 'jit' or 'pmap over 8 devices'."""
  if axis_name(mode) is None:
    return 'jit'
  return f'pmap over {num_replicas(mode)} devices'


def replicated(mode: str) -> NamedSharding:
  """Where the state lives: a copy on every device that takes part."""
  devices = jax.devices()[: num_replicas(mode)]
  return NamedSharding(Mesh(np.array(devices), (AXIS_NAME,)), PartitionSpec())


def check_batch(mode: str, rows: int) -> None:
  """Raises InputError for a batch that cannot be split over the devices."""
  if rows % num_replicas(mode):
    raise InputError(
      f'a batch of {rows} rows does not divide by {num_replicas(mode)} '
      'devices; change config.data.batch_size or set config.parallel=jit'
    )


class Step(NamedTuple):
  """A compiled step; both take (state, global batches, key)."""

  run: Callable[[Any, Sequence[Batch], PRNGKey], tuple[Any, Metrics]]
  lower: Callable[[Any, Sequence[Batch], PRNGKey], jax.stages.Lowered]


def compile_step(train_step: Callable, mode: str) -> Step:
  """Compiles one or several steps into one dispatch.

  Args:
    train_step: (state, batch, key) -> (state, metrics), made for the
      `axis_name` of this mode. Its images are floats in [-1, 1].
    mode: 'jit', 'pmap' or 'auto' (pmap where there are several devices).

  Returns:
    Functions of (state, global batches of uint8 images, one per step, key).
    `run` returns (state, metrics [steps]) and donates the state; `lower` shows
    its program.
  """

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

  if axis_name(mode) is None:
    compiled = jax.jit(steps, donate_argnums=0)
  else:
    compiled = jax.pmap(
      steps,
      axis_name=AXIS_NAME,
      in_axes=(None, 1, None),
      out_axes=(None, None),
      donate_argnums=0,
    )

  def split(*rows):  # [B, ...] per step to [steps, (replicas,) rows, ...]
    stacked = np.stack(rows)
    if axis_name(mode) is None:
      return stacked
    return stacked.reshape(
      len(rows), num_replicas(mode), -1, *stacked.shape[2:]
    )

  def run(state, batches, key):
    return compiled(state, jax.tree.map(split, *batches), key)

  def lower(state, batches, key):
    return compiled.lower(state, jax.tree.map(split, *batches), key)

  return Step(run, lower)
