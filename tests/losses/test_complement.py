import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.losses import low_density_loss, pull_away_loss
from tests.losses import replicas

DTYPES = pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
WRAP = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])


def features(*shape, seed=0, dtype='float32'):
  x = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(x, dtype)


@pytest.mark.parametrize(
  ('rows', 'by_hand'),
  [
    ([[3, 4], [4, 3]], (24 / 25) ** 2),
    ([[1, 0], [-2, 0], [0, 3]], 1 / 3),
    ([[1, 0, 0], [1, 1, 0], [1, 1, 1]], (1 / 2 + 1 / 3 + 2 / 3) / 3),
  ],
)
def test_pull_away_by_hand(rows, by_hand):
  loss = pull_away_loss(jnp.array(rows, 'float32'))
  assert loss.shape == ()
  np.testing.assert_allclose(loss, by_hand, rtol=4e-7)


def test_pull_away_matches_numpy_in_float64():
  with jax.enable_x64(True):
    x = features(5, 3, 2, dtype='float64')
    loss = pull_away_loss(x)
  x = np.asarray(x).reshape(5, 6)
  squares = [
    (x[i] @ x[j]) ** 2 / ((x[i] @ x[i]) * (x[j] @ x[j]))
    for i in range(5)
    for j in range(5)
    if i != j
  ]
  np.testing.assert_allclose(loss, sum(squares) / 20, rtol=1e-14)


def test_pull_away_gradient_is_finite_difference():
  with jax.enable_x64(True):
    check_grads(
      pull_away_loss,
      (features(4, 3, dtype='float64'),),
      order=1,
      eps=1e-5,
      atol=1e-9,
      rtol=1e-9,
    )


def test_orthogonal_rows_cost_nothing_and_parallel_ones_all():
  assert pull_away_loss(jnp.diag(jnp.array([3.0, -0.7, 1.1]))) == 0.0
  parallel = jnp.array([[1.0], [-3.0], [0.5]]) * jnp.array([0.3, -2.0])
  np.testing.assert_allclose(pull_away_loss(parallel), 1.0, rtol=4e-7)


@pytest.mark.parametrize('factor', [-3.0, 1e30, 1e-30])
def test_the_length_of_a_row_does_not_matter(factor):
  x, factors = features(4, 3), jnp.array([[1.0], [factor], [1.0], [2.0]])
  value, gradient = jax.value_and_grad(pull_away_loss)(x)
  scaled, of_scaled = jax.value_and_grad(pull_away_loss)(factors * x)
  np.testing.assert_allclose(scaled, value, rtol=1e-6)
  np.testing.assert_allclose(of_scaled * factors, gradient, rtol=2e-6)
  along = (gradient * x).sum(axis=1)
  np.testing.assert_allclose(along, np.zeros(4), atol=1e-7)


def test_a_row_of_zeros_has_no_direction():
  rows = jnp.array([[1.0, 0.0], [1.0, 1.0]])
  x = jnp.insert(rows, 1, 0.0, axis=0)
  value, gradient = jax.value_and_grad(pull_away_loss)(x)
  np.testing.assert_allclose(value, 0.5 / 3, rtol=4e-7)
  assert not gradient[1].any()  # NaN would count
  of_rows = jax.grad(pull_away_loss)(rows)
  np.testing.assert_allclose(
    gradient[jnp.array([0, 2])], of_rows / 3, atol=1e-7
  )
  value, gradient = jax.value_and_grad(pull_away_loss)(jnp.zeros((3, 2)))
  assert value == 0.0
  assert not gradient.any()


def test_an_undefined_feature_shows():
  assert np.isnan(pull_away_loss(features(3, 2).at[0, 0].set(jnp.nan)))


@DTYPES
def test_pull_away_keeps_the_dtype(dtype):
  with jax.enable_x64(True):
    value, gradient = jax.value_and_grad(pull_away_loss)(
      features(4, 3, dtype=dtype)
    )
    assert value.dtype == gradient.dtype == dtype


def test_pull_away_of_bfloat16_is_computed_in_float32():
  narrow = features(16, 5, dtype='bfloat16')
  wide = pull_away_loss(narrow.astype('float32'))
  assert pull_away_loss(narrow) == wide.astype('bfloat16')


