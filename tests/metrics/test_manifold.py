import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.neighbors import NearestNeighbors

from gan_jax.metrics import manifold
from gan_jax.metrics.manifold import density_coverage, precision_recall


def sets(seed=0, num=(120, 90), shift=0.7):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(num[0], 3)), rng.normal(size=(num[1], 3)) + shift


def radius(x, k):
  distance, _ = NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x)
  return distance[:, k]


def in_balls(centres, radii, points):
  """Returns whether each point lies in each ball, [M, N]."""
  table = np.linalg.norm(points[:, None] - centres[None], axis=-1)
  return table <= radii[None]


@pytest.mark.parametrize('block', [1, 5000, 10**6])  # 1, ~50 and all rows
@pytest.mark.parametrize('k', [1, 3, 5])
def test_matches_scikit_learn(k, block, monkeypatch):
  monkeypatch.setattr(manifold, '_BLOCK', block)
  real, fake = sets()
  fakes_in_real = in_balls(real, radius(real, k), fake)
  reals_in_fake = in_balls(fake, radius(fake, k), real)
  assert precision_recall(real, fake, k=k) == (
    fakes_in_real.any(axis=1).mean(),
    reals_in_fake.any(axis=1).mean(),
  )
  assert_allclose(
    density_coverage(real, fake, k=k),
    (fakes_in_real.sum() / (k * len(fake)), fakes_in_real.any(axis=0).mean()),
    rtol=1e-15,
  )


def test_by_hand():
  # The points are on a line; the balls' radii are 1, 1, 1 and 8.
  real = np.array([[0.0], [1.0], [2.0], [10.0]])
  fake = np.array([[0.5], [30.0]])
  # 0.5 lies in the balls of 0 and 1; its own radius is 29.5, as is that of 30.
  assert precision_recall(real, fake, k=1) == (0.5, 1.0)
  assert density_coverage(real, fake, k=1) == (2 / 2, 2 / 4)


def test_ties_lie_in_the_ball():
  # Each grid point has at least two neighbours at distance 1, its radius.
  # Each other point, except the corner's, is at distance 1 from one grid point.
  grid = np.stack(np.meshgrid(*2 * [np.arange(6.0)]), axis=-1).reshape(-1, 2)
  beyond = np.array([[-1.0, 0.0], [6.0, 3.0], [-1.0, -1.0]])
  precision, _ = precision_recall(grid, beyond, k=2)
  assert precision == 2 / 3
  assert density_coverage(grid, beyond, k=2) == (2 / (2 * 3), 2 / 36)


def test_no_whole_table_is_held(monkeypatch):
  monkeypatch.setattr(manifold, '_BLOCK', 10**4)
  real, fake = sets(num=(1000, 1000))
  tracemalloc.start()
  precision_recall(real, fake)
  density_coverage(real, fake)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 10**6  # a table of 1000 x 1000 float64 has 8 * 10^6 bytes


def test_a_set_and_itself():
  real, _ = sets()
  assert precision_recall(real, real) == (1.0, 1.0)
  assert density_coverage(real, real).coverage == 1.0


def test_sets_far_apart():
  real, fake = sets(shift=1e3)
  assert precision_recall(real, fake) == (0.0, 0.0)
  assert density_coverage(real, fake) == (0.0, 0.0)


def test_one_point_again_and_again():
  real, _ = sets()
  fake = np.repeat(real[:1], 10, axis=0)
  precision, recall = precision_recall(real, fake)
  assert precision == 1.0
  assert recall == 1 / len(real)  # balls of radius 0 contain only that point
  assert density_coverage(real, fake).coverage < 0.1


def test_the_order_does_not_matter():
  real, fake = sets()
  rng = np.random.default_rng(1)
  shuffled = rng.permutation(real), rng.permutation(fake)
  assert precision_recall(*shuffled) == precision_recall(real, fake)
  assert density_coverage(*shuffled) == density_coverage(real, fake)


@pytest.mark.parametrize('metric', [precision_recall, density_coverage])
def test_bad_inputs_fail(metric):
  real, fake = sets()
  with pytest.raises(ValueError, match='real must have at least 4 rows, got 3'):
    metric(real[:3], fake, k=3)
  with pytest.raises(ValueError, match='fake must have at least 4 rows, got 3'):
    metric(real, fake[:3], k=3)
  with pytest.raises(ValueError, match='k must be positive, got 0'):
    metric(real, fake, k=0)
  with pytest.raises(ValueError, match='got 3 and 2'):
    metric(real, fake[:, :2], k=3)
