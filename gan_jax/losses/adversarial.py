"""Adversarial losses: pairs of functions of (real_logits, fake_logits).

Both members of a pair take both arrays and return element-wise values; the
mean over the batch is the caller's. A loss that ignores one of the two leaves
it to XLA to drop the unused forward pass.
"""

import jax

from gan_jax.losses import _checks
from gan_jax.types import Array


def non_saturating_discriminator_loss(
  real_logits: Array, fake_logits: Array, *, label_smoothing: float = 0.0
) -> Array:
  r"""Cross-entropy of "real or fake?", with one-sided label smoothing.

  .. math:: (1 - s)\,\zeta(-D(x)) + s\,\zeta(D(x)) + \zeta(D(G(z)))

  with the softplus :math:`\zeta(x) = \log(1 + e^x)`: the real examples' target
  is 1 - s, the fake ones' stays 0. On the real ones, the optimum is at
  D(x) = logit(1 - s).

  Args:
    real_logits: D(x), any shape, floating point.
    fake_logits: D(G(z)), the same shape.
    label_smoothing: s in [0, 0.5).

  Returns:
    The loss per element, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or a smoothing out of range.

  References:
    Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, equation 1;
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.4.

  >>> import jax.numpy as jnp
  >>> zero = jnp.zeros(2)
  >>> print(non_saturating_discriminator_loss(zero, zero).round(3))
  [1.386 1.386]
  """
  dtype = _checks.result_type(real_logits, fake_logits)
  real = _checks.floating('real_logits', real_logits)
  fake = _checks.floating('fake_logits', fake_logits)
  _checks.same_shape('real_logits', real, 'fake_logits', fake)
  _checks.in_range('label_smoothing', label_smoothing, 0.0, 0.5)
  real_loss = (1.0 - label_smoothing) * jax.nn.softplus(-real)
  real_loss += label_smoothing * jax.nn.softplus(real)
  return (real_loss + jax.nn.softplus(fake)).astype(dtype)


def non_saturating_generator_loss(
  real_logits: Array, fake_logits: Array
) -> Array:
  r"""The generator's side: cross-entropy of its samples being called real.

  .. math:: \zeta(-D(G(z))), \quad \zeta(x) = \log(1 + e^x)

  Args:
    real_logits: D(x), any shape, floating point; only its shape matters.
    fake_logits: D(G(z)), the same shape.

  Returns:
    The loss per element, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes.

  References:
    Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, section 3.

  >>> import jax.numpy as jnp
  >>> zero = jnp.zeros(2)
  >>> print(non_saturating_generator_loss(zero, zero).round(3))
  [0.693 0.693]
  """
  dtype = _checks.result_type(real_logits, fake_logits)
  real = _checks.floating('real_logits', real_logits)
  fake = _checks.floating('fake_logits', fake_logits)
  _checks.same_shape('real_logits', real, 'fake_logits', fake)
  return jax.nn.softplus(-fake).astype(dtype)
