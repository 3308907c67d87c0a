import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from gan_jax.core.errors import InputError
from gan_jax.core.rng import global_rows
from gan_jax.models.layers import (
  BatchNorm,
  Conv,
  ConvTranspose,
  Dropout,
  GaussianNoise,
  WeightNormDense,
)
from tests.models.keys import KEY, NOISE_KEY


@pytest.mark.parametrize('strides', [(1, 1), (2, 2)])
@pytest.mark.parametrize('padding', ['SAME', 'VALID', ((1, 2), (0, 1))])
@pytest.mark.parametrize(
  ('layer', 'flaxs'), [(Conv, nn.Conv), (ConvTranspose, nn.ConvTranspose)]
)
def test_layers_can_be_swapped_for_flaxs(layer, flaxs, padding, strides):
  x = jax.random.normal(KEY, (2, 7, 8, 3))
  arguments = (4, (3, 4), strides, padding)
  ours, flaxs = layer(*arguments), flaxs(*arguments)
  variables = ours.init(KEY, x)
  jax.tree.map(assert_array_equal, variables, flaxs.init(KEY, x))
  variables['params']['bias'] += 0.5
  assert_allclose(
    ours.apply(variables, x), flaxs.apply(variables, x), atol=2e-6
  )


@pytest.mark.parametrize('layer', [Conv, ConvTranspose])
def test_layers_without_bias_in_half_precision(layer):
  layer = layer(4, (3, 3), use_bias=False, dtype=jnp.bfloat16)
  out, variables = layer.init_with_output(KEY, jnp.ones((1, 4, 4, 3)))
  assert out.dtype == jnp.bfloat16
  assert list(variables['params']) == ['kernel']
  assert variables['params']['kernel'].dtype == jnp.float32


def test_dilation_and_groups_are_refused():
  with pytest.raises(ValueError, match='not supported'):
    Conv(4, (3, 3), kernel_dilation=2).init(KEY, jnp.ones((1, 8, 8, 2)))
  with pytest.raises(ValueError, match='not supported'):
    Conv(4, (3, 3), feature_group_count=2).init(KEY, jnp.ones((1, 8, 8, 2)))


def test_a_convolution_that_leaves_no_pixel_is_refused():
  conv = Conv(4, (3, 3), padding='VALID')
  assert conv.init_with_output(KEY, jnp.zeros((1, 3, 3, 1)))[0].size == 4
  with pytest.raises(InputError, match='leaves no pixel of a 2x3 map'):
    conv.init(KEY, jnp.zeros((1, 2, 3, 1)))


def dropout(x, *, rate=0.5, axis_name=None, train=True):
  rows = global_rows(len(x), axis_name)
  return Dropout(rate).apply(
    {}, x, train=train, rows=rows, rngs={'noise': NOISE_KEY}
  )


@pytest.mark.parametrize('rate', [0.2, 0.5])
def test_dropout_drops_its_share_and_keeps_the_scale(rate):
  x = jnp.ones((50, 40, 10))
  out = np.asarray(dropout(x, rate=rate))
  kept = round((1 - rate) * 2**16) / 2**16
  assert_allclose(np.unique(out), [0, 1 / kept], rtol=1e-6)
  deviation = (rate * (1 - rate) / out.size) ** 0.5
  assert abs((out == 0).mean() - rate) < 4 * deviation
  assert len({row.tobytes() for row in out}) == 50  # each row has its own mask


def test_dropout_is_off_at_test_time():
  x = jnp.ones((2, 3))
  assert_array_equal(dropout(x, train=False), x)
  assert_array_equal(dropout(x, rate=0.0), x)


def test_a_rows_mask_depends_on_its_place_only():
  x = jnp.ones((8, 5))
  assert_array_equal(dropout(x[:3]), dropout(x)[:3])
  two = jax.pmap(lambda x: dropout(x, axis_name='batch'), axis_name='batch')(
    x.reshape(2, 4, 5)
  )
  assert_array_equal(two.reshape(8, 5), dropout(x))


def gaussian_noise(x, *, stddev=0.5, axis_name=None, train=True):
  rows = global_rows(len(x), axis_name)
  return GaussianNoise(stddev).apply(
    {}, x, train=train, rows=rows, rngs={'noise': NOISE_KEY}
  )


def test_gaussian_noise_has_its_deviation():
  noise = np.ravel(gaussian_noise(jnp.full((50, 200), 3.0))) - 3.0
  assert stats.kstest(noise / 0.5, 'norm').pvalue > 1e-3
  # Four standard errors of the mean and the deviation of 10,000 draws.
  assert abs(noise.mean()) < 4 * 0.5 / 100
  assert abs(noise.std() - 0.5) < 4 * 0.5 / 100 / 2**0.5


def test_gaussian_noise_is_off_at_test_time():
  x = jnp.ones((2, 3))
  assert_array_equal(gaussian_noise(x, train=False), x)
  assert_array_equal(gaussian_noise(x, stddev=0.0), x)


def test_a_rows_noise_depends_on_its_place_only():
  x = jnp.ones((8, 5))
  one = gaussian_noise(x)
  assert_array_equal(gaussian_noise(x[:3]), one[:3])
  two = jax.pmap(
    lambda x: gaussian_noise(x, axis_name='batch'), axis_name='batch'
  )(x.reshape(2, 4, 5))
  # It is not equal to the bit: a fused x + stddev * noise is rounded once.
  assert_allclose(two.reshape(8, 5), one, atol=1e-6)


