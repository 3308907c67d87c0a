"""Relativistic losses: is one example more realistic than the other?

They are pairs of functions of (real_logits, fake_logits), as in `adversarial`.
Only differences of logits matter, so the generator's loss needs D(x) too.
"""

import jax

from gan_jax.core import checks, collectives
from gan_jax.core.types import Array, AxisName


def relativistic_discriminator_loss(
  real_logits: Array, fake_logits: Array
) -> Array:
  r"""Computes the relativistic discriminator loss, for pairs of elements.

  .. math:: \zeta(-(D(x) - D(G(z)))), \quad \zeta(x) = \log(1 + e^x)

  It is the cross-entropy of "which of the two is real?". Elements at the same
  index are paired.

  Args:
    real_logits: D(x), any shape, floating point; only differences matter.
    fake_logits: D(G(z)), the same shape.

  Returns:
    The loss per pair, positive, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Jolicoeur-Martineau 2018, https://arxiv.org/abs/1807.00734, section 4 (the
    relativistic standard GAN); Huang et al. 2024,
    https://arxiv.org/abs/2501.05441, section 2 (with R1 and R2: R3GAN).

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([7.0, 1.0]), jnp.array([7.0, -1.0])
  >>> print(relativistic_discriminator_loss(real, fake).round(3))
  [0.693 0.127]
  """
  real, fake, dtype = checks.logits(real_logits, fake_logits)
  return jax.nn.softplus(fake - real).astype(dtype)


def relativistic_generator_loss(
  real_logits: Array, fake_logits: Array
) -> Array:
  r"""Computes the relativistic generator loss, for pairs of elements.

  .. math:: \zeta(-(D(G(z)) - D(x))), \quad \zeta(x) = \log(1 + e^x)

  Args:
    real_logits: D(x), any shape, floating point; only differences matter.
    fake_logits: D(G(z)), the same shape.

  Returns:
    The loss per pair, positive, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    See `relativistic_discriminator_loss`.

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([7.0, 1.0]), jnp.array([7.0, -1.0])
  >>> print(relativistic_generator_loss(real, fake).round(3))
  [0.693 2.127]
  """
  real, fake, dtype = checks.logits(real_logits, fake_logits)
  return jax.nn.softplus(real - fake).astype(dtype)


def _above_average(
  real: Array, fake: Array, axis_name: AxisName | None
) -> tuple[Array, Array]:
  """Subtracts from D(x) and D(G(z)) each other's mean over the whole batch."""
  real_mean = collectives.pmean(real.mean(), axis_name)
  fake_mean = collectives.pmean(fake.mean(), axis_name)
  return real - fake_mean, fake - real_mean


def relativistic_average_discriminator_loss(
  real_logits: Array, fake_logits: Array, *, axis_name: AxisName | None = None
) -> Array:
  r"""Computes the relativistic average discriminator loss.

  .. math:: \zeta(-(D(x) - \mathbb E_z D(G(z))))
            + \zeta(D(G(z)) - \mathbb E_x D(x)),
            \quad \zeta(x) = \log(1 + e^x)

  It is the cross-entropy of "more realistic than the average of the others?".
  The averages are over all elements of the batch, and the gradient flows
  through them.

  Args:
    real_logits: D(x), any shape, floating point; only differences matter.
    fake_logits: D(G(z)), the same shape.
    axis_name: a mapped axis over which the batch is split, if any. The
      averages are over the whole batch.

  Returns:
    The loss per element, positive, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Jolicoeur-Martineau 2018, https://arxiv.org/abs/1807.00734, section 4 (the
    relativistic average standard GAN).

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([1.0, 3.0]), jnp.array([2.0, 2.0])
  >>> loss = relativistic_average_discriminator_loss(real, fake)
  >>> print(loss.round(3))
  [2.006 1.006]
  """
  real, fake, dtype = checks.logits(real_logits, fake_logits)
  real, fake = _above_average(real, fake, axis_name)
  return (jax.nn.softplus(-real) + jax.nn.softplus(fake)).astype(dtype)


def relativistic_average_generator_loss(
  real_logits: Array, fake_logits: Array, *, axis_name: AxisName | None = None
) -> Array:
  r"""Computes the relativistic average generator loss.

  It is the discriminator's with data and samples exchanged.

  .. math:: \zeta(D(x) - \mathbb E_z D(G(z)))
            + \zeta(-(D(G(z)) - \mathbb E_x D(x))),
            \quad \zeta(x) = \log(1 + e^x)

  Args:
    real_logits: D(x), any shape, floating point; only differences matter.
    fake_logits: D(G(z)), the same shape.
    axis_name: a mapped axis over which the batch is split, if any. The
      averages are over the whole batch.

  Returns:
    The loss per element, positive, of the logits' shape and dtype.

  Raises:
    TypeError: logits that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    See `relativistic_average_discriminator_loss`.

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([1.0, 3.0]), jnp.array([2.0, 2.0])
  >>> print(relativistic_average_generator_loss(real, fake).round(3))
  [1.006 2.006]
  """
  real, fake, dtype = checks.logits(real_logits, fake_logits)
  real, fake = _above_average(real, fake, axis_name)
  return (jax.nn.softplus(real) + jax.nn.softplus(-fake)).astype(dtype)
