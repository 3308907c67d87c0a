"""Projection heads of CUT, which embed patch features for the PatchNCE loss."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.core.types import Array
from gan_jax.models.layers import kernel_init


class PatchHeads(nn.Module):
  """Projection heads for patch features, one per encoder layer.

  A head has two dense layers with ReLU between them, then L2 normalisation
  (Park et al. 2020, https://arxiv.org/abs/2007.15651, section 3).

  Attributes:
    features: units of both layers, 256 in the paper.
    initializer: the kernels' initialiser; see `layers.kernel_init`.
    init_gain: its gain.
  """

  features: int
  initializer: str = 'xavier'
  init_gain: float = 0.02

  @nn.compact
  def __call__(self, *patches: Array, train: bool) -> Sequence[Array]:
    """Maps each layer's patches [B, P, C] to [B, P, features] of length 1."""
    del train  # training and evaluation are the same
    init = kernel_init(self.initializer, self.init_gain)
    out = []
    for i, x in enumerate(patches, start=1):
      x = nn.Dense(self.features, kernel_init=init, name=f'dense{i}_1')(x)
      x = jax.nn.relu(x)
      x = nn.Dense(self.features, kernel_init=init, name=f'dense{i}_2')(x)
      # The epsilon is the authors'; without it a row of zeros has no gradient.
      length = jnp.sqrt(jnp.square(x).sum(axis=-1, keepdims=True) + 1e-14)
      out.append(x / length)
    return out
