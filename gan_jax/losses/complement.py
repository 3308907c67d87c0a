"""Losses of a complement generator.

A generator whose samples lie around the data rather than on it pushes the
class boundaries into regions without data (Dai et al. 2017,
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
  r"""Computes the pull-away term: mean squared cosine between features.

  .. math:: \frac{1}{N (N - 1)} \sum_{i \ne j} \left(
            \frac{f_i^\top f_j}{\|f_i\|\,\|f_j\|} \right)^2

  A row of zeros has no direction: its cosines count as 0, and it gets no
  gradient.

  Args:
    features: f(G(z)), [B, ...], floating point, one vector per row.
    axis_name: a mapped axis over which the batch is split, if any. The N >= 2
      rows are those of the whole batch.

  Returns:
    A scalar of the features' dtype, in [0, 1].

  Raises:
    TypeError: features that are not floating point.
    ValueError: features that are empty or not [B, ...], or a single row.

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
  # Every replica counts all pairs, so its own rows get the gradients of the
  # losses of all N replicas: N-fold, which the mean over replicas undoes.
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
  """Normalises the rows to length 1; rows of zeros stay zero."""
  # Dividing by the largest entry keeps squares from over- and underflowing. A
  # direction does not depend on the scale, so the scale needs no gradient.
  scale = jax.lax.stop_gradient(jnp.abs(rows).max(axis=1, keepdims=True))
  zero = scale == 0.0
  rows = rows / jnp.where(zero, 1.0, scale)
  square = jnp.square(rows).sum(axis=1, keepdims=True)
  return rows / jnp.sqrt(jnp.where(zero, 1.0, square))


def low_density_loss(log_density: Array, threshold: float | Array) -> Array:
  r"""Penalises the log-density of samples where it exceeds a threshold.

  .. math:: \log p(x)\, \mathbb 1[\log p(x) > \log \epsilon]

  The density model p is trained beforehand; the gradient flows through it to
  the samples above the threshold only. Under a mean over the batch, the weight
  of the loss falls with the share of these samples; the authors' code averages
  the excess over the threshold over these samples alone.

  Args:
    log_density: log p(G(z)), any shape, floating point.
    threshold: log epsilon, a number, e.g. a quantile of the log-density on
      data.

  Returns:
    Element-wise values of the shape and dtype of `log_density`; the caller
    takes the mean.

  Raises:
    TypeError: a log-density that is not floating point.
    ValueError: an empty log-density, or a threshold that is not a scalar.

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
  # NaN is not below the threshold, so it propagates.
  return jnp.where(log_density <= threshold, 0.0, log_density).astype(dtype)
