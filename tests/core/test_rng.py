import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from gan_jax.core.rng import (
  bernoulli_rows,
  key_for,
  normal_rows,
  row_keys,
  uniform_rows,
)

KEY = jax.random.key(3)


def test_a_row_has_its_key_whatever_the_batch():
  few, many = row_keys(KEY, 3), row_keys(KEY, 8)
  assert_array_equal(jax.random.key_data(few), jax.random.key_data(many[:3]))
  assert len(np.unique(jax.random.key_data(many), axis=0)) == 8


def test_two_devices_draw_what_one_would():
  one = normal_rows(KEY, 8, (5,))
  two = jax.pmap(
    lambda _: normal_rows(KEY, 4, (5,), 'batch'), axis_name='batch'
  )(np.arange(2))
  assert_array_equal(np.reshape(two, (8, 5)), one)


def test_purposes_are_independent():
  names = ('z', 'dropout_real', 'dropout_fake', 'init')
  data = [jax.random.key_data(key_for(KEY, name)) for name in names]
  assert len(np.unique(data, axis=0)) == len(names)


def test_the_noise_is_standard_normal():
  noise = np.ravel(normal_rows(KEY, 100, (100,)))
  assert stats.kstest(noise, 'norm').pvalue > 1e-3
  rows = np.reshape(noise, (100, 100))
  assert abs(np.corrcoef(rows)[np.triu_indices(100, 1)]).max() < 0.5


@pytest.mark.parametrize(('low', 'high'), [(-1.0, 1.0), (0.0, 1.0)])
def test_uniform_noise_fills_its_range(low, high):
  noise = np.ravel(uniform_rows(KEY, 100, (100,), low, high))
  width = high - low
  assert low <= noise.min() < low + 1e-3 * width
  assert high - 1e-3 * width < noise.max() < high
  assert stats.kstest(noise, 'uniform', (low, width)).pvalue > 1e-3
  # Four standard deviations; that of (x - mean)^2 is width^2 / sqrt(180).
  assert abs(noise.mean() - (low + high) / 2) < 4 * width / 12**0.5 / 100
  assert abs(noise.var() - width**2 / 12) < 4 * width**2 / 180**0.5 / 100
  rows = np.reshape(noise, (100, 100))
  assert abs(np.corrcoef(rows)[np.triu_indices(100, 1)]).max() < 0.5


def test_uniform_scalars_by_row():
  many = uniform_rows(KEY, 8, (), 0.0, 1.0)
  assert many.shape == (8,)
  assert len(np.unique(many)) == 8
  assert_array_equal(uniform_rows(KEY, 3, (), 0.0, 1.0), many[:3])


def test_two_devices_draw_the_uniform_noise_of_one():
  one = uniform_rows(KEY, 8, (5,), -1.0, 1.0)
  two = jax.pmap(
    lambda _: uniform_rows(KEY, 4, (5,), -1.0, 1.0, 'batch'), axis_name='batch'
  )(np.arange(2))
  assert_array_equal(np.reshape(two, (8, 5)), one)


@pytest.mark.parametrize('probability', [0.0, 0.2, 0.25, 0.5, 1.0])
def test_coins_have_the_probability_that_is_returned(probability):
  flips, exact = bernoulli_rows(row_keys(KEY, 100), (7, 143), probability)
  assert flips.shape == (100, 7, 143)
  assert abs(exact - probability) <= 2**-17
  deviation = (exact * (1 - exact) / flips.size) ** 0.5
  assert abs(np.mean(flips) - exact) <= 4 * deviation


@pytest.mark.parametrize('probability', [0.5, 0.25, 0.3])
def test_coins_are_independent(probability):
  flips = np.asarray(
    bernoulli_rows(row_keys(KEY, 200), (1001,), probability)[0], float
  )
  rows = np.corrcoef(flips)[np.triu_indices(200, 1)]
  assert abs(rows).max() < 0.2
  # Flips from one word, and from neighbouring words.
  for lag in (1, 2, 16, 31, 32, 33):
    left, right = flips[:, :-lag].ravel(), flips[:, lag:].ravel()
    assert abs(np.corrcoef(left, right)[0, 1]) < 4 / left.size**0.5


def test_two_devices_flip_what_one_would():
  one, _ = bernoulli_rows(row_keys(KEY, 8), (5,), 0.3)
  two = jax.pmap(
    lambda _: bernoulli_rows(row_keys(KEY, 4, 'batch'), (5,), 0.3)[0],
    axis_name='batch',
  )(np.arange(2))
  assert_array_equal(np.reshape(two, (8, 5)), one)
