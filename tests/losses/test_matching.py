import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.losses import feature_matching_loss

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
