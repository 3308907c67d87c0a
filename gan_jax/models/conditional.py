"""Class conditioning, for any network (e.g. https://arxiv.org/abs/1802.05637).

A label is an integer of 0..K - 1, or weights of the K classes: what lies
between two classes has weights of both.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.core.types import Array
from gan_jax.models.layers import BatchNorm


def class_weights(label: Array, num_classes: int) -> Array:
  """Labels, integers [B] or weights of the classes [B, K], as weights."""
  if label.ndim == 2:
    return label
  return jax.nn.one_hot(label, num_classes)


def normalised(
  x: Array,
  label: Array | None,
  num_classes: int,
  axis_name: str | None,
  *,
  train: bool,
  name: str,
) -> Array:
  """BatchNorm, by class if there are any; called in a compact method."""
  if num_classes:
    norm = ConditionalBatchNorm(num_classes, axis_name, name=name)
    return norm(x, label, train=train)
  return BatchNorm(axis_name, name=name)(x, train=train)


def projected(
  logit: Array,
  features: Array,
  label: Array | None,
  num_classes: int,
  apply: Callable[[nn.Module, Array], Array] = lambda layer, x: layer(x),
) -> Array:
  """Adds to D's logits the product of features and the class's embedding.

  Called in a module's compact method, whose layer `embedding` it makes.

  Args:
    logit: [B], of no class.
    features: [B, D], from which it came.
    label: [B] or [B, K], see above.
    num_classes: K; 0 for no class: the logits come back as they are.
    apply: of a layer and its input, e.g. with spectral normalisation.

  References:
    Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637, equation 3; the
    initialisation is that of the authors' code.
  """
  if not num_classes:
    return logit
  layer = nn.Dense(
    features.shape[-1],
    use_bias=False,
    kernel_init=nn.initializers.glorot_uniform(),
    name='embedding',
  )
  weights = class_weights(label, num_classes).astype(features.dtype)
  return logit + jnp.sum(apply(layer, weights) * features, axis=-1)


class ConcatenatedLabel(nn.Module):
  """A generator of z with an embedding of the class beside it.

  Attributes:
    generator: the network, of vectors z_dim + embedding_dim long.
    num_classes: K.
    embedding_dim: numbers of an embedding.

  References:
    Mirza and Osindero 2014, https://arxiv.org/abs/1411.1784; with a linear
    embedding, as R3GAN has it (https://arxiv.org/abs/2501.05441).
  """

  generator: nn.Module
  num_classes: int
  embedding_dim: int

  @nn.compact
  def __call__(self, z: Array, label: Array, *, train: bool) -> Array:
    embed = nn.Dense(self.embedding_dim, use_bias=False, name='embedding')
    embedding = embed(class_weights(label, self.num_classes).astype(z.dtype))
    return self.generator(jnp.concatenate([z, embedding], -1), train=train)


class ConditionalBatchNorm(nn.Module):
  """Batch normalisation whose scale and shift are the class's.

  Attributes:
    num_classes: K.
    axis_name: the mapped axis over which the statistics are, if any.

  References:
    Dumoulin et al. 2017, https://arxiv.org/abs/1610.07629; Miyato and Koyama
    2018, https://arxiv.org/abs/1802.05637, section 4.
  """

  num_classes: int
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: Array, label: Array, *, train: bool) -> Array:
    shape = (self.num_classes, x.shape[-1])
    scale = self.param('scale', nn.initializers.ones, shape)
    bias = self.param('bias', nn.initializers.zeros, shape)
    weights = class_weights(label, self.num_classes).astype(x.dtype)
    norm = BatchNorm(
      self.axis_name, use_scale=False, use_bias=False, name='norm'
    )
    x = norm(x, train=train)
    per_row = (len(x), *[1] * (x.ndim - 2), x.shape[-1])
    scale, bias = ((weights @ p).reshape(per_row) for p in (scale, bias))
    return scale * x + bias
