import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.data.synthetic.points import MIXTURES
from gan_jax.metrics.mixture import mixture_coverage

CENTRES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])


def test_by_hand():
  """Three samples near the first mode, one near the second, one near none."""
  samples = [[0.0, 0.0], [0.29, 0.0], [0.0, -0.2], [4.0, 0.1], [2.0, 2.0]]
  found = mixture_coverage(samples, CENTRES, 0.1)
  assert found.num_modes == 2
  assert_allclose(found.near, 4 / 5)
  expected = 0.75 * math.log(4 * 0.75) + 0.25 * math.log(4 * 0.25)
  assert_allclose(found.kl, expected)


def test_three_standard_deviations_by_the_distance_in_the_plane():
  for x, y, near in ((0.299, 0, 1), (0.301, 0, 0), (0.21, 0.21, 1),
                     (0.22, 0.21, 0)):  # fmt: skip
    assert mixture_coverage([[x, y]], CENTRES, 0.1).near == near


def test_the_mixtures_own_samples():
  """In two dimensions, 1 - exp(-4.5) of them lie within three deviations."""
  rng = np.random.default_rng(0)
  centres, stddev = MIXTURES['grid']
  label = rng.integers(0, 25, 20_000)
  samples = centres[label] + stddev * rng.normal(size=(20_000, 2))
  found = mixture_coverage(samples, centres, stddev)
  assert found.num_modes == 25
  assert_allclose(found.near, 1 - math.exp(-4.5), atol=0.003)
  assert_allclose(found.kl, 24 / 40_000, rtol=0.7)


def test_no_sample_near():
  found = mixture_coverage([[9.0, 9.0]], CENTRES, 0.1)
  assert found[:2] == (0, 0.0)
  assert math.isnan(found.kl)


@pytest.mark.parametrize(
  ('samples', 'centres', 'stddev', 'message'),
  [
    (np.zeros((0, 2)), CENTRES, 0.1, r'samples must be \[N, D\]'),
    (np.zeros((3, 3)), CENTRES, 0.1, r'got \(3, 3\) and \(4, 2\)'),
    (np.zeros(3), CENTRES, 0.1, 'must be'),
    ([[np.nan, 0]], CENTRES, 0.1, 'must be finite'),
    ([[0, 0]], CENTRES, 0.0, 'stddev must be positive'),
  ],
)
def test_bad_arguments(samples, centres, stddev, message):
  with pytest.raises(ValueError, match=message):
    mixture_coverage(samples, centres, stddev)