@pytest.mark.parametrize('layer', [Dropout(0.5), GaussianNoise(0.5)])
def test_pieces_have_the_noise_of_the_whole(layer):
  """Gradient accumulation passes chunks, which may have any rows."""
  x = jnp.arange(40.0).reshape(8, 5)

  def noisy(x, **rows):
    return layer.apply({}, x, train=True, rngs={'noise': NOISE_KEY}, **rows)

  whole = noisy(x)
  for rows in (jnp.arange(2, 6), jnp.array([7, 0, 3])):
    assert_allclose(noisy(x[rows], rows=rows), whole[rows], rtol=1e-6)
    assert (noisy(x[rows]) != whole[rows]).any()


@pytest.mark.parametrize('train_scale', [True, False])
def test_weight_norm_starts_from_the_data(train_scale):
  """Mean 0 and variance 1: Salimans and Kingma 2016, equations 5 and 6."""
  x = 7.0 + 3.0 * jax.random.normal(KEY, (40, 6))
  layer = WeightNormDense(9, from_data=True, train_scale=train_scale)
  y, variables = layer.init_with_output(KEY, x)
  assert_allclose(y.mean(axis=0), 0, atol=1e-5)
  assert_allclose(y.var(axis=0), 1, atol=1e-5)
  assert_allclose(layer.apply(variables, x), y, atol=1e-5)
  # The data matter at initialisation only.
  other = layer.apply(variables, x[:1] + 1.0)
  assert_allclose(other, layer.apply(variables, x + 1.0)[:1], atol=1e-5)
  assert abs(other).max() > 0.1


def test_weight_norm_without_data():
  """Directions are from N(0, 0.1^2), the scale is 1, the bias 0."""
  x = jax.random.normal(KEY, (40, 60))
  layer = WeightNormDense(90)
  y, variables = layer.init_with_output(KEY, x)
  direction, scale, bias = (
    variables['params'][name] for name in ('direction', 'scale', 'bias')
  )
  assert_array_equal(scale, np.ones(90))
  assert_array_equal(bias, np.zeros(90))
  # Four standard errors from 5,400 weights: 4 / sqrt(2 * 5400).
  assert_allclose(direction.std(), 0.1, rtol=0.039)
  assert_allclose(y, x @ (direction / np.linalg.norm(direction, axis=0)),
                  atol=1e-5)  # fmt: skip
  variables['params']['direction'] *= 5.0
  assert_allclose(layer.apply(variables, x), y, atol=1e-5)
  variables['params'] |= {'scale': 3.0 * scale, 'bias': bias + 0.5}
  assert_allclose(layer.apply(variables, x), 3.0 * y + 0.5, atol=1e-5)


def test_a_frozen_scale_is_no_parameter():
  x = jax.random.normal(KEY, (40, 6))
  trained = WeightNormDense(9, from_data=True).init(KEY, x)
  frozen = WeightNormDense(9, from_data=True, train_scale=False).init(KEY, x)
  assert set(trained['params']) == {'direction', 'scale', 'bias'}
  assert set(frozen['params']) == {'direction', 'bias'}
  assert_array_equal(frozen['frozen']['scale'], trained['params']['scale'])


def test_batch_norm_without_scale():
  x = jax.random.normal(KEY, (8, 3)) * 5.0 + 2.0
  with_scale, without = BatchNorm(), BatchNorm(use_scale=False)
  variables = without.init(KEY, x, train=False)
  assert list(variables['params']['norm']) == ['bias']
  assert set(with_scale.init(KEY, x, train=False)['params']['norm']) == {
    'scale', 'bias'
  }  # fmt: skip
  variables['params']['norm']['bias'] += 2.0
  y, _ = without.apply(variables, x, train=True, mutable=['batch_stats'])
  assert_allclose(y.mean(axis=0), 2, atol=1e-5)
  assert_allclose(y.std(axis=0), 1, atol=1e-5)


def test_batch_norm_sees_the_whole_batch_on_two_devices():
  x = (
    3 * jax.random.normal(KEY, (8, 4, 4, 2))
    + jnp.arange(8.0)[:, None, None, None]
  )

  def normalise(x, axis_name=None):
    norm = BatchNorm(axis_name)
    variables = norm.init(KEY, x, train=False)
    return norm.apply(variables, x, train=True, mutable=['batch_stats'])

  one, state = normalise(x)
  assert_allclose(one.mean((0, 1, 2)), 0, atol=1e-5)
  assert_allclose(one.std((0, 1, 2)), 1, atol=1e-4)
  mean = state['batch_stats']['norm']['mean']
  assert_allclose(mean, 0.01 * x.mean((0, 1, 2)), rtol=1e-5)
  two, state_of_two = jax.pmap(
    lambda x: normalise(x, 'batch'), axis_name='batch', out_axes=(0, None)
  )(x.reshape(2, 4, 4, 4, 2))
  assert_allclose(two.reshape(x.shape), one, atol=1e-5)
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, rtol=1e-5), state, state_of_two
  )
