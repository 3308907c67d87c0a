import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.losses import feature_matching_loss, historical_averaging_loss
from tests.losses import replicas

SQUARED = pytest.mark.parametrize('squared', [False, True])


def features(num, *shape, seed=0, dtype='float32'):
  x = np.random.default_rng(seed).normal(size=(num, *shape))
  return jnp.asarray(x, dtype)


@pytest.mark.parametrize(
  ('squared', 'by_hand'),
  [(False, (2.5 + 1.0 + 0.5) / 3), (True, (6.25 + 1.0 + 0.25) / 3)],
)
def test_by_hand(squared, by_hand):
  real = jnp.array([[1.0, 0.0, 2.0], [3.0, 0.0, 5.0]])  # means 2, 0, 3.5
  fake = jnp.array([[-0.5, 1.0, 4.0]])
  loss = feature_matching_loss(real, fake, squared=squared)
  assert loss.shape == ()
  np.testing.assert_allclose(loss, by_hand, rtol=2e-7)


@SQUARED
def test_matches_numpy_in_float64(squared):
  with jax.enable_x64(True):
    real = features(5, 3, 2, dtype='float64')
    fake = features(4, 3, 2, seed=1, dtype='float64')
    loss = feature_matching_loss(real, fake, squared=squared)
  gap = np.average(real, axis=0) - np.average(fake, axis=0)
  expected = np.sum(np.abs(gap) ** (2 if squared else 1)) / 6
  np.testing.assert_allclose(loss, expected, rtol=1e-14)


@SQUARED
def test_gradient_is_finite_difference(squared):
  with jax.enable_x64(True):
    check_grads(
      lambda real, fake: feature_matching_loss(real, fake, squared=squared),
      (
        features(4, 3, dtype='float64'),
        features(5, 3, seed=1, dtype='float64'),
      ),
      order=1,
      eps=1e-5,
      atol=1e-9,
      rtol=1e-9,
    )


@SQUARED
def test_equal_means_cost_nothing_whatever_the_rows(squared):
  real = jnp.array([[1.0, 2.0], [3.0, 6.0]])
  fake = jnp.array([[2.0, 4.0], [0.0, 8.0], [4.0, 0.0]])
  assert feature_matching_loss(real, fake, squared=squared) == 0.0


@SQUARED
def test_extreme_features_are_finite(squared):
  value, gradient = jax.value_and_grad(feature_matching_loss)(
    jnp.full((2, 3), 1e4), jnp.full((2, 3), -1e4), squared=squared
  )
  np.testing.assert_allclose(value, 4e8 if squared else 2e4, rtol=1e-6)
  assert np.isfinite(gradient).all()


@SQUARED
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_dtype_is_kept(squared, dtype):
  with jax.enable_x64(True):
    value, gradient = jax.value_and_grad(feature_matching_loss)(
      features(4, 3, dtype=dtype),
      features(4, 3, seed=1, dtype=dtype),
      squared=squared,
    )
    assert value.dtype == gradient.dtype == dtype


@SQUARED
def test_bfloat16_is_computed_in_float32(squared):
  narrow = (
    features(8, 3, dtype='bfloat16'),
    features(8, 3, seed=1).astype('bfloat16'),
  )
  wide = feature_matching_loss(
    *(x.astype('float32') for x in narrow), squared=squared
  )
  narrow = feature_matching_loss(*narrow, squared=squared)
  assert narrow == wide.astype('bfloat16')


@SQUARED
def test_jit_and_vmap_change_nothing(squared):
  real, fake = features(2, 4, 3), features(2, 4, 3, seed=1)

  def loss(real, fake):
    return feature_matching_loss(real, fake, squared=squared)

  expected = [loss(*pair) for pair in zip(real, fake, strict=True)]
  np.testing.assert_allclose(jax.vmap(loss)(real, fake), expected, rtol=1e-6)
  np.testing.assert_allclose(
    jax.jit(loss)(real[0], fake[0]), expected[0], rtol=1e-6
  )


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])
@pytest.mark.parametrize(
  ('real', 'fake', 'error', 'message'),
  [
    (np.zeros((2, 3), 'f'), np.zeros((2, 1), 'f'), ValueError, 'agree in all'),
    (np.zeros(2, 'f'), np.zeros(2, 'f'), ValueError, r'must be \[B, ...\]'),
    (np.zeros((2, 3), 'f'), np.zeros(3, 'f'), ValueError, 'agree in all'),
    (np.zeros((0, 3), 'f'), np.zeros((2, 3), 'f'), ValueError, 'real_features'),
    (np.zeros((2, 3), 'f'), np.zeros((0, 3), 'f'), ValueError, 'fake_features'),
    (np.zeros((2, 3), 'i'), np.zeros((2, 3), 'f'), TypeError, 'real_features'),
    (np.zeros((2, 3), 'f'), np.zeros((2, 3), 'i'), TypeError, 'fake_features'),
  ],
)
def test_bad_features_fail_while_tracing(wrap, real, fake, error, message):
  with pytest.raises(error, match=message):
    wrap(feature_matching_loss)(real, fake)


