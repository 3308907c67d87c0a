import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.metrics.neighbours import nearest_neighbours


def brute_force(samples, images):
  """Computes squared distances as exact integers."""
  a, b = (x.reshape(len(x), -1).astype(np.int64) for x in (samples, images))
  return np.stack([((x - b) ** 2).sum(axis=1) for x in a])


@pytest.mark.parametrize('num_images', [1, 255, 256, 257, 600])
@pytest.mark.parametrize('shape', [(8, 8, 1), (9, 11, 3), (32, 32, 3)])
def test_agrees_with_brute_force_to_the_last_bit(num_images, shape):
  rng = np.random.default_rng(num_images)
  images = rng.integers(0, 256, (num_images, *shape), np.uint8)
  samples = rng.integers(0, 256, (7, *shape), np.uint8)
  squared = brute_force(samples, images)
  index, distance = nearest_neighbours(samples, images)
  assert_array_equal(index, squared.argmin(axis=1))
  assert_array_equal(distance, np.sqrt(squared.min(axis=1)))
  assert distance.dtype == np.float64


def test_distances_that_differ_by_one_unit_are_told_apart():
  """Products are near 2e8, where float32 cannot represent single units."""
  images = np.full((400, 32, 32, 3), 255, np.uint8)
  images[:, 0, 0, 0] = 253
  images[300, 0, 0, 0] = 254
  samples = np.full((1, 32, 32, 3), 255, np.uint8)
  index, distance = nearest_neighbours(samples, images)
  assert (index, distance) == ([300], [1.0])
  far = np.zeros((2, 32, 32, 3), np.uint8)
  far[1, 5, 5, 0] = 1
  index, distance = nearest_neighbours(samples, far)
  assert index == [1]
  squared = 255**2 * (32 * 32 * 3 - 1) + 254**2
  assert_array_equal(distance, [np.sqrt(squared)])


def test_an_image_is_its_own_neighbour_and_the_first_of_its_copies():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (300, 8, 8, 1), np.uint8)
  images[280] = images[3]
  index, distance = nearest_neighbours(images, images)
  want = np.arange(300)
  want[280] = 3
  assert_array_equal(index, want)
  assert_array_equal(distance, np.zeros(300))


def test_images_of_a_hundred_thousand_values_do_not_overflow():
  samples = np.zeros((1, 192, 192, 3), np.uint8)
  images = np.full((2, 192, 192, 3), 255, np.uint8)
  images[0, 0] = 254
  index, distance = nearest_neighbours(samples, images)
  assert index == [0]
  assert_allclose(
    distance**2, 255**2 * 191 * 192 * 3 + 254**2 * 192 * 3, rtol=1e-15
  )


@pytest.mark.parametrize('images', [
  np.zeros((5, 8, 9, 1), np.uint8), np.zeros((0, 8, 8, 1), np.uint8),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(images):
  with pytest.raises(ValueError, match='samples and images must be'):
    nearest_neighbours(np.zeros((2, 8, 8, 1), np.uint8), images)