def test_jit_and_vmap_do_not_change_pull_away():
  x = features(2, 4, 3)
  expected = [pull_away_loss(batch) for batch in x]
  for transformed in (
    jax.vmap(pull_away_loss),
    jax.jit(jax.vmap(pull_away_loss)),
  ):
    np.testing.assert_allclose(transformed(x), expected, rtol=1e-6)


@WRAP
@pytest.mark.parametrize(
  ('x', 'error', 'message'),
  [
    (np.zeros((1, 3), 'f'), ValueError, r'features .* two rows.*\(1, 3\)'),
    (np.zeros(3, 'f'), ValueError, r'features must be \[B, ...\]'),
    (np.zeros((0, 3), 'f'), ValueError, 'features must not be empty'),
    (np.zeros((2, 0), 'f'), ValueError, 'features must not be empty'),
    (np.zeros((2, 3), 'i'), TypeError, 'features must be floating'),
  ],
)
def test_bad_features_fail_while_tracing(wrap, x, error, message):
  with pytest.raises(error, match=message):
    wrap(pull_away_loss)(x)


@replicas.MODES
def test_two_devices_match_one(mode):
  replicas.assert_two_devices_match_one(
    mode,
    lambda weight, z, axis_name: pull_away_loss(
      jnp.tanh(z @ weight), axis_name=axis_name
    ),
    features(3, 4, seed=2),
    features(6, 3),
  )


def test_each_of_two_devices_may_have_one_row():
  x = jnp.array([[[3.0, 4.0]], [[4.0, 3.0]]])
  loss = jax.pmap(
    lambda x: pull_away_loss(x, axis_name='batch'),
    axis_name='batch',
    devices=jax.devices()[:2],
  )(x)
  np.testing.assert_allclose(loss, [0.9216] * 2, rtol=4e-7)


def test_low_density_by_hand():
  log_density = jnp.array([[-1.0, -2.5], [-2.0, -9.0]])
  loss, pull_back = jax.vjp(lambda x: low_density_loss(x, -2.5), log_density)
  np.testing.assert_array_equal(loss, [[-1, 0], [-2, 0]])
  (gradient,) = pull_back(jnp.array([[2.0, 3.0], [5.0, 7.0]]))
  np.testing.assert_array_equal(gradient, [[2, 0], [5, 0]])


def test_a_density_of_zero_costs_nothing_and_an_undefined_one_shows():
  loss = low_density_loss(jnp.array([-jnp.inf, jnp.nan]), -1e4)
  np.testing.assert_array_equal(loss, [0, np.nan])


def test_the_threshold_may_be_traced():
  log_density = features(3, 4)
  thresholds = jnp.array([-1.0, 0.0, 0.5])
  losses = jax.jit(jax.vmap(low_density_loss))(log_density, thresholds)
  for row, threshold, loss in zip(log_density, thresholds, losses, strict=True):
    np.testing.assert_array_equal(loss, np.where(row > threshold, row, 0))


@DTYPES
def test_low_density_keeps_the_dtype(dtype):
  with jax.enable_x64(True):
    x = features(4, dtype=dtype)
    value, pull_back = jax.vjp(lambda x: low_density_loss(x, -0.5), x)
    assert value.dtype == pull_back(value)[0].dtype == dtype


def test_the_threshold_is_not_rounded_to_bfloat16():
  log_density = jnp.array([-2.5], 'bfloat16')
  assert low_density_loss(log_density, -2.501) == -2.5
  assert low_density_loss(log_density, -2.499) == 0.0


@WRAP
@pytest.mark.parametrize(
  ('log_density', 'threshold', 'error', 'message'),
  [
    (np.zeros(0, 'f'), 0.0, ValueError, 'log_density must not be empty'),
    (np.zeros(3, 'i'), 0.0, TypeError, 'log_density must be floating'),
    (np.zeros(3, 'f'), np.zeros(3, 'f'), ValueError, r'threshold .* \(3,\)'),
  ],
)
def test_bad_densities_fail_while_tracing(
  wrap, log_density, threshold, error, message
):
  with pytest.raises(error, match=message):
    wrap(low_density_loss)(log_density, threshold)