@SQUARED
def test_two_devices_match_one(squared):
  x, z = features(6, 3), features(6, 3, seed=1) + 0.3
  weight = features(3, 4, seed=2)

  def loss(weight, x, z, axis_name=None):
    return feature_matching_loss(
      jnp.tanh(x @ weight),
      jnp.tanh(z @ weight),
      squared=squared,
      axis_name=axis_name,
    )

  def replica(weight, x, z):
    value, gradient = jax.value_and_grad(loss)(weight, x, z, 'batch')
    return value, jax.lax.pmean(gradient, 'batch')

  expected = jax.value_and_grad(loss)(weight, x, z)
  values, gradients = jax.pmap(
    replica, axis_name='batch', in_axes=(None, 0, 0), devices=jax.devices()[:2]
  )(weight, x.reshape(2, 3, 3), z.reshape(2, 3, 3))
  for device in range(2):
    np.testing.assert_allclose(values[device], expected[0], rtol=1e-6)
    np.testing.assert_allclose(
      gradients[device], expected[1], rtol=1e-6, atol=1e-7
    )


@SQUARED
def test_layers_are_added(squared):
  real = {'a': features(4, 3), 'b': [features(5, 2, 2), features(4, 7)]}
  fake = {
    'a': features(3, 3, seed=1),
    'b': [features(4, 2, 2, seed=1), features(4, 7, seed=1)],
  }

  def loss(real, fake):
    return feature_matching_loss(real, fake, squared=squared)

  parts = [
    loss(*pair)
    for pair in zip(jax.tree.leaves(real), jax.tree.leaves(fake), strict=True)
  ]
  total = loss(real, fake)
  assert total.shape == ()
  np.testing.assert_allclose(total, sum(parts), rtol=3e-7)
  np.testing.assert_array_equal(loss([real['a']], [fake['a']]), parts[0])
  pairs = (real['a'], real['a']), (fake['a'], fake['a'])
  np.testing.assert_array_equal(loss(*pairs), 2 * parts[0])
  gradient = jax.grad(loss)(real, fake)
  np.testing.assert_array_equal(
    gradient['a'], jax.grad(loss)(real['a'], fake['a'])
  )


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_dtype_of_layers_is_kept(dtype):
  with jax.enable_x64(True):
    value, gradient = jax.value_and_grad(feature_matching_loss)(
      [features(4, 3, dtype=dtype), features(4, 2, dtype=dtype)],
      [features(4, 3, seed=1, dtype=dtype), features(4, 2, dtype=dtype) + 1],
    )
    assert {x.dtype.name for x in (value, *gradient)} == {dtype}


def test_layers_in_bfloat16_are_added_in_float32():
  # In bfloat16, whose numbers near 256 are 2 apart, 256 + 1 + 1 would be 256.
  real = [jnp.array([[x]], 'bfloat16') for x in (256.0, 1.0, 1.0)]
  fake = [jnp.zeros((1, 1), 'bfloat16')] * 3
  assert feature_matching_loss(real, fake) == 258.0


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])
@pytest.mark.parametrize(
  ('real', 'fake', 'error', 'message'),
  [
    ([], [], ValueError, 'real_features must hold at least one array'),
    ({}, {}, ValueError, 'real_features must hold at least one array'),
    (['x'], ('x',), ValueError, 'must have the same structure'),
    (['x', 'x'], ['x'], ValueError, 'must have the same structure'),
    ({'a': 'x'}, {'b': 'x'}, ValueError, 'must have the same structure'),
    (['x'], 'x', ValueError, 'must have the same structure'),
    (['x', 'y'], ['x', 'x'], ValueError, r'fake_features\[1\] must be \[B'),
    ({'a': 'i'}, {'a': 'x'}, TypeError, r"real_features\['a'\] must be fl"),
    (['e'], ['x'], ValueError, r'real_features\[0\] must not be empty'),
    (['x'], ['e'], ValueError, r'fake_features\[0\] must not be empty'),
  ],
)
def test_bad_layers_fail_while_tracing(wrap, real, fake, error, message):
  arrays = {
    'x': np.zeros((2, 3), 'f'),
    'y': np.zeros((2, 1), 'f'),
    'i': np.zeros((2, 3), 'i'),
    'e': np.zeros((0, 3), 'f'),
  }
  real, fake = jax.tree.map(arrays.__getitem__, (real, fake))
  with pytest.raises(error, match=message):
    wrap(feature_matching_loss)(real, fake)


