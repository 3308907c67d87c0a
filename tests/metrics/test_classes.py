import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.testing import assert_allclose

from gan_jax.metrics.classes import classifier_score, mode_coverage


def test_score_matches_scipy():
  logits = np.random.default_rng(0).normal(0, 3, size=(40, 5))
  p = scipy.special.softmax(logits, axis=1)
  divergences = [scipy.stats.entropy(row, p.mean(0)) for row in p]
  assert_allclose(
    classifier_score(logits), np.exp(np.mean(divergences)), rtol=1e-12
  )


@pytest.mark.parametrize('scale', [1e2, 1e4, 1e300])
def test_score_of_sure_and_balanced_classes_is_their_number(scale):
  assert_allclose(classifier_score(scale * np.eye(4)), 4.0, rtol=1e-12)


def test_score_ignores_a_constant_and_classes_that_none_has():
  logits = np.random.default_rng(1).normal(size=(20, 3))
  expected = classifier_score(logits)
  shifts = np.linspace(-1e3, 1e3, 20)[:, None]
  # At 1e3 the logits keep 13 digits.
  assert_allclose(classifier_score(logits + shifts), expected, rtol=1e-12)
  never = np.full((20, 2), -1e5)
  assert_allclose(
    classifier_score(np.hstack([logits, never])), expected, rtol=1e-12
  )


def test_score_does_not_depend_on_the_order():
  logits = np.random.default_rng(2).normal(0, 3, size=(300, 5))
  again = classifier_score(logits)
  assert again == classifier_score(logits)
  assert_allclose(classifier_score(logits[::-1]), again, rtol=1e-13)


def test_score_of_samples_that_look_alike_is_1():
  assert_allclose(classifier_score(np.tile([3.0, -1.0], (7, 1))), 1.0)
  assert_allclose(classifier_score(np.tile([1e4, -1e4], (7, 1))), 1.0)


def test_modes_by_hand():
  found = mode_coverage(np.array([0, 0, 0, 2]), np.array([0, 1, 2, 2]), 4)
  assert found.num_modes == 2
  assert_allclose(
    found.kl, 0.75 * math.log(0.75 / 0.25) + 0.25 * math.log(0.25 / 0.5)
  )


def test_modes_match_scipy():
  rng = np.random.default_rng(0)
  fake, real = rng.integers(5, size=60), rng.integers(5, size=80)
  shares = (np.bincount(x, minlength=5) / len(x) for x in (fake, real))
  found = mode_coverage(fake, real, 5)
  assert_allclose(found.kl, scipy.stats.entropy(*shares), rtol=1e-12)
  assert found.num_modes == 5


def test_a_set_of_classes_has_no_distance_from_itself():
  labels = np.array([0, 2, 2, 1, 2])
  # Only the shares matter, not the order or the number of samples.
  assert mode_coverage(np.tile(labels[::-1], 3), labels, 5) == (3, 0.0)


def test_a_class_that_data_do_not_have_is_infinitely_far():
  assert mode_coverage(np.array([0, 1]), np.array([0, 0]), 2).kl == math.inf


def test_modes_of_several_labels_are_their_combinations():
  """The data's shares are products: independent channels, by hand."""
  fake = np.array([[0, 1], [0, 1], [1, 1], [1, 0]])
  real = np.array([[0, 0], [0, 1], [1, 1], [0, 1]])
  found = mode_coverage(fake, real, 2)
  assert found.num_modes == 3
  expected = (
    0.5 * math.log(0.5 / (0.75 * 0.75))
    + 0.25 * math.log(0.25 / (0.25 * 0.75))
    + 0.25 * math.log(0.25 / (0.25 * 0.25))
  )
  assert_allclose(found.kl, expected)
  with pytest.raises(ValueError, match='have 2 labels each, real_labels 1'):
    mode_coverage(fake, real[:, 0], 2)


def test_the_floor_of_a_perfect_sampler_of_stacked_digits():
  rng = np.random.default_rng(0)
  fake, real = (rng.integers(10, size=(n, 3)) for n in (26_000, 10_000))
  found = mode_coverage(fake, np.concatenate([real] * 3), 10)
  assert found.num_modes == 1000
  assert_allclose(found.kl, 999 / 52_000, rtol=0.15)


@pytest.mark.parametrize(
  'logits', [np.zeros(3), np.zeros((0, 3)), np.array([[0.0, np.inf]])]
)
def test_bad_logits_fail(logits):
  with pytest.raises(ValueError, match='class_logits must be'):
    classifier_score(logits)


@pytest.mark.parametrize('labels', [[], [3], [-1], [0.0], [[[0]]]])
def test_bad_labels_fail(labels):
  good = np.array([0, 1])
  with pytest.raises(ValueError, match=r'fake_labels must be .* 0..2'):
    mode_coverage(np.array(labels), good, 3)
  with pytest.raises(ValueError, match=r'real_labels must be .* 0..2'):
    mode_coverage(good, np.array(labels), 3)
