import itertools

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose

from gan_jax.metrics.distances import Moments, frechet_distance, kernel_distance


def features(num, dim, seed=0, shift=0.0):
  rng = np.random.default_rng(seed)
  mix = rng.normal(size=(dim, dim))
  return rng.normal(size=(num, dim)) @ mix + shift


def moments(x):
  return Moments().update(x)


def by_scipy(real, fake):
  """Computes the literature's formula, with scipy's root of the product."""
  mean = np.square(real.mean(0) - fake.mean(0)).sum()
  covariances = np.cov(real.T), np.cov(fake.T)
  root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
  return mean + np.trace(sum(covariances)) - 2 * np.trace(root).real


def test_moments_are_numpys():
  x = features(50, 4, shift=1e6)  # far from 0: sums of squares would cancel
  found = Moments()
  for batch in np.split(x, [1, 20, 21]):
    found = found.update(batch)
  assert found.count == 50
  assert_allclose(found.mean, x.mean(0), rtol=1e-12)
  assert_allclose(found.covariance(), np.cov(x.T), rtol=1e-8)


def test_the_order_of_batches_matters_by_rounding_only():
  x = features(60, 5)
  ordered, again, reverse = Moments(), Moments(), Moments()
  for batch in np.split(x, 6):
    ordered, again = ordered.update(batch), again.update(batch)
  for batch in np.split(x[::-1], 4):
    reverse = reverse.update(batch)
  np.testing.assert_array_equal(ordered.covariance(), again.covariance())
  assert_allclose(reverse.covariance(), ordered.covariance(), rtol=1e-12)


def test_batches_of_other_features_fail():
  # One feature would be broadcast silently.
  for first, second in ((1, 3), (3, 1), (3, 4)):
    found = moments(features(5, first))
    with pytest.raises(ValueError, match=rf'\[N, {first}\].*5, {second}'):
      found.update(features(5, second))


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_moments_of_what_is_not_finite_fail(bad):
  x = features(5, 2)
  x[3, 1] = bad
  with pytest.raises(ValueError, match='features must be finite'):
    Moments().update(x)


def test_frechet_wants_moments():
  features = np.ones((4, 2))
  with pytest.raises(TypeError, match=r'such as Moments\(\).update'):
    frechet_distance(features, features)


def test_frechet_by_hand():
  # Diagonal covariances: |mu|^2 + sum (sigma_r - sigma_f)^2.
  real = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, -3.0], [0.0, 3.0]])
  fake = 2.0 * real + np.array([3.0, 4.0])
  variances = np.diag(np.cov(real.T))
  expected = 25.0 + variances.sum()  # sigma_f = 2 sigma_r
  assert_allclose(frechet_distance(moments(real), moments(fake)), expected)


def test_frechet_matches_scipy():
  real, fake = features(200, 6), features(150, 6, seed=1, shift=0.5)
  found = frechet_distance(moments(real), moments(fake))
  assert_allclose(found, by_scipy(real, fake), rtol=1e-9)
  assert_allclose(
    frechet_distance(moments(fake), moments(real)), found, rtol=1e-9
  )


def test_frechet_of_fewer_rows_than_features():
  # The distance is the same in the subspace spanned by the rows.
  real, fake = features(8, 3), features(9, 3, seed=1, shift=1.0)
  basis = np.linalg.qr(np.random.default_rng(2).normal(size=(20, 3)))[0]
  expected = by_scipy(real, fake)
  found = frechet_distance(moments(real @ basis.T), moments(fake @ basis.T))
  assert_allclose(found, expected, rtol=1e-7)


def with_spectrum(num, dim, seed):
  """Draws features with principal deviations that fall from 1 to 0.001."""
  rng = np.random.default_rng(seed)
  return rng.normal(size=(num, dim)) * np.logspace(0, -3, dim)


@pytest.mark.parametrize(('num', 'dim'), [(2, 5), (4, 30), (40, 200)])
def test_frechet_of_spans_that_differ(num, dim):
  # tr (S1 S2)^(1/2) is the sum of the singular values of X Y^T for centred X
  # and Y, which needs no root of an eigenvalue near 0.
  real, fake = with_spectrum(num, dim, 0), with_spectrum(num + 1, dim, 1) + 0.1
  x, y = (s - s.mean(0) for s in (real, fake))
  singular = scipy.linalg.svdvals(x @ y.T).sum()
  expected = (
    np.square(real.mean(0) - fake.mean(0)).sum()
    + np.square(x).sum() / (num - 1)
    + np.square(y).sum() / num
    - 2 * singular / np.sqrt((num - 1) * num)
  )
  found = frechet_distance(moments(real), moments(fake))
  # Roots of eigenvalues that should be 0 are about sqrt(eps), 1e-8.
  assert_allclose(found, expected, rtol=1e-7)


def test_frechet_of_singular_covariances_is_the_limit_of_scipys():
  # Where scipy's root may fail, the literature adds a small multiple of the
  # identity; 1e-8 changes the distance by about 1e-6, relatively.
  real, fake = features(6, 12), features(7, 12, seed=1)
  covariances = [np.cov(x.T) + 1e-8 * np.eye(12) for x in (real, fake)]
  root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
  expected = (
    np.square(real.mean(0) - fake.mean(0)).sum()
    + np.trace(sum(covariances))
    - 2 * np.trace(root).real
  )
  found = frechet_distance(moments(real), moments(fake))
  assert_allclose(found, expected, rtol=1e-5)


