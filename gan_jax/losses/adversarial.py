"""Adversarial losses: pairs of functions of (real_logits, fake_logits).

Both members of a pair take both arrays and return element-wise values; the
mean over the batch is the caller's, so that the pairs are interchangeable, with
those of `relativistic` too. A loss that ignores one of the two leaves it to XLA
to drop the unused forward pass.
"""

import jax
import jax.numpy as jnp

from gan_jax.core import checks
from gan_jax.core.types import Array


def minimax_discriminator_loss(
  real_logits: Array, fake_logits: Array, *, label_smoothing: float = 0.0
) -> Array:
  r"""The discriminator's side of the minimax game, the original GAN's.

  It is `non_saturating_discriminator_loss`: the two games differ in the
  generator's loss only.

  .. math:: (1 - s)\,\zeta(-D(x)) + s\,\zeta(D(x)) + \zeta(D(G(z))),
            \quad \zeta(x) = \log(1 + e^x)

  Args:
    real_logits: D(x), any shape, floating point.
    fake_logits: D(G(z)), the same shape.
    label_smoothing: s in [0, 0.5).

  Returns:
    The loss per element, positive, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, empty ones, or a smoothing out of range.

  References:
    Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, equation 1;
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.4.

  >>> import jax.numpy as jnp
  >>> zero = jnp.zeros(2)
  >>> print(minimax_discriminator_loss(zero, zero).round(3))
  [1.386 1.386]
  """
  return non_saturating_discriminator_loss(
    real_logits, fake_logits, label_smoothing=label_smoothing
  )


def minimax_generator_loss(real_logits: Array, fake_logits: Array) -> Array:
  r"""The generator's side of the minimax game: log(1 - P(real | G(z))).

  .. math:: -\zeta(D(G(z))), \quad \zeta(x) = \log(1 + e^x)

  Its gradient vanishes where the discriminator is sure of a sample, D(G(z))
  far below 0; `non_saturating_generator_loss` was made for that.

  Args:
    real_logits: D(x), any shape, floating point; only its shape matters.
    fake_logits: D(G(z)), the same shape.

  Returns:
    The loss per element, negative, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, equation 1.

  >>> import jax.numpy as jnp
  >>> zero = jnp.zeros(2)
  >>> print(minimax_generator_loss(zero, zero).round(3))
  [-0.693 -0.693]
  """
  _, fake, dtype = checks.logits(real_logits, fake_logits)
  return -jax.nn.softplus(fake).astype(dtype)


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
    ValueError: different shapes, empty ones, or a smoothing out of range.

  References:
    Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, equation 1;
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.4.

  >>> import jax.numpy as jnp
  >>> zero = jnp.zeros(2)
  >>> print(non_saturating_discriminator_loss(zero, zero).round(3))
  [1.386 1.386]
  """
  real, fake, dtype = checks.logits(real_logits, fake_logits)
  checks.in_range('label_smoothing', label_smoothing, 0.0, 0.5)
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
    ValueError: different shapes, or empty ones.

  References:
    Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, section 3.

  >>> import jax.numpy as jnp
  >>> zero = jnp.zeros(2)
  >>> print(non_saturating_generator_loss(zero, zero).round(3))
  [0.693 0.693]
  """
  _, fake, dtype = checks.logits(real_logits, fake_logits)
  return jax.nn.softplus(-fake).astype(dtype)


def least_squares_discriminator_loss(
  real_logits: Array, fake_logits: Array
) -> Array:
  r"""Squared distance to the targets 1 on data and 0 on samples.

  .. math:: \tfrac12 (D(x) - 1)^2 + \tfrac12 D(G(z))^2

  Args:
    real_logits: D(x), any shape, floating point; there is no sigmoid.
    fake_logits: D(G(z)), the same shape.

  Returns:
    The loss per element, >= 0, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Mao et al. 2016, https://arxiv.org/abs/1611.04076, equation 2 with a = 0
    and b = 1.

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([1.0, 0.0]), jnp.array([0.0, 3.0])
  >>> print(least_squares_discriminator_loss(real, fake))
  [0. 5.]
  """
  real, fake, dtype = checks.logits(real_logits, fake_logits)
  loss = 0.5 * jnp.square(real - 1.0) + 0.5 * jnp.square(fake)
  return loss.astype(dtype)


