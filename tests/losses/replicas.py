"""Splits a batch over two devices, in each way that JAX offers."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from tests.tiers import in_systems

MODES = pytest.mark.parametrize(
  'mode', ['check_vma', *in_systems('pmap', 'shard_map', 'two axes')]
)


def assert_two_devices_match_one(mode, loss, weight, *rows):
  """Compares both devices' values, and the mean of their gradients.

  `loss` is a function of (weight, *rows, axis_name); each of `rows` is split.
  """

  axis_name = ('rows', 'batch') if mode == 'two axes' else 'batch'

  def replica(weight, *rows):
    if mode in ('check_vma', 'two axes'):
      weight = jax.lax.pcast(weight, axis_name, to='varying')
    value, gradient = jax.value_and_grad(loss)(weight, *rows, axis_name)
    return value[None], jax.lax.pmean(gradient, axis_name)[None]

  if mode == 'pmap':
    split = jax.pmap(
      replica,
      axis_name='batch',
      in_axes=(None, *[0] * len(rows)),
      devices=jax.devices()[:2],
    )
    halves = (x.reshape(2, len(x) // 2, *x.shape[1:]) for x in rows)
    values, gradients = split(weight, *halves)
    values, gradients = values[:, 0], gradients[:, 0]
  else:
    axes = {'rows': 1, 'batch': 2} if mode == 'two axes' else {'batch': 2}
    mesh = jax.make_mesh(
      tuple(axes.values()), tuple(axes), axis_types=(AxisType.Auto,) * len(axes)
    )
    split = jax.shard_map(
      replica,
      mesh=mesh,
      in_specs=(P(), *[P(axis_name)] * len(rows)),
      out_specs=P(axis_name),
      check_vma=mode != 'shard_map',
    )
    values, gradients = jax.jit(split)(weight, *rows)

  value, gradient = jax.value_and_grad(loss)(weight, *rows, None)
  assert np.abs(gradient).max() > 1e-3
  # Sums run in another order: a few roundings of numbers near 1.
  np.testing.assert_allclose(values, [value] * 2, rtol=1e-6)
  np.testing.assert_allclose(gradients, [gradient] * 2, rtol=1e-6, atol=1e-7)
