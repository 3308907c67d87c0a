"""FID and KID: distances between sets of features, in float64 on the host."""

from typing import NamedTuple

import numpy as np


class KernelDistance(NamedTuple):
  """Kernel distance: mean (`value`) and standard deviation over subsets."""

  value: float
  std: float
  num_subsets: int
  subset_size: int


def check_features(name: str, features: np.ndarray, least: int) -> np.ndarray:
  """Returns features [N, D] as float64.

  Raises:
    ValueError: another shape, fewer than `least` rows, or a number that is not
      finite.
  """
  features = np.asarray(features, np.float64)
  if features.ndim != 2 or not features.shape[1]:
    raise ValueError(f'{name} must be [N, D], got {features.shape}')
  if len(features) < least:
    raise ValueError(
      f'{name} must have at least {least} rows, got {len(features)}'
    )
  if not np.isfinite(features).all():
    raise ValueError(f'{name} must be finite')
  return features


def check_pair(
  real: np.ndarray, fake: np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns both as float64; also refuses different numbers of features."""
  real = check_features('real', real, least)
  fake = check_features('fake', fake, least)
  if real.shape[1] != fake.shape[1]:
    raise ValueError(
      'real and fake must have the same number of features, got '
      f'{real.shape[1]} and {fake.shape[1]}'
    )
  return real, fake


class Moments(NamedTuple):
  """Running mean and covariance of features that come in batches.

  Batches are merged as in Chan et al. 1979, so that a mean far from 0 does not
  cancel the covariance's digits. The same batches in the same order give the
  same bits; in another order they give the same numbers up to rounding.
  """

  count: int = 0
  mean: np.ndarray | float = 0.0  # [D]
  scatter: np.ndarray | float = 0.0  # [D, D], the sum of outer products

  def update(self, features: np.ndarray) -> 'Moments':
    """Adds a batch of features [B, D], B > 0.

    Raises:
      ValueError: another shape, a different number of features than before, or
        a number that is not finite.
    """
    features = check_features('features', features, 1)
    if self.count and features.shape[1] != len(self.mean):
      raise ValueError(
        f'features must be [N, {len(self.mean)}] as in earlier batches, '
        f'got {features.shape}'
      )
    num = len(features)
    mean = features.mean(axis=0)
    centred = features - mean
    count = self.count + num
    shift = mean - self.mean
    return Moments(
      count,
      self.mean + shift * (num / count),
      self.scatter
      + centred.T @ centred
      + np.outer(shift, shift) * (self.count * num / count),
    )

  def covariance(self) -> np.ndarray:
    """Returns the unbiased covariance [D, D]; refuses fewer than two rows."""
    if self.count < 2:
      raise ValueError(f'a covariance needs two rows or more, not {self.count}')
    return self.scatter / (self.count - 1)


def frechet_distance(real: Moments, fake: Moments) -> float:
  r"""Computes the squared Frechet distance (FID) from moments of features.

  .. math:: \|\mu_r - \mu_f\|^2
            + \text{tr}\,(\Sigma_r + \Sigma_f - 2 (\Sigma_r \Sigma_f)^{1/2})

  It is the distance of two Gaussians, and the FID on Inception features. The
  trace of the root is computed as the sum of the singular values of the product
  of the two symmetric roots, which is real even for singular covariances, such
  as those of fewer rows than features. The distance has a bias that depends on
  the number of rows: compare only results from equal numbers.

  Args:
    real: moments of the features of data.
    fake: moments of the features of samples.

  Returns:
    The distance, not below 0.

  Raises:
    TypeError: one of them is not Moments.
    ValueError: fewer than two rows, or different numbers of features.

  References:
    Dowson & Landau 1982; Heusel et al. 2017, https://arxiv.org/abs/1706.08500,
    equation 6.
  """
  if not isinstance(real, Moments) or not isinstance(fake, Moments):
    raise TypeError(
      'real and fake must be Moments, such as Moments().update(features)'
    )
  covariances = [moments.covariance() for moments in (real, fake)]
  if covariances[0].shape != covariances[1].shape:
    raise ValueError(
      'real and fake must have the same number of features, got '
      f'{len(covariances[0])} and {len(covariances[1])}'
    )
  roots = [_root(covariance) for covariance in covariances]
  cross = np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()
  trace = sum(np.trace(covariance) for covariance in covariances)
  distance = np.square(real.mean - fake.mean).sum() + trace - 2.0 * cross
  # Equal sets may come out below 0 by rounding; np.maximum keeps NaN.
  return float(np.maximum(distance, 0.0))


def _root(covariance: np.ndarray) -> np.ndarray:
  """Computes the symmetric root of a positive semi-definite matrix."""
  values, vectors = np.linalg.eigh(covariance)
  # Eigenvalues that should be 0 may come out below.
  return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def kernel_distance(
  real: np.ndarray,
  fake: np.ndarray,
  *,
  num_subsets: int = 100,
  subset_size: int = 1000,
  seed: int = 0,
) -> KernelDistance:
  r"""Computes the unbiased squared MMD with a cubic kernel (KID).

  .. math:: \frac{\sum_{i \ne j} k(x_i, x_j) + k(y_i, y_j)}{m (m - 1)}
            - \frac{2 \sum_{i, j} k(x_i, y_j)}{m^2}, \quad
            k(x, y) = \left(\frac{x^\top y}{D} + 1\right)^3

  It is averaged over random subsets of m rows of each set. On Inception
  features it is the KID. The subsets depend on the seed and on the set of rows,
  not on their order.

  Args:
    real: features of data, [N, D].
    fake: features of samples, [M, D].
    num_subsets: the number of subsets.
    subset_size: m, at least 2 and at most N and M.
    seed: the seed of the subsets.

  Returns:
    The mean over the subsets, which may be below 0, and their standard
    deviation (not that of the mean).

  Raises:
    ValueError: features as for `Moments.update`, or a bad size.

  References:
    Binkowski et al. 2018, https://arxiv.org/abs/1801.01401, section 3.
  """
  real, fake = (_sorted(x) for x in check_pair(real, fake, 2))
  most = min(len(real), len(fake))
  if not 2 <= subset_size <= most:
    raise ValueError(
      f'subset_size must lie in 2..{most}, the number of rows, got '
      f'{subset_size}; use smaller subsets or more rows'
    )
  if num_subsets < 1:
    raise ValueError(f'num_subsets must be positive, got {num_subsets}')
  rng = np.random.Generator(np.random.Philox(seed))
  values = [
    _discrepancy(
      *(x[rng.choice(len(x), subset_size, replace=False)] for x in (real, fake))
    )
    for _ in range(num_subsets)
  ]
  return KernelDistance(
    float(np.mean(values)), float(np.std(values)), num_subsets, subset_size
  )


def _sorted(rows: np.ndarray) -> np.ndarray:
  """Sorts the rows lexicographically."""
  return rows[np.lexsort(rows.T[::-1])]


def _discrepancy(x: np.ndarray, y: np.ndarray) -> float:
  num = len(x)

  def kernel(a, b):
    base = a @ b.T / x.shape[1] + 1.0
    return base * base * base  # many times faster than numpy's ** 3

  own = sum(k.sum() - np.trace(k) for k in (kernel(x, x), kernel(y, y)))
  return own / (num * (num - 1)) - 2.0 * kernel(x, y).mean()
