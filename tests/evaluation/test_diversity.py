import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.evaluation.diversity import stddev_over_z


def test_one_image_for_all_z_has_none():
  image = np.random.default_rng(0).uniform(-1, 1, (1, 4, 5, 3))
  assert stddev_over_z(np.repeat(image, 6, axis=0)) < 1e-12


def test_black_and_white_in_turn_has_the_most():
  images = np.resize([-1.0, 1.0], 10)[:, None, None, None]
  assert stddev_over_z(images * np.ones((1, 4, 4, 1))) == 0.5


@pytest.mark.parametrize('asarray', [np.float32, jnp.asarray])
def test_deviations_are_per_pixel_and_then_averaged(asarray):
  images = np.zeros((4, 1, 2, 1))
  images[:, 0, 0, 0] = -0.5, -0.5, 0.5, 0.5  # 0.25 in [0, 1]
  images[:, 0, 1, 0] = 0.8  # none, however bright
  score = stddev_over_z(asarray(images))
  assert isinstance(score, float)
  assert_allclose(score, 0.125, rtol=1e-6)


def test_uniform_noise_has_its_known_deviation():
  images = np.random.default_rng(0).uniform(-1, 1, (1000, 8, 8, 1))
  # Four deviations of the mean of 64 estimates: 4 * sqrt(1/180) / (2 * 12^-1/2)
  # / sqrt(64000) = 0.002.
  assert_allclose(stddev_over_z(images), 12**-0.5, atol=0.002)
