"""Penalties on a discriminator: on its slope, its constancy, its logits.

Those on slope and constancy know a function `d_fn` from a batch of inputs
[B, ...] to logits [B, ...], not its parameters: close over those, and
differentiate the penalty with respect to them. The values come per row; the
mean over the batch and the weight (gamma, lambda) are the caller's.

A row's logits must depend on that row alone. All rows' slopes come from one
gradient of the sum of all logits, and batch normalisation in training mode, or
any other statistic of the batch, would mix into each what a row does to the
others' logits: a discriminator under such a penalty has no such layer.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gan_jax.core import checks
from gan_jax.core.types import Array

DFn = Callable[[Array], Array]  # inputs [B, ...] to logits [B, ...]


def _logits(d_fn: DFn, x: Array) -> Array:
  """`d_fn`'s logits [B, ...] in at least float32."""
  logits = d_fn(x)
  if not hasattr(logits, 'dtype'):  # asarray would stack a tuple of them
    raise TypeError(
      f'd_fn must return one array of logits, got {type(logits).__name__}; of '
      'a network with several outputs, give a function that picks the logits'
    )
  logits = checks.floating('d_fn(x)', logits)
  if logits.shape[:1] != x.shape[:1]:
    raise ValueError(
      'd_fn must map inputs [B, ...] to logits [B, ...], '
      f'got {x.shape} and {logits.shape}'
    )
  return logits


def _sum_of_squares(x: Array) -> Array:
  """||x||^2 of each row, [B]."""
  return jnp.square(x).sum(axis=tuple(range(1, x.ndim)))


def _squared_slope(d_fn: DFn, x: Array) -> Array:
  """||grad_x sum of a row's logits||^2, [B], in at least float32."""
  slope = jax.grad(lambda x: _logits(d_fn, x).sum())(x)
  return _sum_of_squares(checks.floating('the gradient', slope))


def _slope_off_target(d_fn: DFn, x: Array, target: float) -> Array:
  """(||grad_x sum of a row's logits|| - target)^2, [B], likewise."""
  checks.in_range('target', target, 0.0, math.inf)
  square = _squared_slope(d_fn, x)
  # Both branches of a `where` are differentiated: neither may see sqrt(0).
  flat = square == 0.0
  norm = jnp.where(flat, 0.0, jnp.sqrt(jnp.where(flat, 1.0, square)))
  return jnp.square(norm - target)


def _batch(name: str, x: Array) -> Array:
  """`x` as given, or an error if it is not a batch of floating-point rows."""
  if checks.floating(name, x).ndim < 1:
    raise ValueError(f'{name} must be [B, ...], got a scalar')
  x = jnp.asarray(x)
  checks.not_empty(name, x)
  return x


def _zero_centred(name: str, d_fn: DFn, x: Array) -> Array:
  x = _batch(name, x)
  return (0.5 * _squared_slope(d_fn, x)).astype(x.dtype)


def r1_penalty(d_fn: DFn, real: Array) -> Array:
  r"""Half the squared slope of the discriminator on data.

  .. math:: \tfrac12 \left\|\nabla_x \textstyle\sum_p D(x)_p\right\|^2

  where p runs over the logits of the row, if it has several. The weight gamma
  is the caller's, the 1/2 is in here.

  Args:
    d_fn: inputs [B, ...] to logits [B, ...], each row by itself.
    real: x, [B, ...], floating point. `d_fn` is called with it as it is; the
      squares are added in at least float32.

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
  r"""Half the squared slope of the discriminator on samples.

  .. math:: \tfrac12 \left\|\nabla_x \textstyle\sum_p D(x)_p\right\|^2,
            \quad x = G(z)

  Args:
    d_fn: inputs [B, ...] to logits [B, ...], each row by itself.
    fake: G(z), [B, ...], floating point. `d_fn` is called with it as it is; the
      squares are added in at least float32.

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
  r"""Squared distance of the critic's slope between data and samples to 1.

  .. math:: \left(\left\|\nabla_{\hat x} \textstyle\sum_p D(\hat x)_p\right\|
            - t\right)^2, \quad
            \hat x = \epsilon\,x + (1 - \epsilon)\,G(z)

  The norm has no gradient where it is 0; here it is taken to be 0, so that a
  critic that is flat somewhere does not turn all parameters into NaN.

  Args:
    d_fn: inputs [B, ...] to logits [B, ...], each row by itself.
    real: x, [B, ...], floating point.
    fake: G(z), the same shape.
    epsilon: where between the two, [B], in [0, 1], floating point: one uniform
      number per row in the paper.
    target: the wanted norm t, >= 0.

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
  r"""Squared distance of the discriminator's slope around data to 1.

  .. math:: \left(\left\|\nabla_x \textstyle\sum_p D(x + \delta)_p\right\|
            - t\right)^2

  The paper draws delta from N(0, c I), with one number per pixel. The authors'
  code, which is older, draws 0.5 std(batch) U(0, 1) per pixel, times another
  U(0, 1) per row. As in `gradient_penalty`, the norm's gradient is taken to be
  0 where the norm is.

  Args:
    d_fn: inputs [B, ...] to logits [B, ...], each row by itself.
    real: x, [B, ...], floating point.
    perturbation: delta, the same shape, floating point.
    target: the wanted norm t, >= 0.

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
  r"""Squared change of the discriminator's logits under augmentation.

  .. math:: \textstyle\sum_p \left(D(x)_p - D(T(x))_p\right)^2

  Consistency regularisation applies it to data; the balanced variant adds it,
  with a weight of its own, on samples. The discriminator learns from both
  terms of the difference.

  Args:
    d_fn: inputs [B, ...] to logits [B, ...].
    images: x, [B, ...], floating point. `d_fn` is called with them as they are.
    augmented: T(x), the same shape and dtype, row by row the augmented images.

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
  r"""LeCam regularisation: how far logits are beyond the others' average.

  .. math:: \max(D(x) - \alpha_F, 0)^2 + \max(\alpha_R - D(G(z)), 0)^2

  where the anchors alpha_R and alpha_F are moving averages of the logits on
  data and on samples. The paper's equation squares both differences whatever
  their sign; this is what the authors' code computes.

  Args:
    real_logits: D(x), [...], floating point.
    fake_logits: D(G(z)), the same shape.
    real_average: alpha_R, a scalar, from earlier steps.
    fake_average: alpha_F, likewise.

  Returns:
    The penalty element by element, of the logits' shape and dtype, >= 0.

  Raises:
    TypeError: logits that are not floating point, averages that are no numbers.
    ValueError: logits of different shapes or empty, averages that are no
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