def test_frechet_scales_as_a_square_and_ignores_shared_shifts():
  real, fake = features(30, 4), features(40, 4, seed=1)
  found = frechet_distance(moments(real), moments(fake))
  for scale, shift in ((3.0, 0.0), (1e-3, 0.0), (1.0, 1e4)):
    moved = frechet_distance(
      moments(scale * real + shift), moments(scale * fake + shift)
    )
    # At 1e4 the features keep 12 digits.
    assert_allclose(moved, scale**2 * found, rtol=1e-9)


def test_frechet_is_the_same_bits_twice():
  x, y = features(50, 20), features(30, 20, seed=1)
  assert frechet_distance(moments(x), moments(y)) == frechet_distance(
    moments(x), moments(y)
  )


def test_frechet_of_a_set_from_itself_is_nothing():
  for seed in range(20):
    x = moments(features(10, 20, seed))
    scale = np.trace(x.covariance())
    assert 0.0 <= frechet_distance(x, x) < 1e-12 * scale


def test_frechet_of_moments_that_overflowed_is_not_perfect():
  overflowed = Moments(3, np.array([np.nan]), np.eye(1))
  assert np.isnan(frechet_distance(overflowed, overflowed))


def slow_discrepancy(x, y):
  """Computes the estimator of Binkowski et al. with explicit loops."""
  num, dim = x.shape

  def k(a, b):
    return (float(a @ b) / dim + 1) ** 3

  within = sum(
    k(s[i], s[j])
    for s in (x, y)
    for i in range(num)
    for j in range(num)
    if i != j
  )
  across = sum(k(a, b) for a in x for b in y)
  return within / (num * (num - 1)) - 2 * across / num**2


def test_kernel_distance_of_whole_sets_is_the_formula():
  x, y = features(7, 3), features(7, 3, seed=1)
  found = kernel_distance(x, y, num_subsets=3, subset_size=7)
  assert_allclose(found.value, slow_discrepancy(x, y), rtol=1e-10)
  assert_allclose(found.std, 0.0, atol=1e-10 * abs(found.value))
  assert found[2:] == (3, 7)


def test_kernel_distance_is_over_all_pairs_of_subsets():
  # These are enough draws to estimate mean and deviation over all 4 * 4 pairs.
  x, y = features(4, 2), features(4, 2, seed=1)[:, ::-1]
  every = [
    slow_discrepancy(x[list(i)], y[list(j)])
    for i in itertools.combinations(range(4), 3)
    for j in itertools.combinations(range(4), 3)
  ]
  num = 5000
  found = kernel_distance(x, y, num_subsets=num, subset_size=3)
  mean, std = np.mean(every), np.std(every)
  assert abs(found.value - mean) < 4 * std / num**0.5
  # The relative error of a deviation is sqrt((kurtosis - 1) / (4 num)): 1.2 %.
  assert_allclose(found.std, std, rtol=0.048)


def test_kernel_distance_is_unbiased():
  # For two draws from one distribution it is 0 on average, and sometimes below.
  rng = np.random.default_rng(0)
  values = [
    kernel_distance(*rng.normal(size=(2, 20, 2)), num_subsets=1, subset_size=20)
    for _ in range(400)
  ]
  values = np.array([v.value for v in values])
  assert values.min() < 0
  assert abs(values.mean()) < 4 * values.std() / 20


def test_kernel_distance_has_the_deviation_over_subsets():
  x, y = features(40, 3), features(30, 3, seed=1)
  one = kernel_distance(x, y, num_subsets=50, subset_size=10, seed=1)
  other = kernel_distance(x, y, num_subsets=50, subset_size=10, seed=2)
  assert one.std > 0
  assert one.value != other.value
  # Each is a mean over 50 subsets, which overlap.
  assert abs(one.value - other.value) < 5 * one.std / 50**0.5


def test_kernel_distance_does_not_depend_on_the_order():
  x, y = features(40, 3), features(30, 3, seed=1)
  # As after a ReLU, many rows have the same first numbers.
  x, y = np.maximum(x, 0.0), np.maximum(y, 0.0)
  x[:, 0], x[:20, 1] = 0.0, 0.0
  rng = np.random.default_rng(3)
  options = {'num_subsets': 5, 'subset_size': 10}
  assert kernel_distance(
    rng.permutation(x), rng.permutation(y), **options
  ) == kernel_distance(x, y, **options)


@pytest.mark.parametrize(
  ('x', 'message'),
  [
    (np.zeros(3), r'real must be \[N, D\]'),
    (np.zeros((3, 0)), r'real must be \[N, D\]'),
    (np.zeros((1, 2)), 'real must have at least 2 rows, got 1'),
    (np.full((3, 2), np.nan), 'real must be finite'),
    (np.zeros((3, 1)), 'same number of features, got 1 and 2'),
  ],
)
def test_bad_features_fail(x, message):
  with pytest.raises(ValueError, match=message):
    kernel_distance(x, np.zeros((3, 2)), subset_size=2)


def test_bad_sizes_fail():
  x = features(4, 2)
  for size in (1, 5):
    with pytest.raises(ValueError, match=rf'2..4, .* got {size}; use smaller'):
      kernel_distance(x, x, subset_size=size)
  with pytest.raises(ValueError, match='num_subsets'):
    kernel_distance(x, x, subset_size=2, num_subsets=0)
  with pytest.raises(ValueError, match='two rows or more, not 1'):
    frechet_distance(moments(x[:1]), moments(x))
  with pytest.raises(ValueError, match='got 2 and 3'):
    frechet_distance(moments(x), moments(features(4, 3)))
