"""Discriminator penalties: R1, R2, WGAN-GP, DRAGAN, consistency and LeCam.

All but LeCam take a function `d_fn` from a batch of inputs [B, ...] to logits
[B, ...]. It closes over the discriminator's parameters, by which the caller
differentiates the penalty. Penalties are per row; the caller averages them over
the batch and weights them (gamma, lambda).

A row's logits must depend on that row alone. All rows' input gradients come
from one gradient of the sum of all logits, so batch normalisation in training
mode, or any other batch statistic, would mix in the row's effect on the other
rows' logits. Do not use such layers in a discriminator with these penalties.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gan_jax.core import checks
from gan_jax.core.types import Array

DFn = Callable[[Array], Array]  # inputs [B, ...] to logits [B, ...]


def _logits(d_fn: DFn, x: Array) -> Array:
  """Computes `d_fn`'s logits [B, ...] in at least float32."""
  logits = d_fn(x)
  if not hasattr(logits, 'dtype'):  # asarray would stack a tuple of them
    raise TypeError(
      f'd_fn must return one array of logits, got {type(logits).__name__}; for '
      'a network with several outputs, pass a function that picks the logits'
    )
  logits = checks.floating('d_fn(x)', logits)
  if logits.shape[:1] != x.shape[:1]:
    raise ValueError(
      'd_fn must map inputs [B, ...] to logits [B, ...], '
      f'got {x.shape} and {logits.shape}'
    )
  return logits


def _sum_of_squares(x: Array) -> Array:
  """Computes ||x||^2 of each row, [B]."""
  return jnp.square(x).sum(axis=tuple(range(1, x.ndim)))


def _squared_slope(d_fn: DFn, x: Array) -> Array:
  """Computes ||grad_x sum of a row's logits||^2, [B], in at least float32."""
  slope = jax.grad(lambda x: _logits(d_fn, x).sum())(x)
  return _sum_of_squares(checks.floating('the gradient', slope))


def _slope_off_target(d_fn: DFn, x: Array, target: float) -> Array:
  """Computes (||grad_x sum of a row's logits|| - target)^2, [B]."""
  checks.in_range('target', target, 0.0, math.inf)
  square = _squared_slope(d_fn, x)
  # Both branches of a `where` are differentiated, so neither may see sqrt(0).
  flat = square == 0.0
  norm = jnp.where(flat, 0.0, jnp.sqrt(jnp.where(flat, 1.0, square)))
  return jnp.square(norm - target)


def _batch(name: str, x: Array) -> Array:
  """Returns `x` unchanged; refuses all but batches of floating-point rows."""
  if checks.floating(name, x).ndim < 1:
    raise ValueError(f'{name} must be [B, ...], got a scalar')
  x = jnp.asarray(x)
  checks.not_empty(name, x)
  return x


def _zero_centred(name: str, d_fn: DFn, x: Array) -> Array:
  x = _batch(name, x)
  return (0.5 * _squared_slope(d_fn, x)).astype(x.dtype)


def r1_penalty(d_fn: DFn, real: Array) -> Array:
  r"""Computes the R1 penalty: half the squared input gradient on data.

  .. math:: \tfrac12 \left\|\nabla_x \textstyle\sum_p D(x)_p\right\|^2

  where p runs over the logits of the row, if it has several. The 1/2 is
  included, the weight gamma is not.

  Args:
    d_fn: inputs [B, ...] to logits [B, ...], each row by itself.
    real: x, [B, ...], floating point. `d_fn` gets it uncast; the squares are
      summed in at least float32.

  Returns:
    The penalty per row, [B], >= 0, of the dtype of `real`.

  Raises:
    TypeError: inputs or logits that are not floating point.
    ValueError: a scalar, an empty batch, or logits whose first axis is not B.

  References:
    Mescheder et al. 2018, https://arxiv.org/abs/1801.04406, equation 9.

  >>> import jax.numpy as jnp
  >>> weight = jnp.array([3.0, 4.0])
  >>> print(r1_penalty(lambda x: x @ weight, jnp.zeros((2, 2))))
  [12.5 12.5]
  """
  return _zero_centred('real', d_fn, real)


