"""Losses of a complement generator.

A generator whose samples lie around the data, not on it, makes the classes'
boundaries run where there is no data (Dai et al. 2017,
https://arxiv.org/abs/1705.09783). It minimises `feature_matching_loss`, which
keeps it near the data, and the two losses here: `pull_away_loss` spreads its
samples, `low_density_loss` drives them off the data.
"""

import jax
import jax.numpy as jnp

from gan_jax.core import checks
from gan_jax.core.types import Array, AxisName


def pull_away_loss(
  features: Array, *, axis_name: AxisName | None = None
) -> Array:
  r"""Pull-away term: mean squared cosine between the features of samples.

  .. math:: \frac{1}{N (N - 1)} \sum_{i \ne j} \left(
            \frac{f_i^\top f_j}{\|f_i\|\,\|f_j\|} \right)^2

  A row of zeros has no direction: its cosine is taken to be 0, and it gets no
  gradient.

  Args:
    features: f(G(z)), [B, ...], floating point, one vector per row.
    axis_name: a mapped axis over which the batch is split, if any. The N rows
      are those of the whole batch, and at least two.

  Returns:
    A scalar of the features' dtype, in [0, 1].

  Raises:
    TypeError: features that are not floating point.
    ValueError: features that are not [B, ...], empty ones, or a single row.

  References:
    Zhao et al. 2016, https://arxiv.org/abs/1609.03126, section 2.4;
    Dai et al. 2017, https://arxiv.org/abs/1705.09783.

  >>> import jax.numpy as jnp
  >>> print(pull_away_loss(jnp.array([[1., 0.], [2., 0.], [0., 3.]])).round(3))
  0.333
  """
  dtype = checks.result_type(features)
  features = checks.floating('features', features)
  checks.not_empty('features', features)
  if features.ndim < 2:
    raise ValueError(f'features must be [B, ...], got {features.shape}')
  directions = _directions(features.reshape(len(features), -1))
  # Every replica counts all pairs: its own rows then get the gradient of all
  # replicas' losses, N-fold, which the mean over the N replicas undoes.
  if axis_name is not None:
    directions = jax.lax.all_gather(directions, axis_name, tiled=True)
  num_rows = len(directions)
  if num_rows < 2:
    raise ValueError(
      f'features must have at least two rows, got shape {features.shape}'
    )
  cosines = jnp.matmul(
    directions, directions.T, precision=jax.lax.Precision.HIGHEST
  )
  others = ~jnp.eye(num_rows, dtype=bool)
  total = jnp.square(cosines).sum(where=others)
  return (total / (num_rows * (num_rows - 1))).astype(dtype)


def _directions(rows: Array) -> Array:
  """The rows at length 1, those of zeros at length 0."""
  # No row's squares may overflow or vanish. A direction does not depend on the
  # scale, so neither does its gradient.
  scale = jax.lax.stop_gradient(jnp.abs(rows).max(axis=1, keepdims=True))
  zero = scale == 0.0
  rows = rows / jnp.where(zero, 1.0, scale)
  square = jnp.square(rows).sum(axis=1, keepdims=True)
  return rows / jnp.sqrt(jnp.where(zero, 1.0, square))


def low_density_loss(log_density: Array, threshold: float | Array) -> Array:
  r"""The log-density of samples that lie on the data.

  .. math:: \log p(x)\, \mathbb 1[\log p(x) > \log \epsilon]

  The density model p is trained beforehand; the gradient flows through it to
  the samples above the threshold, and to no others. Under the mean over the
  batch its weight falls with the share of samples that are above; the authors'
  code takes the mean over those alone, of the excess over the threshold.

  Args:
    log_density: log p(G(z)), any shape, floating point.
    threshold: log epsilon, a number. Quantiles of the log-density on data
      serve.

  Returns:
    Element-wise values of the shape and dtype of `log_density`; the mean is the
    caller's.

  Raises:
    TypeError: a log-density that is not floating point.
    ValueError: an empty one, or a threshold that is not a scalar.

  References:
    Dai et al. 2017, https://arxiv.org/abs/1705.09783.

  >>> import jax.numpy as jnp
  >>> print(low_density_loss(jnp.array([-1., -2., -4.]), -2.5))
  [-1. -2.  0.]
  """
  dtype = checks.result_type(log_density)
  log_density = checks.floating('log_density', log_density)
  checks.not_empty('log_density', log_density)
  if jnp.shape(threshold) != ():
    raise ValueError(f'threshold must be a scalar, got {jnp.shape(threshold)}')
  # NaN is not below the threshold: it shows.
  return jnp.where(log_density <= threshold, 0.0, log_density).astype(dtype)
