"""Losses that compare an image with the one that it should be."""

import jax.numpy as jnp

from gan_jax.losses import _checks
from gan_jax.types import Array


def l1_loss(output: Array, target: Array) -> Array:
  r"""The absolute difference.

  .. math:: |y - t|

  pix2pix's reconstruction term compares G's output with the other half of its
  pair, CycleGAN's cycle consistency G_b2a(G_a2b(a)) with a, and its identity
  term G_b2a(a) with a.

  Args:
    output: images of any shape, floating point.
    target: of the same shape.

  Returns:
    Element-wise values of the inputs' dtype; the mean is the caller's.

  Raises:
    TypeError: images that are not floating point.
    ValueError: other shapes, or empty ones.

  References:
    Isola et al. 2017, https://arxiv.org/abs/1611.07004, equation 3.
    Zhu et al. 2017, https://arxiv.org/abs/1703.10593, equation 2.

  >>> import jax.numpy as jnp
  >>> print(l1_loss(jnp.array([1.0, -1.0]), jnp.array([0.5, 1.0])))
  [0.5 2. ]
  """
  dtype = _checks.result_type(output, target)
  output = _checks.floating('output', output)
  target = _checks.floating('target', target)
  _checks.same_shape('output', output, 'target', target)
  _checks.not_empty('output', output)
  return jnp.abs(output - target).astype(dtype)