def r2_penalty(d_fn: DFn, fake: Array) -> Array:
  r"""Computes the R2 penalty: half the squared input gradient on samples.

  .. math:: \tfrac12 \left\|\nabla_x \textstyle\sum_p D(x)_p\right\|^2,
            \quad x = G(z)

  Args:
    d_fn: inputs [B, ...] to logits [B, ...], each row by itself.
    fake: G(z), [B, ...], floating point. `d_fn` gets it uncast; the squares are
      summed in at least float32.

  Returns:
    The penalty per row, [B], >= 0, of the dtype of `fake`.

  Raises:
    TypeError: inputs or logits that are not floating point.
    ValueError: a scalar, an empty batch, or logits whose first axis is not B.

  References:
    Mescheder et al. 2018, https://arxiv.org/abs/1801.04406, equation 10.

  >>> import jax.numpy as jnp
  >>> fake = jnp.array([[1.0], [2.0]])
  >>> print(r2_penalty(lambda x: x**2, fake))
  [2. 8.]
  """
  return _zero_centred('fake', d_fn, fake)


def gradient_penalty(
  d_fn: DFn, real: Array, fake: Array, epsilon: Array, *, target: float = 1.0
) -> Array:
  r"""Computes the WGAN-GP gradient penalty, between data and samples.

  .. math:: \left(\left\|\nabla_{\hat x} \textstyle\sum_p D(\hat x)_p\right\|
            - t\right)^2, \quad
            \hat x = \epsilon\,x + (1 - \epsilon)\,G(z)

  The norm has no gradient where it is 0. It is defined as 0 there, so that a
  critic that is flat somewhere does not turn all parameters into NaN.

  Args:
    d_fn: inputs [B, ...] to logits [B, ...], each row by itself.
    real: x, [B, ...], floating point.
    fake: G(z), the same shape.
    epsilon: interpolation weights, [B], in [0, 1], floating point; one uniform
      number per row in the paper.
    target: t, the target of the norm, >= 0.

  Returns:
    The penalty per row, [B], >= 0, of the dtype of `real` and `fake`.

  Raises:
    TypeError: inputs, epsilon or logits that are not floating point.
    ValueError: `real` and `fake` of different shapes or empty, an epsilon that
      is not [B], a target out of range, or logits whose first axis is not B.

  References:
    Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028, equation 3 and
    algorithm 1.

  >>> import jax.numpy as jnp
  >>> weight, x = jnp.array([3.0, 4.0]), jnp.zeros((2, 2))
  >>> print(gradient_penalty(lambda x: x @ weight, x, x, jnp.zeros(2)))
  [16. 16.]
  """
  real, fake = _batch('real', real), _batch('fake', fake)
  checks.same_shape('real', real, 'fake', fake)
  epsilon = checks.floating('epsilon', epsilon)
  if epsilon.shape != real.shape[:1]:
    raise ValueError(
      f'epsilon must be [B], one number per row of {real.shape}, '
      f'got {epsilon.shape}'
    )
  dtype = checks.result_type(real, fake)
  epsilon = epsilon.reshape(-1, *[1] * (real.ndim - 1))
  between = (epsilon * real + (1.0 - epsilon) * fake).astype(dtype)
  return _slope_off_target(d_fn, between, target).astype(dtype)


def dragan_penalty(
  d_fn: DFn, real: Array, perturbation: Array, *, target: float = 1.0
) -> Array:
  r"""Computes the DRAGAN gradient penalty, on perturbed data.

  .. math:: \left(\left\|\nabla_x \textstyle\sum_p D(x + \delta)_p\right\|
            - t\right)^2

  The paper draws delta from N(0, c I), with one number per pixel. The authors'
  code, which is older, draws 0.5 std(batch) U(0, 1) per pixel, times another
  U(0, 1) per row. As in `gradient_penalty`, the norm's gradient is defined as 0
  where the norm is 0.

  Args:
    d_fn: inputs [B, ...] to logits [B, ...], each row by itself.
    real: x, [B, ...], floating point.
    perturbation: delta, the same shape, floating point.
    target: t, the target of the norm, >= 0.

  Returns:
    The penalty per row, [B], >= 0, of the dtype of `real` and `perturbation`.

  Raises:
    TypeError: inputs or logits that are not floating point.
    ValueError: `real` and `perturbation` of different shapes or empty, a target
      out of range, or logits whose first axis is not B.

  References:
    Kodali et al. 2017, https://arxiv.org/abs/1705.07215.

  >>> import jax.numpy as jnp
  >>> real, delta = jnp.array([[1.0], [2.0]]), jnp.array([[0.5], [-0.5]])
  >>> print(dragan_penalty(lambda x: x**2, real, delta))
  [4. 4.]
  """
  real, perturbation = (
    _batch('real', real),
    _batch('perturbation', perturbation),
  )
  checks.same_shape('real', real, 'perturbation', perturbation)
  around = real + perturbation
  return _slope_off_target(d_fn, around, target).astype(around.dtype)


