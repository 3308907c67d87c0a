import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

from gan_jax.metrics.artefacts import grid_artefact, grid_energy


def photographs():
  """Returns scikit-learn's two photographs of 427x640 pixels, in [-1, 1]."""
  return np.stack(load_sample_images().images) / 127.5 - 1.0


def grids(height, width):
  y, x = np.mgrid[:height, :width]
  return {
    'chequerboard': (-1.0) ** (y + x),
    'lines of period 2': (-1.0) ** x,
    'points of period 2': (y % 2 == 0) & (x % 2 == 0),
    'lines of period 4': (y % 4 == 0) | (x % 4 == 0),
    'waves of period 4': np.cos(np.pi / 2 * x),
  }


@pytest.mark.parametrize('which', [0, 1])
@pytest.mark.parametrize('name', grids(4, 4))
def test_a_grid_of_0_05_at_least_doubles_it(name, which):
  photo = photographs()[which : which + 1, :256, :256]
  grid = grids(256, 256)[name][..., None]
  assert grid_artefact(photo + 0.05 * grid, photo) > 2.0


@pytest.mark.parametrize('which', [0, 1])
@pytest.mark.parametrize('sigma', [0.3, 0.5, 0.7])
def test_a_mild_blur_moves_it_by_less_than_a_tenth(sigma, which):
  photo = photographs()[which : which + 1]
  blurred = gaussian_filter(photo, (0, sigma, sigma, 0))
  assert abs(grid_artefact(blurred, photo) - 1.0) < 0.1


def test_range_size_and_brightness_do_not_matter():
  photo = photographs()
  once = grid_energy(photo)
  np.testing.assert_allclose(grid_energy(127.5 * (photo + 1)), once, rtol=1e-9)
  np.testing.assert_allclose(grid_energy(0.1 * photo), once, rtol=1e-9)
  padded = np.pad(photo, [(0, 0), (0, 1), (0, 3), (0, 0)])
  np.testing.assert_allclose(grid_energy(padded), once, rtol=0.1)


def test_noise_has_no_grid():
  noise = np.random.default_rng(0).normal(size=(400, 32, 48, 1))
  np.testing.assert_allclose(grid_energy(noise), 1.0, atol=0.06)


def test_it_grows_with_the_square_of_a_grids_amplitude():
  """The nearby frequencies contain none of the grid's energy."""
  noise = np.random.default_rng(0).normal(size=(20, 64, 64, 1))
  wave = grids(64, 64)['waves of period 4'][..., None]
  small, large = (grid_energy(noise + a * wave) for a in (5.0, 50.0))
  np.testing.assert_allclose(large / small, 100.0, rtol=0.05)


def test_images_without_energy():
  assert grid_energy(np.full((2, 32, 32, 3), 0.25)) < 10.0


def test_small_images():
  small = np.zeros((1, 23, 32, 1))
  with pytest.raises(ValueError, match='24 pixels or more, got'):
    grid_energy(small)
  assert grid_artefact(small, np.zeros((1, 32, 32, 1))) is None
