import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits

from gan_jax.core.errors import InputError
from gan_jax.data import digits


def test_the_splits_are_fixed_balanced_and_complete():
  data, again = digits.load(None, 250), digits.load(None, 250)
  sizes = [len(part.label) for part in (data.train, data.validation, data.test)]
  assert sizes == [1007, 250, 540]
  assert_array_equal(np.bincount(data.validation.label), [25] * 10)
  assert_array_equal(np.bincount(data.test.label), [54] * 10)
  counts = np.bincount(data.train.label)
  assert (counts.min(), counts.max()) == (95, 104)
  for part in ('train', 'validation', 'test'):
    assert_array_equal(getattr(data, part).image, getattr(again, part).image)
  together = np.concatenate(
    [part.image for part in (data.train, data.validation, data.test)]
  )
  source = np.round(load_digits().images * 255 / 16).astype(np.uint8)
  assert sorted(x.tobytes() for x in together) == sorted(
    x.tobytes() for x in source
  )


def test_the_test_split_does_not_depend_on_the_validation_split():
  few, many = digits.load(None, 10), digits.load(None, 250)
  assert_array_equal(few.test.image, many.test.image)


@pytest.mark.parametrize('num', [25, 5000])
def test_impossible_validation_splits(num):
  with pytest.raises(InputError, match=r'config\.data\.num_validation'):
    digits.load(None, num)


def test_a_data_dir_makes_no_sense_here():
  with pytest.raises(InputError, match='data_dir'):
    digits.load('somewhere', 250)
