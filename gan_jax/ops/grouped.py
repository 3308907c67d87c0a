"""Grouped convolutions, differentiable any number of times."""

import jax.numpy as jnp
from jax import lax

from gan_jax.core.types import Array


def grouped_conv(x: Array, kernel: Array, num_groups: int) -> Array:
  """Convolution at stride 1, padded to the same size, by groups of channels.

  On the CPU it is a product of matrices for each tap, batched over the groups:
  XLA's CPU backend has no fast grouped convolution, and none at all for its
  kernel's gradient.

  Args:
    x: images [B, H, W, C].
    kernel: [h, w, C / G, D], odd h and w: the first D / G outputs are of the
      first C / G inputs, and so on.
    num_groups: G, a divisor of C and of D.

  Returns:
    Images [B, H, W, D].

  Raises:
    ValueError: shapes that do not fit.
  """
  channels, features = x.shape[-1], kernel.shape[-1]
  fits = channels == num_groups * kernel.shape[2] and not features % num_groups
  if x.ndim != 4 or kernel.ndim != 4 or not fits:
    raise ValueError(
      f'want images [B, H, W, C] and a kernel [h, w, C / G, D] for '
      f'{num_groups} groups, not {x.shape} and {kernel.shape}'
    )
  if not kernel.shape[0] % 2 or not kernel.shape[1] % 2:
    raise ValueError(f'want a kernel of odd size, not {kernel.shape[:2]}')

  def by_taps(x, kernel):
    (height, width), (rows, columns) = x.shape[1:3], kernel.shape[:2]
    groups = x.reshape(*x.shape[:3], num_groups, -1)
    pads = [(0, 0), (rows // 2,) * 2, (columns // 2,) * 2, (0, 0), (0, 0)]
    groups = jnp.pad(groups, pads)
    kernel = kernel.reshape(*kernel.shape[:3], num_groups, -1)
    total = sum(
      jnp.einsum(
        'bhwgi,igo->bhwgo', groups[:, i : i + height, j : j + width],
        kernel[i, j],
      )
      for i in range(rows)
      for j in range(columns)
    )  # fmt: skip
    return total.reshape(*x.shape[:3], features)

  def as_one(x, kernel):
    return lax.conv_general_dilated(
      x,
      kernel,
      (1, 1),
      'SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      feature_group_count=num_groups,
    )

  return lax.platform_dependent(x, kernel, cpu=by_taps, default=as_one)