@SQUARED
@replicas.MODES
def test_layers_on_two_devices_match_one(mode, squared):
  def layers(weight, x):
    return [x @ weight, {'second': jnp.tanh(x @ weight)}]

  replicas.assert_two_devices_match_one(
    mode,
    lambda weight, x, z, axis_name: feature_matching_loss(
      layers(weight, x), layers(weight, z), squared=squared, axis_name=axis_name
    ),
    features(3, 4, seed=2),
    features(6, 3),
    features(6, 3, seed=1) + 0.3,
  )


def parameters(seed=0, dtype='float32'):
  return {
    'dense': {
      'kernel': features(3, 2, seed=seed, dtype=dtype),
      'bias': features(2, seed=seed + 10, dtype=dtype),
    },
    'scale': jnp.asarray(0.5 + seed, dtype),
  }


def test_historical_averaging_by_hand():
  params = {'kernel': jnp.array([[1.0, 2.0]]), 'bias': jnp.array(-3.0)}
  past = [
    {'kernel': jnp.array([[0.0, 1.0]]), 'bias': jnp.array(0.0)},
    {'kernel': jnp.array([[4.0, 1.0]]), 'bias': jnp.array(2.0)},
  ]
  average = jax.tree.map(lambda *x: sum(x) / 2, *past)
  loss = historical_averaging_loss(params, average)
  assert loss.shape == ()
  assert loss == 1 + 1 + 16
  assert historical_averaging_loss(params, params) == 0.0


def test_historical_averaging_pulls_the_parameters_only():
  params, average = parameters(), parameters(1)
  of_params, of_average = jax.grad(historical_averaging_loss, (0, 1))(
    params, average
  )
  jax.tree.map(
    lambda g, x, y: np.testing.assert_allclose(g, 2 * (x - y), rtol=2e-7),
    of_params,
    params,
    average,
  )
  assert not any(x.any() for x in jax.tree.leaves(of_average))


def test_historical_averaging_gradient_is_finite_difference():
  with jax.enable_x64(True):
    average = parameters(1, dtype='float64')
    check_grads(
      lambda params: historical_averaging_loss(params, average),
      (parameters(dtype='float64'),),
      order=1,
      eps=1e-5,
      atol=1e-8,
      rtol=1e-8,
    )


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_historical_averaging_keeps_the_dtype(dtype):
  with jax.enable_x64(True):
    value, gradient = jax.value_and_grad(historical_averaging_loss)(
      parameters(dtype=dtype), parameters(1, dtype=dtype)
    )
    dtypes = {x.dtype.name for x in (value, *jax.tree.leaves(gradient))}
    assert dtypes == {dtype}


def test_historical_averaging_of_bfloat16_is_computed_in_float32():
  params, average = parameters(dtype='bfloat16'), parameters(1, 'bfloat16')
  wide = jax.tree.map(lambda x: x.astype('float32'), (params, average))
  loss = historical_averaging_loss(params, average)
  assert loss == historical_averaging_loss(*wide).astype('bfloat16')
  precise = historical_averaging_loss(params, wide[1])
  assert precise.dtype == 'float32'
  assert precise == historical_averaging_loss(*wide)


def test_jit_and_vmap_do_not_change_historical_averaging():
  params, average = parameters(), parameters(1)
  expected = historical_averaging_loss(params, average)
  stacked = jax.tree.map(lambda *x: jnp.stack(x), params, average)
  losses = jax.jit(jax.vmap(historical_averaging_loss, (0, None)))(
    stacked, average
  )
  np.testing.assert_allclose(losses, [expected, 0.0], rtol=1e-6)


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])
@pytest.mark.parametrize(
  ('params', 'average', 'error', 'message'),
  [
    ({}, {}, ValueError, 'params must hold at least one array'),
    ({'a': 'x'}, {}, ValueError, 'params and average must have the same struc'),
    ({'a': 'x'}, {'a': 'y'}, ValueError, r"params\['a'\] and average\['a'\]"),
    ({'a': 'i'}, {'a': 'x'}, TypeError, r"params\['a'\] must be floating"),
    ({'a': 'x'}, {'a': 'i'}, TypeError, r"average\['a'\] must be floating"),
  ],
)
def test_bad_parameters_fail_while_tracing(
  wrap, params, average, error, message
):
  arrays = {
    'x': np.zeros((2, 3), 'f'),
    'y': np.zeros((2, 1), 'f'),
    'i': np.zeros((2, 3), 'i'),
  }
  params, average = jax.tree.map(arrays.__getitem__, (params, average))
  with pytest.raises(error, match=message):
    wrap(historical_averaging_loss)(params, average)
