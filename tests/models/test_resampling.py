import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.models.resampling import downsample, upsample


def full(x, axis_taps):
  """Applies a separable filter to one image, with zero padding, by numpy."""
  for axis in (0, 1):
    x = np.apply_along_axis(lambda r: np.convolve(r, axis_taps), axis, x)
  return x


def image(height, width):
  return np.random.default_rng(0).normal(size=(height, width))


def test_doubling_is_nearest_neighbours_filtered():
  x = image(3, 5)
  nearest = x.repeat(2, axis=0).repeat(2, axis=1)
  want = full(nearest, [0.25, 0.5, 0.25])[1:-1, 1:-1]
  got = upsample(jnp.asarray(x[None, ..., None], 'float32'))
  assert_allclose(got[0, ..., 0], want, atol=1e-6)


def test_halving_is_the_filter_and_the_mean_of_four():
  x = image(6, 8)
  smooth = full(x, [0.25, 0.5, 0.25])[1:-1, 1:-1]
  # The filter is padded with zeros at the image's edge, the mean is not.
  wide = full(x, [0.125, 0.375, 0.375, 0.125])
  want = wide[2:-1:2, 2:-1:2]
  got = downsample(jnp.asarray(x[None, ..., None], 'float32'))
  assert_allclose(got[0, ..., 0], want, atol=1e-6)
  means = smooth.reshape(3, 2, 4, 2).mean((1, 3))
  assert_allclose(got[0, 1:-1, 1:-1, 0], means[1:-1, 1:-1], atol=1e-6)


@pytest.mark.parametrize('resample', [upsample, downsample])
def test_what_is_even_stays_so_inside(resample):
  out = resample(jnp.full((1, 8, 8, 2), 0.7))
  assert_allclose(out[:, 1:-1, 1:-1], 0.7, rtol=1e-6)
