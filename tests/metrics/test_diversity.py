import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.metrics.diversity import (
  pairwise_diversity,
  stddev_over_z,
  stddev_within_classes,
)


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
  images[:, 0, 1, 0] = 0.8  # no deviation, however bright
  score = stddev_over_z(asarray(images))
  assert isinstance(score, float)
  assert_allclose(score, 0.125, rtol=1e-6)


def test_uniform_noise_has_its_known_deviation():
  images = np.random.default_rng(0).uniform(-1, 1, (1000, 8, 8, 1))
  # Four standard errors of the mean of 64 estimates:
  # 4 * sqrt(1/180) / (2 * 12^-1/2) / sqrt(64000) = 0.002.
  assert_allclose(stddev_over_z(images), 12**-0.5, atol=0.002)


def test_pairwise_diversity_by_hand():
  # The distances are 5, 5 and 0 for one input, 1, 1 and 1 for the other.
  a = [[[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 0.0]]]
  b = [[[1.0, 0.0]], [[0.0, 0.0]], [[0.5, 0.75**0.5]]]
  found = pairwise_diversity(np.array([a, b]))
  np.testing.assert_allclose(found, (10 / 3 + 1) / 2)


def test_pairwise_diversity_of_noise_is_within_inputs_only():
  # The inputs are far apart, and their outputs are independent and normal: the
  # mean of |N(0, 2)| is 2 / sqrt(pi).
  noise = np.random.default_rng(0).normal(size=(200, 10, 1))
  samples = noise + 100.0 * np.arange(200)[:, None, None]
  # Four standard errors, from the spread over inputs, each with 10 outputs.
  assert_allclose(pairwise_diversity(samples), 2 / np.pi**0.5, atol=0.08)


def test_pairwise_diversity_is_the_same_for_images_and_for_rows():
  images = np.random.default_rng(1).normal(size=(3, 4, 5, 2, 1))
  rows = images.reshape(3, 4, 10)
  assert pairwise_diversity(images) == pairwise_diversity(rows)
  expected = np.mean([
    np.sqrt(sum((p - q) ** 2 for p, q in zip(x[i], x[j], strict=True)))
    for x in rows for i in range(4) for j in range(4) if i != j
  ])  # fmt: skip
  assert_allclose(pairwise_diversity(rows), expected, rtol=1e-12)


def test_one_output_for_all_noise_has_no_diversity():
  assert pairwise_diversity(np.ones((3, 4, 2))) == 0.0


@pytest.mark.parametrize('shape', [(2, 1, 3), (0, 2, 3), (2, 3)])
def test_bad_samples_have_no_diversity(shape):
  with pytest.raises(ValueError, match='samples must be'):
    pairwise_diversity(np.zeros(shape))


def test_the_deviation_within_classes_does_not_see_that_between_them():
  labels = np.arange(40) % 4
  images = np.broadcast_to(labels[:, None, None, None] / 4.0, (40, 2, 2, 1))
  assert stddev_within_classes(images, labels) == 0.0
  noise = np.random.default_rng(0).normal(size=images.shape)
  alone = [stddev_over_z(noise[labels == k]) for k in range(4)]
  got = stddev_within_classes(images + noise, labels)
  np.testing.assert_allclose(got, np.mean(alone), rtol=1e-12)
