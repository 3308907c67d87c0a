"""Schedules of moving averages.

Each is a function of the number of updates so far, from 0, and returns the
share of the new value in the average, 1 - decay, for
`optax.incremental_update(new, average, share)`. It returns shares since
float32 is precise near 0, to which they fall, but not near 1, to which decays
rise.
"""

import math

import jax
import jax.numpy as jnp

from gan_jax.core import checks
from gan_jax.core.types import Array


def _count(step: Array | int) -> Array:
  step = jnp.asarray(step)
  if not jnp.issubdtype(step.dtype, jnp.integer):
    raise TypeError(f'step must be an integer, got {step.dtype}')
  if not isinstance(step, jax.core.Tracer) and (step < 0).any():
    raise ValueError(f'step must be >= 0, got {step}')
  return step


def debiased_share(step: Array | int, decay: float) -> Array:
  r"""Computes the share of an exponential average with Adam's bias correction.

  .. math:: \frac{1 - d}{1 - d^{\,t + 1}}

  The first value counts in full, so the initial average does not matter. The
  decay is rounded to float32 before it is raised to the power: the first shares
  may have a relative error of 1e-7 / (1 - d), and may exceed 1.

  Args:
    step: t, the number of updates before this one, an integer >= 0.
    decay: d, in [0, 1).

  Returns:
    The share of the new value, in (0, 1] up to that error; 1 at step 0.

  Raises:
    TypeError: a step that is not an integer.
    ValueError: a negative step, or a decay out of range.

  References:
    Kingma & Ba 2015, https://arxiv.org/abs/1412.6980, section 3.

  >>> print(debiased_share(0, 0.5), f'{debiased_share(1, 0.5):.3f}')
  1.0 0.667
  """
  checks.in_range('decay', decay, 0.0, 1.0)
  return (1.0 - decay) / (1.0 - decay ** (_count(step).astype(float) + 1.0))


def warmup_share(step: Array | int, decay: float) -> Array:
  r"""Computes the share of an exponential average with TensorFlow's warm-up.

  .. math:: 1 - \min\left(d, \frac{1 + t}{10 + t}\right)

  The memory is shorter at first: the initial average has a weight of 1/10 after
  the first update, if d is no less.

  Args:
    step: t, the number of updates before this one, an integer >= 0.
    decay: d, in [0, 1).

  Returns:
    The share of the new value, in (0, max(0.9, 1 - d)].

  Raises:
    TypeError: a step that is not an integer.
    ValueError: a negative step, or a decay out of range.

  References:
    `num_updates` of `tf.train.ExponentialMovingAverage`,
    https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage

  >>> print(warmup_share(0, 0.5), warmup_share(100, 0.5))
  0.9 0.5
  """
  checks.in_range('decay', decay, 0.0, 1.0)
  return jnp.maximum(1.0 - decay, 9.0 / (10.0 + _count(step).astype(float)))


def half_life_share(
  step: Array | int,
  *,
  batch_size: int,
  half_life: float,
  ramp_up: float | None = None,
) -> Array:
  r"""Computes the share of an exponential average with a half-life in images.

  .. math:: 1 - 2^{-B / h}, \quad h = \min(H, r\,B\,t)

  A value's weight halves with every h images that follow. Under a ramp-up, h
  grows with the B t images seen, and the first value counts in full; without
  one, h = H and the initial average fades like any other value.

  Args:
    step: t, the number of updates before this one, an integer >= 0.
    batch_size: B, images per update over all devices, > 0.
    half_life: H, in images, > 0.
    ramp_up: r, > 0, or None; 0.05 in the authors' code.

  Returns:
    The share of the new value, in (0, 1]; 1 at step 0 under a ramp-up.

  Raises:
    TypeError: a step that is not an integer.
    ValueError: a negative step, or a batch size, half-life or ramp-up that is
      not positive.

  References:
    Karras et al. 2020, https://arxiv.org/abs/2006.06676, and Karras et al.
    2022, https://arxiv.org/abs/2206.00364, the authors' code.

  >>> print(half_life_share(9, batch_size=64, half_life=64))
  0.5
  >>> for step in (0, 4, 100):
  ...   share = half_life_share(step, batch_size=8, half_life=16, ramp_up=0.25)
  ...   print(f'{share:.4f}')
  1.0000
  0.5000
  0.2929
  """
  checks.positive('batch_size', batch_size)
  checks.positive('half_life', half_life)
  step = _count(step).astype(float)
  halvings = jnp.full_like(step, batch_size / half_life)  # B / h
  if ramp_up is not None:
    checks.positive('ramp_up', ramp_up)
    halvings = jnp.maximum(halvings, 1.0 / (ramp_up * step))  # inf at step 0
  return -jnp.expm1(-math.log(2.0) * halvings)


def power_share(step: Array | int, gamma: float) -> Array:
  r"""Computes the share of a power-function average, whose memory grows.

  .. math:: 1 - \left(1 - \frac1{t + 1}\right)^{\gamma + 1}

  A value's weight grows as the gamma-th power of its step. With gamma = 0 the
  average is the plain mean of all values so far.

  Args:
    step: t, the number of updates before this one, an integer >= 0.
    gamma: the power, >= 0.

  Returns:
    The share of the new value, in (0, 1]; 1 at step 0.

  Raises:
    TypeError: a step that is not an integer.
    ValueError: a negative step, or a gamma out of range.

  References:
    Karras et al. 2024, https://arxiv.org/abs/2312.02696, section 3.1 and
    equation 127.

  >>> print(power_share(0, 0.0), f'{power_share(3, 0.0):.4f}')
  1.0 0.2500
  """
  checks.in_range('gamma', gamma, 0.0, math.inf)
  step = _count(step).astype(float)
  return -jnp.expm1((gamma + 1.0) * jnp.log1p(-1.0 / (step + 1.0)))
