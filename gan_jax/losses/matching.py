"""Feature matching and historical averaging."""

import jax
import jax.numpy as jnp

from gan_jax.core import checks, collectives
from gan_jax.core.types import Array, AxisName, Params


def _pairs(
  name: str, tree: Params, other_name: str, other: Params
) -> list[tuple[str, Array, str, Array]]:
  """Pairs the leaves of two pytrees, each with its name."""
  leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
  other_leaves, other_structure = jax.tree.flatten(other)
  if structure != other_structure:
    raise ValueError(
      f'{name} and {other_name} must have the same structure, '
      f'got {structure} and {other_structure}'
    )
  if not leaves:
    raise ValueError(f'{name} must hold at least one array, got {tree!r}')
  pairs = []
  for (path, x), y in zip(leaves, other_leaves, strict=True):
    place = jax.tree_util.keystr(path)
    pairs.append((name + place, x, other_name + place, y))
  return pairs


def feature_matching_loss(
  real_features: Params,
  fake_features: Params,
  *,
  squared: bool = False,
  axis_name: AxisName | None = None,
) -> Array:
  r"""Computes the distance between mean features of data and of samples.

  .. math:: \sum_l \frac1{F_l} \sum_f \left|\,\mathbb E_x f_l(x)_f
            - \mathbb E_z f_l(G(z))_f \right|^p, \quad p = 1 \text{ or } 2

  The paper's norm is a sum over the features; here it is their mean, as in the
  authors' code.

  Args:
    real_features: f(x), [B, ...], floating point: one array, or a pytree with
      one for each layer l.
    fake_features: f(G(z)), [B', ...], the same structure and the same trailing
      shapes.
    squared: True for p = 2, as in the paper and the authors' code for MNIST;
      False for p = 1, as in their code for CIFAR-10 and SVHN.
    axis_name: a mapped axis over which the batch is split, if any. The means
      are over the whole batch.

  Returns:
    A scalar of the features' dtype: the mean over each layer's features, summed
    over the layers.

  Raises:
    TypeError: features that are not floating point.
    ValueError: different structures or trailing shapes, no layer, or an empty
      batch.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.1.

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([[1., 2.], [3., 4.]]), jnp.array([[0., 0.]])
  >>> print(feature_matching_loss(real, fake))
  2.5
  >>> print(feature_matching_loss(real, fake, squared=True))
  6.5
  >>> print(feature_matching_loss([real, real], [fake, real]))
  2.5
  """
  pairs = _pairs('real_features', real_features, 'fake_features', fake_features)
  dtype = checks.result_type(*jax.tree.leaves((real_features, fake_features)))
  distances = [
    _mean_distance(*pair, squared=squared, axis_name=axis_name)
    for pair in pairs
  ]
  return sum(distances).astype(dtype)


def _mean_distance(
  real_name: str,
  real: Array,
  fake_name: str,
  fake: Array,
  *,
  squared: bool,
  axis_name: AxisName | None,
) -> Array:
  """Computes one layer's loss in at least float32."""
  real = checks.floating(real_name, real)
  fake = checks.floating(fake_name, fake)
  checks.not_empty(real_name, real)
  checks.not_empty(fake_name, fake)
  if real.shape[1:] != fake.shape[1:] or real.ndim < 2:
    raise ValueError(
      f'{real_name} and {fake_name} must be [B, ...] and agree in all but '
      f'the batch, got {real.shape} and {fake.shape}'
    )
  difference = real.mean(axis=0) - fake.mean(axis=0)
  difference = collectives.pmean(difference, axis_name)
  distance = jnp.square(difference) if squared else jnp.abs(difference)
  return distance.mean()


def historical_averaging_loss(params: Params, average: Params) -> Array:
  r"""Computes the squared distance of parameters from their historical average.

  .. math:: \left\|\theta - \tfrac1t \textstyle\sum_{i \le t} \theta_i
            \right\|^2

  The average is a constant and gets no gradient. `optax.incremental_update`
  maintains it with the step sizes of `gan_jax.ema.power_share` at gamma 0.

  Args:
    params: theta, a pytree of arrays, floating point.
    average: the mean of past parameters, of the same structure and shapes.

  Returns:
    A scalar of the arrays' dtype: the sum over all elements.

  Raises:
    TypeError: arrays that are not floating point.
    ValueError: different structures or shapes, or no array.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.3.

  >>> import jax.numpy as jnp
  >>> params = {'kernel': jnp.array([1., 2.]), 'bias': jnp.array(3.)}
  >>> average = {'kernel': jnp.array([0., 0.]), 'bias': jnp.array(1.)}
  >>> print(historical_averaging_loss(params, average))
  9.0
  """
  pairs = _pairs('params', params, 'average', average)
  dtype = checks.result_type(*jax.tree.leaves((params, average)))
  return sum(_squared_distance(*pair) for pair in pairs).astype(dtype)


def _squared_distance(
  name: str, x: Array, average_name: str, average: Array
) -> Array:
  x = checks.floating(name, x)
  average = checks.floating(average_name, jax.lax.stop_gradient(average))
  checks.same_shape(name, x, average_name, average)
  return jnp.square(x - average).sum()
