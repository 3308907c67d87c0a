"""Points of known mixtures."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.data.dataset import prepare
from gan_jax.data.labelled import LabelledData
from gan_jax.data.synthetic import points
from gan_jax.systems import base


def test_the_grid_of_pacgan():
  centres = points.MIXTURES['grid'].centres
  sides = np.unique(centres)
  assert_array_equal(sides, [-4, -2, 0, 2, 4])
  assert len(np.unique(centres, axis=0)) == 25
  assert points.MIXTURES['grid'].stddev == 0.05


def test_the_ring_lies_on_the_unit_circle():
  centres, stddev = points.MIXTURES['ring']
  assert_allclose(np.linalg.norm(centres, axis=1), 1.0)
  gaps = np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=1)
  assert_allclose(gaps, 2 * np.sin(np.pi / 8))
  assert stddev == 0.01


@pytest.mark.parametrize('name', points.MIXTURES)
def test_points_scatter_around_the_centre_of_their_label(name):
  dataset = points.load(name, None, 1000)
  centres, stddev = points.MIXTURES[name]
  assert dataset.num_classes == len(centres)
  sizes = [len(part.label) for part in dataset[1:4]]
  assert sizes == [100_000, 1000, 10_000]
  for image, label in dataset[1:4]:
    assert image.dtype == np.float32
    assert image.shape[1:] == (1, 1, 2)
    noise = image[:, 0, 0] - centres[label]
    # The deviation of a deviation from n numbers is 1 / sqrt(2 n) of it; a
    # point has two numbers.
    assert_allclose(noise.std(), stddev, rtol=4 / np.sqrt(4 * len(label)))
    assert_allclose(noise.mean(), 0.0, atol=4 * stddev / np.sqrt(len(label)))
    counts = np.bincount(label, minlength=len(centres))
    assert counts.max() - counts.min() <= 1
  parts = [part.image[:100] for part in dataset[1:4]]
  assert (parts[0] != parts[1]).any()
  assert (parts[1] != parts[2]).any()
  again = points.load(name, None, 1000)
  assert_array_equal(again.train.image, dataset.train.image)


def test_a_config_opens_points_even_for_made_up_data():
  config = base('gan').data
  config.name, config.made_up, config.num_validation = 'ring', True, 50
  data = LabelledData(config)
  assert data.spec.image_shape == (1, 1, 2)
  assert str(data) == 'ring, 1x1x2, 100000 train, 50 validation, 10000 test'


def test_what_points_cannot_have(monkeypatch):
  dataset = points.load('ring', None, 10)
  with pytest.raises(InputError, match='has points instead of images'):
    prepare(dataset, 32)
  with pytest.raises(InputError, match='drawn at random and needs none'):
    points.load('ring', 'DIR', 10)
  dataset.train.image[0] = np.nan
  with pytest.raises(InputError, match='ring train points must be finite'):
    prepare(dataset, None)
