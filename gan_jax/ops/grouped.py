"""Grouped convolutions, differentiable any number of times."""

import jax.numpy as jnp
from jax import lax

from gan_jax.core.types import Array
from gan_jax.ops.convolution import conv
from gan_jax.ops.geometry import pad

# The most groups in one convolution on the CPU: with more, the products with 0
# take longer than another convolution.
_GROUPS = 8


def grouped_conv(x: Array, kernel: Array, num_groups: int) -> Array:
  """Computes a grouped convolution, stride 1, padding SAME.

  On the CPU it is a dense convolution with zeros between the groups: XLA's CPU
  backend runs grouped convolutions far slower than their number of products
  suggests, and cannot run their kernel gradient at all. With one channel per
  group (a depthwise convolution), it is a sum of element-wise products instead.

  Args:
    x: images [B, H, W, C].
    kernel: [h, w, C / G, D], odd h and w; the first D / G outputs depend on the
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
    x = jnp.repeat(x, features // channels, axis=-1)
    x = pad(x, [(rows // 2,) * 2, (columns // 2,) * 2])
    return sum(
      x[:, i : i + height, j : j + width] * kernel[i, j]
      for i in range(rows)
      for j in range(columns)
    )

  def by_blocks(x, kernel):
    num = max(n for n in range(1, _GROUPS + 1) if num_groups % n == 0)
    parts = num_groups // num
    xs, kernels = (jnp.split(a, parts, axis=-1) for a in (x, kernel))
    pairs = zip(xs, kernels, strict=True)
    return jnp.concatenate(
      [conv(x, _block_diagonal(kernel, num)) for x, kernel in pairs], axis=-1
    )

  def as_one(x, kernel):
    return lax.conv_general_dilated(
      x,
      kernel,
      (1, 1),
      'SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      feature_group_count=num_groups,
    )

  cpu = by_taps if channels == num_groups else by_blocks
  return lax.platform_dependent(x, kernel, cpu=cpu, default=as_one)


def _block_diagonal(kernel: Array, num_groups: int) -> Array:
  """Converts a grouped kernel [h, w, C / G, D] to a dense one, [h, w, C, D]."""
  *size, channels, features = kernel.shape
  of_group = jnp.repeat(jnp.eye(num_groups), features // num_groups, axis=-1)
  full = kernel[:, :, None] * of_group[:, None].astype(kernel.dtype)
  return full.reshape(*size, num_groups * channels, features)
