"""Loss and gradient do not depend on how the batch is split or mapped."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax import losses
from tests.losses import accuracy, cases
from tests.losses.replicas import MODES, assert_two_devices_match_one


def own_mean(values, axis):
  """Averages over all replicas, with the gradient of the own elements' mean."""
  own = values.mean()
  if axis is None:
    return own
  return own + jax.lax.stop_gradient(jax.lax.pmean(own, axis) - own)


# Each loss as a scalar function of a network's outputs on data x and samples z,
# x and z themselves, and partly known labels.
OVER_THE_BATCH = {
  'cycle_consistency_loss': lambda f_x, f_z, x, z, labels, mask, axis: (
    losses.cycle_consistency_loss(x, f_x, z, f_z, axis_name=axis)
  ),
  'feature_matching_loss': lambda f_x, f_z, x, z, labels, mask, axis: (
    losses.feature_matching_loss([f_x, f_x**2], [f_z, f_z**2], axis_name=axis)
    + losses.feature_matching_loss(f_x, f_z, squared=True, axis_name=axis)
  ),
  'identity_loss': lambda f_x, f_z, x, z, labels, mask, axis: (
    losses.identity_loss(x, f_x, z, f_z, axis_name=axis)
  ),
  'pull_away_loss': lambda f_x, f_z, x, z, labels, mask, axis: (
    losses.pull_away_loss(f_z, axis_name=axis)
  ),
  'relativistic_average_discriminator_loss': (
    lambda f_x, f_z, x, z, labels, mask, axis: own_mean(
      losses.relativistic_average_discriminator_loss(f_x, f_z, axis_name=axis),
      axis,
    )
  ),
  'relativistic_average_generator_loss': (
    lambda f_x, f_z, x, z, labels, mask, axis: own_mean(
      losses.relativistic_average_generator_loss(f_x, f_z, axis_name=axis),
      axis,
    )
  ),
  'semi_supervised_discriminator_loss': (
    lambda f_x, f_z, x, z, labels, mask, axis: sum(
      losses.semi_supervised_discriminator_loss(
        f_x, f_z, labels, mask, axis_name=axis
      )
    )
  ),
  'supervised_loss': lambda f_x, f_z, x, z, labels, mask, axis: (
    losses.supervised_loss(f_x, labels, mask, axis_name=axis)
  ),
  'top_k_mean': lambda f_x, f_z, x, z, labels, mask, axis: losses.top_k_mean(
    f_z, f_z[:, 0], 4, axis_name=axis
  ),
  'unlabelled_loss': lambda f_x, f_z, x, z, labels, mask, axis: (
    losses.unlabelled_loss(f_x, f_z, axis_name=axis)
  ),
}
NAMES = pytest.mark.parametrize('name', OVER_THE_BATCH)


def takes_axis_name(name):
  return 'axis_name' in inspect.signature(getattr(losses, name)).parameters


def network_and_rows():
  """Returns a batch whose second half has larger numbers and no labels."""
  rng = np.random.default_rng(0)
  half = np.array([0.3, 0.3, 0.3, 1.0, 1.0, 1.0])[:, None]
  x = jnp.asarray(half * rng.normal(size=(6, 3)) + half, 'float32')
  z = jnp.asarray(half * rng.normal(size=(6, 3)) - half, 'float32')
  weight = jnp.asarray(rng.normal(size=(3, 3)), 'float32')
  labels, mask = jnp.array([0, 1, 2, -1, -1, -1]), jnp.array([1, 0, 1, 0, 0, 0])
  return weight, x, z, labels, mask


def of_the_network(name):
  def loss(weight, x, z, labels, mask, axis_name):
    f_x, f_z = jnp.tanh(x @ weight), jnp.tanh(z @ weight)
    return OVER_THE_BATCH[name](f_x, f_z, x, z, labels, mask, axis_name)

  return loss


def test_no_loss_over_the_batch_is_forgotten():
  names = {name for name in losses.__all__ if takes_axis_name(name)}
  assert names == set(OVER_THE_BATCH)


@NAMES
@MODES
def test_two_devices_match_one(name, mode):
  assert_two_devices_match_one(mode, of_the_network(name), *network_and_rows())


@NAMES
def test_a_named_axis_of_vmap_is_a_device(name):
  loss, (weight, *rows) = of_the_network(name), network_and_rows()

  def replica(*rows):
    value, gradient = jax.value_and_grad(loss)(weight, *rows, 'batch')
    return value, jax.lax.pmean(gradient, 'batch')

  value, gradient = jax.value_and_grad(loss)(weight, *rows, None)
  values, gradients = jax.jit(jax.vmap(replica, axis_name='batch'))(
    *(x.reshape(2, 3, *x.shape[1:]) for x in rows)
  )
  # Sums run in another order: a few roundings of numbers near 1.
  np.testing.assert_allclose(values, [value] * 2, rtol=1e-6)
  np.testing.assert_allclose(gradients, [gradient] * 2, rtol=1e-6, atol=1e-7)


EACH_CASE = pytest.mark.parametrize(
  'case',
  [
    pytest.param(case, id=f'{case.row}-{i}')
    for i, case in enumerate(cases.CASES)
    if not takes_axis_name(case.name)
  ],
)


def inputs_of(case, dtype, seed=0):
  rng = np.random.default_rng(seed)
  inputs = [rng.normal(0, 2, shape) for shape in case.shapes[0]]
  return accuracy.off_the_kinks(case, inputs, dtype)


@EACH_CASE
def test_jit_vmap_and_scan_change_nothing(case):
  drawn = [inputs_of(case, 'float32', seed) for seed in range(2)]
  stacked = [np.stack(pair) for pair in zip(*drawn, strict=True)]

  @jax.jit
  def mapped(*stacked):
    _, scanned = jax.lax.scan(
      lambda _, row: (None, case.call(*row)), None, stacked
    )
    return jax.vmap(case.call)(*stacked), scanned

  expected = [case.call(*inputs) for inputs in drawn]
  for values in mapped(*stacked):
    # Another program rounds differently; the numbers are below 10.
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.systems
@EACH_CASE
def test_second_derivatives_are_finite_differences(case):
  free = [i for i in range(len(case.shapes[0])) if i not in case.constants]

  with jax.enable_x64(True):
    inputs = inputs_of(case, 'float64')

    @jax.jit
    def call(*varied):
      at = [*inputs]
      for i, x in zip(free, varied, strict=True):
        at[i] = x
      return case.call(*at)

    check_grads(
      call,
      [inputs[i] for i in free],
      order=2,
      eps=1e-5,
      atol=1e-8,
      rtol=1e-8,
    )