def consistency_penalty(d_fn: DFn, images: Array, augmented: Array) -> Array:
  r"""Computes the squared change of the logits under augmentation.

  .. math:: \textstyle\sum_p \left(D(x)_p - D(T(x))_p\right)^2

  Consistency regularisation applies it to data; the balanced variant adds it on
  samples, with a separate weight. The gradient flows through both terms of the
  difference.

  Args:
    d_fn: inputs [B, ...] to logits [B, ...].
    images: x, [B, ...], floating point. `d_fn` gets them uncast.
    augmented: T(x), the augmented images, row by row, of the same shape and
      dtype.

  Returns:
    The penalty per row, [B], >= 0, of the dtype of the inputs.

  Raises:
    TypeError: inputs or logits that are not floating point.
    ValueError: inputs of different shapes or empty, or logits whose first axis
      is not B.

  References:
    Zhang et al. 2020, https://arxiv.org/abs/1910.12027, section 2.
    Zhao et al. 2020, https://arxiv.org/abs/2002.04724, balanced consistency
    regularisation.

  >>> import jax.numpy as jnp
  >>> weight, x = jnp.array([3.0, 4.0]), jnp.array([[1.0, 2.0]])
  >>> print(consistency_penalty(lambda x: x @ weight, x, x[:, ::-1]))
  [1.]
  """
  images, augmented = _batch('images', images), _batch('augmented', augmented)
  checks.same_shape('images', images, 'augmented', augmented)
  change = _logits(d_fn, images) - _logits(d_fn, augmented)
  dtype = checks.result_type(images, augmented)
  return _sum_of_squares(change).astype(dtype)


def lecam_penalty(
  real_logits: Array,
  fake_logits: Array,
  real_average: Array | float,
  fake_average: Array | float,
) -> Array:
  r"""Computes the LeCam penalty: squared excess of logits over the anchors.

  .. math:: \max(D(x) - \alpha_F, 0)^2 + \max(\alpha_R - D(G(z)), 0)^2

  where the anchors alpha_R and alpha_F are moving averages of the logits on
  data and on samples. The paper's equation squares both differences whatever
  their sign; this follows the authors' code.

  Args:
    real_logits: D(x), [...], floating point.
    fake_logits: D(G(z)), the same shape.
    real_average: alpha_R, a scalar, from earlier steps.
    fake_average: alpha_F, a scalar, from earlier steps.

  Returns:
    The penalty element by element, of the logits' shape and dtype, >= 0.

  Raises:
    TypeError: logits that are not floating point, or averages that are not
      numbers.
    ValueError: logits of different shapes or empty, or averages that are not
      scalars.

  References:
    Tseng et al. 2021, https://arxiv.org/abs/2104.03310, equation 4 and the
    authors' code.

  >>> import jax.numpy as jnp
  >>> real, fake = jnp.array([2.0, -3.0]), jnp.array([0.0, 4.0])
  >>> print(lecam_penalty(real, fake, 1.0, -1.0))
  [10.  0.]
  """
  real, fake, dtype = checks.logits(real_logits, fake_logits)
  checks.number('real_average', real_average)
  checks.number('fake_average', fake_average)
  beyond = jax.nn.relu(real - fake_average), jax.nn.relu(real_average - fake)
  return (jnp.square(beyond[0]) + jnp.square(beyond[1])).astype(dtype)
