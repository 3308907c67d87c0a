"""Sums and means over a batch that is split over devices."""

import jax

from gan_jax.types import Array, AxisName


def pmean(x: Array, axis_name: AxisName | None) -> Array:
  """The mean over the mapped axis, if there is one."""
  return (
    x if axis_name is None else _vary(jax.lax.pmean(x, axis_name), axis_name)
  )


def psum(x: Array, axis_name: AxisName | None) -> Array:
  """The sum over the mapped axis, if there is one."""
  return (
    x if axis_name is None else _vary(jax.lax.psum(x, axis_name), axis_name)
  )


def _vary(x: Array, axis_name: AxisName) -> Array:
  """`x`, known to be a value of each replica's own.

  Under `jax.shard_map` with check_vma a loss that is the same everywhere would
  be differentiated once, not once a replica, and its gradients, averaged over
  the replicas, would be too small by their number.
  """
  names = (axis_name,) if isinstance(axis_name, str) else axis_name
  manual = jax.sharding.get_abstract_mesh().manual_axes
  names = tuple(name for name in names if name in manual)  # not those of vmap
  return jax.lax.pcast(x, names, to='varying') if names else x
