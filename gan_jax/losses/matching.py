"""Losses that match statistics of features."""

import jax.numpy as jnp

from gan_jax.losses import _checks, _collectives
from gan_jax.types import Array


def feature_matching_loss(
  real_features: Array,
  fake_features: Array,
  *,
  squared: bool = False,
  axis_name: str | None = None,
) -> Array:
  r"""Distance between the batch means of features on data and on samples.

  .. math:: \frac1F \sum_f \left|\,\mathbb E_x f(x)_f - \mathbb E_z f(G(z))_f
            \right|^p, \quad p = 1 \text{ or } 2

  Args:
    real_features: f(x), [B, ...], floating point.
    fake_features: f(G(z)), [B', ...], the same trailing shape.
    squared: p = 2, as in the paper and the authors' code for MNIST; otherwise
      p = 1, as in their code for CIFAR-10 and SVHN.
    axis_name: a mapped axis over which the batch is split, if any. The means
      are over the whole batch.

  Returns:
    A scalar of the features' dtype: the mean over the features.

  Raises:
    TypeError: features that are not floating point.
    ValueError: other trailing shapes, or an empty batch.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.1.

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([[1., 2.], [3., 4.]]), jnp.array([[0., 0.]])
  >>> print(feature_matching_loss(real, fake))
  2.5
  >>> print(feature_matching_loss(real, fake, squared=True))
  6.5
  """
  dtype = _checks.result_type(real_features, fake_features)
  real = _checks.floating('real_features', real_features)
  fake = _checks.floating('fake_features', fake_features)
  _checks.not_empty('real_features', real)
  _checks.not_empty('fake_features', fake)
  if real.shape[1:] != fake.shape[1:] or real.ndim < 2:
    raise ValueError(
      'real_features and fake_features must be [B, ...] and agree in all but '
      f'the batch, got {real.shape} and {fake.shape}'
    )
  difference = real.mean(axis=0) - fake.mean(axis=0)
  difference = _collectives.pmean(difference, axis_name)
  distance = jnp.square(difference) if squared else jnp.abs(difference)
  return distance.mean().astype(dtype)
