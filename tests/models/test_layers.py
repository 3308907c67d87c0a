import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.errors import InputError
from gan_jax.models.layers import BatchNorm, Conv, ConvTranspose, Dropout

DEVICES = jax.devices()[:2]


def images(num, *shape, seed=0):
  x = np.random.default_rng(seed).normal(size=(num, *shape))
  return jnp.asarray(x, 'float32')


def assert_same_layer(layer, flax_layer, x):
  """The same parameters, and the same function of them."""
  key = jax.random.key(0)
  variables, flax_variables = (m.init(key, x) for m in (layer, flax_layer))
  for ours, theirs in zip(
    *(sorted(v['params'].items()) for v in (variables, flax_variables)),
    strict=True,
  ):
    assert ours[0] == theirs[0]
    np.testing.assert_array_equal(ours[1], theirs[1])
  variables['params']['bias'] = jnp.arange(6, dtype='float32') - 2
  expected = flax_layer.apply(variables, x)
  actual = layer.apply(variables, x)
  assert actual.shape == expected.shape
  np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [3, 4])
def test_conv_is_flax_conv(size, stride, padding):
  assert_same_layer(
    Conv(6, size, stride, padding),
    nn.Conv(6, (size, size), (stride, stride), padding),
    images(2, 7, 6, 3),
  )


@pytest.mark.parametrize(('size', 'stride'), [(5, 2), (4, 2), (3, 1)])
def test_conv_transpose_is_flax_conv_transpose(size, stride):
  assert_same_layer(
    ConvTranspose(6, size, stride),
    nn.ConvTranspose(6, (size, size), (stride, stride)),
    images(2, 3, 4, 3),
  )


@pytest.mark.parametrize(
  ('size', 'shape', 'fits'),
  [
    (3, (3, 3), True),
    (3, (2, 3), False),
    (3, (3, 2), False),
    (4, (4, 4), True),
    (4, (3, 3), False),
  ],
)
def test_valid_conv_on_a_map_that_is_too_small(size, shape, fits):
  layer = Conv(6, size, padding='VALID', name='last')
  x = images(2, *shape, 3)
  if fits:
    y, _ = layer.init_with_output(jax.random.key(0), x)
    assert y.shape == (2, 1, 1, 6)
  else:
    text = f'last: .* {size}x{size} kernel .* {shape[0]}x{shape[1]} map'
    with pytest.raises(InputError, match=text):
      layer.init(jax.random.key(0), x)


def test_same_conv_fits_any_map():
  y, _ = Conv(6, 3).init_with_output(jax.random.key(0), images(2, 1, 1, 3))
  assert y.shape == (2, 1, 1, 6)


def drop(x, rate=0.5, axis_name=None, seed=0):
  rngs = {'dropout': jax.random.key(seed)}
  return Dropout(rate, axis_name).apply({}, x, train=True, rngs=rngs)


@pytest.mark.parametrize('rate', [0.2, 0.5, 0.7])
def test_dropout_respects_the_rate(rate):
  y = np.asarray(drop(jnp.ones((50, 40, 20)), rate))
  dropped = (y == 0).sum()
  sd = np.sqrt(y.size * rate * (1 - rate))
  assert abs(dropped - y.size * rate) < 4 * sd


@pytest.mark.parametrize('rate', [0.2, 0.5, 0.7])
def test_dropout_preserves_the_mean(rate):
  x = jnp.ones((50, 40, 20))
  y = np.asarray(drop(x, rate))
  np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=2e-7)
  sd_of_mean = np.sqrt(rate / (1 - rate) / y.size)
  assert abs(y.mean() - 1) < 4 * sd_of_mean


def test_dropout_keeps_or_scales_each_element():
  x = images(3, 4, 5)
  y = drop(x, 0.5)
  np.testing.assert_array_equal(y, np.where(y == 0, 0, 2 * x))


@pytest.mark.parametrize(('rate', 'train'), [(0.5, False), (0.0, True)])
def test_dropout_is_the_identity_without_a_key(rate, train):
  x = images(3, 4)
  np.testing.assert_array_equal(Dropout(rate).apply({}, x, train=train), x)


def test_dropout_of_a_row_does_not_depend_on_the_batch_size():
  x = jnp.ones((6, 100))
  np.testing.assert_array_equal(drop(x)[:4], drop(x[:4]))


def test_dropout_differs_between_rows_and_keys():
  y = np.asarray(drop(jnp.ones((6, 100))))
  assert len(np.unique(y, axis=0)) == 6
  assert (y != drop(jnp.ones((6, 100)), seed=1)).any(axis=1).all()


def test_dropout_on_two_devices_is_that_of_one():
  x = jnp.ones((6, 100))
  y = jax.pmap(
    lambda x: drop(x, axis_name='batch'), axis_name='batch', devices=DEVICES
  )(x.reshape(2, 3, 100))
  np.testing.assert_array_equal(y.reshape(6, 100), drop(x))


def test_batch_norm_is_synchronised():
  x = images(6, 3, 3, 2)
  x = x.at[3:].set(3 * x[3:] + 1)  # the two halves have other moments
  variables = BatchNorm().init(jax.random.key(0), x, train=False)

  def replica(x):
    layer = BatchNorm(axis_name='batch')
    return layer.apply(variables, x, train=True, mutable=['batch_stats'])

  expected, updated = BatchNorm().apply(
    variables, x, train=True, mutable=['batch_stats']
  )
  y, stats = jax.pmap(replica, axis_name='batch', devices=DEVICES)(
    x.reshape(2, 3, 3, 3, 2)
  )
  np.testing.assert_allclose(y.reshape(x.shape), expected, atol=3e-6)
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, [e, e], rtol=1e-6),
    stats,
    updated,
  )


def test_batch_norm_by_hand():
  x = images(6, 3, 3, 2) * 2 + 1
  layer = BatchNorm()
  variables = layer.init(jax.random.key(0), x, train=False)
  y, updated = layer.apply(variables, x, train=True, mutable=['batch_stats'])
  flat = np.asarray(x, np.float64).reshape(-1, 2)
  mean, var = flat.mean(0), flat.var(0)
  by_hand = (flat - mean) / np.sqrt(var + 1e-5)
  np.testing.assert_allclose(y.reshape(-1, 2), by_hand, rtol=1e-5, atol=3e-6)
  stats = updated['batch_stats']['norm']
  np.testing.assert_allclose(stats['mean'], 0.01 * mean, rtol=1e-5)
  np.testing.assert_allclose(stats['var'], 0.99 + 0.01 * var, rtol=1e-6)


def test_batch_norm_in_eval_mode_uses_the_running_statistics():
  x = images(3, 4)
  layer = BatchNorm(axis_name='batch')  # which no eval mode has
  variables = layer.init(jax.random.key(0), x, train=False)
  variables['batch_stats']['norm'] = {
    'mean': jnp.full(4, 0.5),
    'var': jnp.full(4, 4.0),
  }
  y = layer.apply(variables, x, train=False)
  np.testing.assert_allclose(y, (x - 0.5) / 2, rtol=1e-5, atol=1e-6)
