import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.data.labelled import DATASETS
from gan_jax.evaluation.samples import (
  beside_nearest,
  closed_tour,
  generate,
  latents,
)
from gan_jax.runs.restore import load_generator
from gan_jax.systems.parts.prior import slerp
from gan_jax.systems.system import Latents


@pytest.fixture
def workdir(toy_run):
  """A run with checkpoints at steps 4, 6 and 8."""
  return toy_run


def test_a_seed_names_its_latents(workdir):
  run = load_generator(workdir)
  z = latents(run, [3, 2**32 - 1, 5]).z
  assert z.shape == (3, run.config.model.z_dim)
  assert_array_equal(z[2:], latents(run, [5]).z)
  assert_array_equal(z[:1], latents(run, [3], 4).z[:1])
  assert len(np.unique(np.asarray(latents(run, [3, 4], 5).z), axis=0)) == 10


def test_an_image_depends_on_its_z_alone(workdir):
  run = load_generator(workdir)
  z = latents(run, range(6))
  image = generate(run, z)['samples']
  assert image.shape == (6, 8, 8, 1)
  assert image.dtype == np.uint8
  assert len(np.unique(image, axis=0)) == 6
  assert_array_equal(generate(run, Latents(z.z[::-2]))['samples'], image[::-2])


def test_a_tour_meets_every_z_and_closes(workdir):
  run = load_generator(workdir)
  ends = latents(run, [0, 1, 2])
  z = np.asarray(ends.z)
  tour = np.asarray(closed_tour(run, ends, 4).z).reshape(3, 5, -1)
  assert_array_equal(tour[:, 0], z)
  for i in range(3):
    start, end = z[i], z[(i + 1) % 3]
    for j in range(1, 5):
      assert_allclose(
        tour[i, j], slerp(start, end, j / 5), rtol=1e-6, atol=1e-6
      )
    steps = np.diff(np.stack([*tour[i], end]), axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    assert_allclose(lengths, lengths.mean(), rtol=0.2)


def test_the_nearest_training_image_follows_each_sample(
  workdir, tiny_dataset, monkeypatch
):
  monkeypatch.setitem(DATASETS, 'digits', lambda config: tiny_dataset)
  run = load_generator(workdir)
  near = tiny_dataset.train.image[[4, 20, 4]].copy()
  near[:, 0, 0] ^= 1
  pairs = beside_nearest(run, {'a': near, 'b': near[:1]})
  assert_array_equal(pairs['a'][::2], near)
  assert_array_equal(pairs['a'][1::2], tiny_dataset.train.image[[4, 20, 4]])
  assert pairs['b'].shape == (2, 8, 8, 1)


def test_neighbours_are_looked_for_in_the_runs_own_data(
  workdir, tiny_dataset, monkeypatch
):
  other = tiny_dataset.train._replace(image=tiny_dataset.train.image[::-1])
  monkeypatch.setitem(
    DATASETS, 'digits', lambda config: tiny_dataset._replace(train=other)
  )
  run = load_generator(workdir)
  with pytest.raises(InputError, match='not those that'):
    beside_nearest(run, {'a': tiny_dataset.train.image})