def least_squares_generator_loss(
  real_logits: Array, fake_logits: Array
) -> Array:
  r"""The generator's side: squared distance of its samples to the target 1.

  .. math:: \tfrac12 (D(G(z)) - 1)^2

  Args:
    real_logits: D(x), any shape, floating point; only its shape matters.
    fake_logits: D(G(z)), the same shape.

  Returns:
    The loss per element, >= 0, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Mao et al. 2016, https://arxiv.org/abs/1611.04076, equation 2 with c = 1.

  >>> import jax.numpy as jnp
  >>> print(least_squares_generator_loss(jnp.zeros(2), jnp.array([1.0, 3.0])))
  [0. 2.]
  """
  _, fake, dtype = checks.logits(real_logits, fake_logits)
  return (0.5 * jnp.square(fake - 1.0)).astype(dtype)


def hinge_discriminator_loss(real_logits: Array, fake_logits: Array) -> Array:
  r"""Hinge loss: data belong above the margin 1, samples below -1.

  .. math:: \max(0, 1 - D(x)) + \max(0, 1 + D(G(z)))

  On the margins themselves the gradient is 0, as beyond them.

  Args:
    real_logits: D(x), any shape, floating point.
    fake_logits: D(G(z)), the same shape.

  Returns:
    The loss per element, >= 0, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Lim and Ye 2017, https://arxiv.org/abs/1705.02894; Miyato et al. 2018,
    https://arxiv.org/abs/1802.05957, equation 16.

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([0.0, 1.5]), jnp.array([0.0, -0.5])
  >>> print(hinge_discriminator_loss(real, fake))
  [2.  0.5]
  """
  real, fake, dtype = checks.logits(real_logits, fake_logits)
  return (jax.nn.relu(1.0 - real) + jax.nn.relu(1.0 + fake)).astype(dtype)


def hinge_generator_loss(real_logits: Array, fake_logits: Array) -> Array:
  r"""The generator's side of the hinge loss: -D(G(z)), without a margin.

  Args:
    real_logits: D(x), any shape, floating point; only its shape matters.
    fake_logits: D(G(z)), the same shape.

  Returns:
    The loss per element, any real number, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Lim and Ye 2017, https://arxiv.org/abs/1705.02894; Miyato et al. 2018,
    https://arxiv.org/abs/1802.05957, equation 17.

  >>> import jax.numpy as jnp
  >>> print(hinge_generator_loss(jnp.zeros(2), jnp.array([2.0, -1.0])))
  [-2.  1.]
  """
  _, fake, dtype = checks.logits(real_logits, fake_logits)
  return -fake.astype(dtype)


def wasserstein_discriminator_loss(
  real_logits: Array, fake_logits: Array
) -> Array:
  r"""The critic's side of the Wasserstein distance: D(G(z)) - D(x).

  It estimates the distance only for a critic that is Lipschitz: clip its
  weights or use `gan_jax.penalties.gradient_penalty`.

  Args:
    real_logits: D(x), any shape, floating point; unbounded scores.
    fake_logits: D(G(z)), the same shape.

  Returns:
    The loss per element, any real number, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875, algorithm 1.

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([2.0, 0.0]), jnp.array([-1.0, 3.0])
  >>> print(wasserstein_discriminator_loss(real, fake))
  [-3.  3.]
  """
  real, fake, dtype = checks.logits(real_logits, fake_logits)
  return (fake - real).astype(dtype)


def wasserstein_generator_loss(real_logits: Array, fake_logits: Array) -> Array:
  r"""The generator's side of the Wasserstein distance: -D(G(z)).

  Args:
    real_logits: D(x), any shape, floating point; only its shape matters.
    fake_logits: D(G(z)), the same shape.

  Returns:
    The loss per element, any real number, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875, algorithm 1.

  >>> import jax.numpy as jnp
  >>> print(wasserstein_generator_loss(jnp.zeros(2), jnp.array([2.0, -1.0])))
  [-2.  1.]
  """
  _, fake, dtype = checks.logits(real_logits, fake_logits)
  return -fake.astype(dtype)
