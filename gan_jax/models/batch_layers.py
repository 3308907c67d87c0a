"""Minibatch discrimination and virtual batch normalisation.

Both layers, from Salimans et al. 2016, relate an example to others: the first
to the rest of its batch, the second to a fixed reference batch.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from gan_jax.core import checks
from gan_jax.core.types import Array, AxisName


def _wide(name: str, x: Array) -> Array:
  """Returns `x` in at least float32; refuses integers and empty batches."""
  x = checks.floating(name, x)
  checks.not_empty(name, x)
  return x


class MinibatchDiscrimination(nn.Module):
  r"""Minibatch discrimination: appends an example's closeness to its batch.

  A generator that keeps producing similar samples is then easily told from
  data.

  .. math:: M_i = f(x_i)\,T \in \mathbb R^{B \times C}, \quad
            o(x_i)_b = \sum_j \exp(-\|M_{i,b} - M_{j,b}\|_1), \quad
            [f(x_i), o(x_i)]

  As in the paper, the sum includes j = i, which adds 1. The authors' code
  leaves it out, adds a bias to each :math:`o_b` that starts at -1, normalises
  the weights of T with a learned scale, and initialises scale and bias from
  data.

  Call it on data and on samples separately, as the paper does: in one batch,
  data would be compared with samples. An output depends on all rows, so a
  discriminator with one of `gan_jax.penalties` must not have this layer.

  Attributes:
    num_kernels: B, the number of features added.
    kernel_dim: C, the dimension in which distances are measured.
    axis_name: a mapped axis over which the batch is split, if any. The sum is
      over the whole batch.

  Called with the features f(x), [B, F], floating point, it returns
  [B, F + num_kernels] in their dtype.

  Raises:
    TypeError: features that are not floating point.
    ValueError: features that are empty or not [B, F], or no kernel.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.2.

  >>> import jax.numpy as jnp
  >>> layer = MinibatchDiscrimination(num_kernels=1, kernel_dim=2)
  >>> params = {'kernel': jnp.ones((1, 1, 2))}
  >>> print(layer.apply({'params': params}, jnp.array([[0.0], [0.5]])).round(3))
  [[0.    1.368]
   [0.5   1.368]]
  """

  num_kernels: int
  kernel_dim: int
  axis_name: AxisName | None = None

  @nn.compact
  def __call__(self, features: Array) -> Array:
    x = _wide('features', features)
    if x.ndim != 2:
      raise ValueError(f'features must be [B, F], got {x.shape}')
    if min(self.num_kernels, self.kernel_dim) < 1:
      raise ValueError(
        'num_kernels and kernel_dim must be positive, got '
        f'{self.num_kernels} and {self.kernel_dim}'
      )
    kernel = self.param(
      'kernel',
      nn.initializers.lecun_normal(in_axis=0, out_axis=(1, 2)),
      (x.shape[1], self.num_kernels, self.kernel_dim),
    )
    rows = jnp.tensordot(x, kernel.astype(x.dtype), 1)
    others = rows
    # Like flax's BatchNorm, it can be initialised outside of the mapped axis.
    if self.axis_name is not None and not self.is_initializing():
      others = lax.all_gather(rows, self.axis_name, tiled=True)
    distance = jnp.abs(rows[:, None] - others[None]).sum(axis=-1)
    closeness = jnp.exp(-distance).sum(axis=1)
    return jnp.concatenate([x, closeness], axis=-1).astype(features.dtype)


class VirtualBatchNorm(nn.Module):
  r"""Virtual batch normalisation: by a reference batch and the example itself.

  .. math:: \mu = \frac{R\,\mu_{ref} + \mu_x}{R + 1}, \quad
            s = \frac{R\,s_{ref} + s_x}{R + 1}, \quad
            y = \gamma\,\frac{x - \mu}{\sqrt{s - \mu^2 + \epsilon}} + \beta

  with the means :math:`\mu` and the mean squares s of each channel, over the
  pixels of all R examples of the reference batch, and over those of the one
  example. So the example counts as one of R + 1.

  The reference batch passes through the network along with x, layer by layer,
  and is normalised by its own statistics only. Choose it from the data once,
  before training.

  A row of y depends on that row and the reference batch, not on the rest of its
  batch. So the layer has no state, is the same in training and evaluation,
  needs nothing from other devices, and works with `gan_jax.penalties`.

  Attributes:
    epsilon: added to the variance.

  Called with x [B, ..., C] and reference [R, ..., C], floating point and of the
  same trailing shape, it returns both normalised, each in its dtype.

  Raises:
    TypeError: inputs that are not floating point.
    ValueError: inputs with fewer than two axes or different trailing shapes, or
      empty ones.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.5.

  >>> import jax.numpy as jnp
  >>> x, reference = jnp.array([[2.0]]), jnp.array([[0.0], [1.0]])
  >>> params = {'scale': jnp.ones(1), 'bias': jnp.zeros(1)}
  >>> y, _ = VirtualBatchNorm().apply({'params': params}, x, reference)
  >>> print(y.round(3))
  [[1.225]]
  """

  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: Array, reference: Array) -> tuple[Array, Array]:
    dtypes = jnp.asarray(x).dtype, jnp.asarray(reference).dtype
    x, reference = _wide('x', x), _wide('reference', reference)
    if x.shape[1:] != reference.shape[1:] or x.ndim < 2:
      raise ValueError(
        'x and reference must be [B, ..., C] and agree in all but the batch, '
        f'got {x.shape} and {reference.shape}'
      )
    scale = self.param('scale', nn.initializers.ones, x.shape[-1:])
    bias = self.param('bias', nn.initializers.zeros, x.shape[-1:])

    def normalise(x: Array, mean: Array, variance: Array) -> Array:
      return (x - mean) * lax.rsqrt(variance + self.epsilon) * scale + bias

    axes = tuple(range(x.ndim - 1))
    reference_mean = reference.mean(axis=axes)
    reference_variance = reference.var(axis=axes)
    own_mean = x.mean(axis=axes[1:], keepdims=True)
    own_variance = x.var(axis=axes[1:], keepdims=True)
    share = 1.0 / (len(reference) + 1)
    distance = own_mean - reference_mean
    mean = reference_mean + share * distance
    # This is s - mean^2 without cancellation.
    variance = (
      (1.0 - share) * reference_variance
      + share * own_variance
      + share * (1.0 - share) * jnp.square(distance)
    )
    return (
      normalise(x, mean, variance).astype(dtypes[0]),
      normalise(reference, reference_mean, reference_variance).astype(
        dtypes[1]
      ),
    )
