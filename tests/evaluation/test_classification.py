import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from gan_jax.data.dataset import Examples
from gan_jax.evaluation.classification import (
  make_error_rate,
  predicted_probabilities,
  wilson_interval,
)


def predict(weights, image):
  """Predicts the class that is the value of an image's first pixel, 0..255."""
  value = jnp.round((image[:, 0, 0, 0] + 1) * 127.5)
  return -jnp.abs(value[:, None] - jnp.arange(10) - weights)


@pytest.mark.parametrize('batch_size', [1, 3, 7, 100])
def test_mistakes_are_counted_exactly(batch_size):
  label = np.array([0, 1, 2, 3, 4, 5, 6], np.int32)
  image = np.zeros((7, 2, 2, 1), np.uint8)
  image[:, 0, 0, 0] = [0, 1, 9, 3, 4, 9, 6]
  error_rate = make_error_rate(predict, batch_size)
  assert error_rate(0, Examples(image, label)) == 2 / 7
  assert error_rate(-1, Examples(image, label)) == 1.0
  assert error_rate(0, Examples(image[:1], label[:1])) == 0.0


@pytest.mark.parametrize(
  ('mistakes', 'total'), [(0, 10), (10, 10), (1, 10), (20, 540), (107, 10_000)]
)
@pytest.mark.parametrize('confidence', [0.5, 0.95, 0.99])
def test_wilson_interval_matches_scipy(mistakes, total, confidence):
  expected = scipy.stats.binomtest(mistakes, total).proportion_ci(
    confidence, method='wilson'
  )
  found = wilson_interval(mistakes, total, confidence=confidence)
  np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
  ('mistakes', 'total', 'lower', 'upper'),
  [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
  ],
)
def test_wilson_interval_is_the_textbooks(mistakes, total, lower, upper):
  """Newcombe 1998, table I, the score method without correction."""
  found = wilson_interval(mistakes, total)
  np.testing.assert_allclose(found, (lower, upper), atol=5.1e-5)


@pytest.mark.parametrize(
  'bad', [(-1, 10, 0.95), (11, 10, 0.95), (0, 0, 0.95), (1, 10, 1.0)]
)
def test_bad_counts_have_no_interval(bad):
  with pytest.raises(ValueError, match=r'not possible|confidence'):
    wilson_interval(*bad[:2], confidence=bad[2])


@pytest.mark.parametrize('batch_size', [1, 3, 100])
def test_probabilities_are_the_softmax_of_each_image(batch_size):
  image = np.zeros((7, 2, 2, 1), np.uint8)
  image[:, 0, 0, 0] = [0, 1, 9, 3, 4, 9, 6]
  found = predicted_probabilities(predict, 0.5, image, batch_size)
  logits = -np.abs(image[:, 0, 0].astype(float) - np.arange(10) - 0.5)
  np.testing.assert_allclose(
    found, scipy.special.softmax(logits, axis=1), rtol=1e-4
  )
