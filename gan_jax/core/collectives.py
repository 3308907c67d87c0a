"""Sums and means over a batch that is split over devices."""

from typing import TypeVar

import jax

from gan_jax.core.types import Array, AxisName

Tree = TypeVar('Tree')


def pmean(x: Array, axis_name: AxisName | None) -> Array:
  """Averages over the mapped axis, if there is one."""
  return (
    x if axis_name is None else vary(jax.lax.pmean(x, axis_name), axis_name)
  )


def psum(x: Array, axis_name: AxisName | None) -> Array:
  """Sums over the mapped axis, if there is one."""
  return x if axis_name is None else vary(jax.lax.psum(x, axis_name), axis_name)


def vary(tree: Tree, axis_name: AxisName | None) -> Tree:
  """Marks a replicated tree as varying over the mapped axis, for gradients.

  Under `jax.shard_map` with check_vma, a replicated loss would be
  differentiated once, not once per replica, and gradients of replicated
  parameters would be summed over the replicas. With this mark, each replica has
  its own loss and its own gradients there, as under pmap.
  """
  if axis_name is None:
    return tree
  names = (axis_name,) if isinstance(axis_name, str) else axis_name
  manual = jax.sharding.get_abstract_mesh().manual_axes
  names = tuple(name for name in names if name in manual)  # not those of vmap
  return jax.lax.pcast(tree, names, to='varying') if names else tree


def like(x: Array, *others: Array) -> Array:
  """Marks x as varying over all mapped axes over which the others vary."""
  own = [jax.typeof(a).manual_axis_type.varying for a in (x, *others)]
  missing = frozenset.union(*own) - own[0]
  return jax.lax.pcast(x, tuple(missing), to='varying') if missing else x
