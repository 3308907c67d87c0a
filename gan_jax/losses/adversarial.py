"""Adversarial losses: pairs of functions of (real_logits, fake_logits).

Both members of a pair take both arrays and return element-wise values, of which
the caller takes the mean. So all pairs are interchangeable, including those of
`relativistic`. Where a loss ignores one of the arrays, XLA drops the unused
forward pass.
"""

import jax
import jax.numpy as jnp

from gan_jax.core import checks
from gan_jax.core.types import Array


def minimax_discriminator_loss(
  real_logits: Array, fake_logits: Array, *, label_smoothing: float = 0.0
) -> Array:
  r"""Computes the discriminator's loss of the minimax (original) GAN.

  It equals `non_saturating_discriminator_loss`: the two games differ in the
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
  r"""Computes the generator's loss of the minimax GAN: log(1 - P(real | G(z))).

  .. math:: -\zeta(D(G(z))), \quad \zeta(x) = \log(1 + e^x)

  Its gradient vanishes where the discriminator confidently rejects a sample,
  D(G(z)) far below 0; that of `non_saturating_generator_loss` does not.

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
  r"""Computes the real/fake cross-entropy, with one-sided label smoothing.

  .. math:: (1 - s)\,\zeta(-D(x)) + s\,\zeta(D(x)) + \zeta(D(G(z)))

  with the softplus :math:`\zeta(x) = \log(1 + e^x)`. The target is 1 - s for
  real examples and 0 for fake ones. On real examples, the optimum is at
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
  r"""Computes the non-saturating generator loss: -log P(real | G(z)).

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
  r"""Computes the LSGAN discriminator loss: targets 1 on data, 0 on samples.

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
  r"""Computes the LSGAN generator loss: target 1 on samples.

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
  r"""Computes the discriminator's hinge loss: margins 1 on data, -1 on samples.

  .. math:: \max(0, 1 - D(x)) + \max(0, 1 + D(G(z)))

  The gradient is 0 beyond the margins and on them.

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
  r"""Computes the generator's loss for the hinge loss: -D(G(z)), no margin.

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
  r"""Computes the critic's WGAN loss: D(G(z)) - D(x).

  It estimates the Wasserstein distance only if the critic is Lipschitz: clip
  its weights or use `gan_jax.penalties.gradient_penalty`.

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
  r"""Computes the generator's WGAN loss: -D(G(z)).

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
