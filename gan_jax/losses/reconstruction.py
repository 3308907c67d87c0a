"""Reconstruction losses: L1, cycle consistency and identity."""

import jax.numpy as jnp

from gan_jax.core import checks, collectives
from gan_jax.core.types import Array, AxisName


def _absolute_difference(
  output_name: str, output: Array, target_name: str, target: Array
) -> Array:
  """Computes |output - target| in at least float32."""
  output = checks.floating(output_name, output)
  target = checks.floating(target_name, target)
  checks.same_shape(output_name, output, target_name, target)
  checks.not_empty(output_name, output)
  return jnp.abs(output - target)


def l1_loss(output: Array, target: Array) -> Array:
  r"""Computes the absolute difference, element by element.

  .. math:: |y - t|

  In pix2pix, it compares G's output with the paired image.

  Args:
    output: images of any shape, floating point.
    target: images of the same shape.

  Returns:
    Element-wise values of the inputs' dtype; the caller takes the mean.

  Raises:
    TypeError: images that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Isola et al. 2017, https://arxiv.org/abs/1611.07004, equation 3.

  >>> import jax.numpy as jnp
  >>> print(l1_loss(jnp.array([1.0, -1.0]), jnp.array([0.5, 1.0])))
  [0.5 2. ]
  """
  dtype = checks.result_type(output, target)
  return _absolute_difference('output', output, 'target', target).astype(dtype)


def cycle_consistency_loss(
  a: Array,
  a2b2a: Array,
  b: Array,
  b2a2b: Array,
  *,
  axis_name: AxisName | None = None,
) -> Array:
  r"""Computes the cycle-consistency loss: L1 of images to reconstructions.

  .. math:: \mathbb E_a |G_{ba}(G_{ab}(a)) - a|
            + \mathbb E_b |G_{ab}(G_{ba}(b)) - b|

  The paper's norm is a sum over an image's pixels; here it is their mean, as in
  the authors' code.

  Args:
    a: images of one domain, [B, ...], floating point.
    a2b2a: `a` translated there and back, of the same shape.
    b: images of the other domain, [B', ...], possibly of another shape.
    b2a2b: `b` translated there and back, of the same shape.
    axis_name: a mapped axis over which the batch is split, if any. The means
      are over the whole batch.

  Returns:
    A scalar of the images' dtype.

  Raises:
    TypeError: images that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Zhu et al. 2017, https://arxiv.org/abs/1703.10593, equation 2.

  >>> import jax.numpy as jnp
  >>> a, b = jnp.array([[1., 0.]]), jnp.array([[-1.]])
  >>> print(cycle_consistency_loss(a, a + 0.5, b, b - 0.25))
  0.75
  """
  dtype = checks.result_type(a, a2b2a, b, b2a2b)
  of_a = _absolute_difference('a2b2a', a2b2a, 'a', a).mean()
  of_b = _absolute_difference('b2a2b', b2a2b, 'b', b).mean()
  return collectives.pmean(of_a + of_b, axis_name).astype(dtype)


def identity_loss(
  a: Array,
  a_by_b2a: Array,
  b: Array,
  b_by_a2b: Array,
  *,
  axis_name: AxisName | None = None,
) -> Array:
  r"""Computes the identity loss: L1 of target-domain images to G's outputs.

  .. math:: \mathbb E_a |G_{ba}(a) - a| + \mathbb E_b |G_{ab}(b) - b|

  The paper's norm is a sum over an image's pixels; here it is their mean, as in
  the authors' code.

  Args:
    a: images of one domain, [B, ...], floating point.
    a_by_b2a: the output of the generator into that domain on `a`, of the same
      shape.
    b: images of the other domain, [B', ...], possibly of another shape.
    b_by_a2b: the output of the generator into that domain on `b`, of the same
      shape.
    axis_name: a mapped axis over which the batch is split, if any. The means
      are over the whole batch.

  Returns:
    A scalar of the images' dtype.

  Raises:
    TypeError: images that are not floating point.
    ValueError: different shapes, or empty ones.

  References:
    Zhu et al. 2017, https://arxiv.org/abs/1703.10593, section 5.2.

  >>> import jax.numpy as jnp
  >>> a, b = jnp.array([[1., 0.]]), jnp.array([[-1.]])
  >>> print(identity_loss(a, a + 0.5, b, b))
  0.5
  """
  dtype = checks.result_type(a, a_by_b2a, b, b_by_a2b)
  of_a = _absolute_difference('a_by_b2a', a_by_b2a, 'a', a).mean()
  of_b = _absolute_difference('b_by_a2b', b_by_a2b, 'b', b).mean()
  return collectives.pmean(of_a + of_b, axis_name).astype(dtype)
