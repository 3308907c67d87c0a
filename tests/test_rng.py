import jax
import numpy as np
from numpy.testing import assert_array_equal
from scipy import stats

from gan_jax.rng import key_for, normal_rows, row_keys

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
