"""Class conditioning, for any network (e.g. https://arxiv.org/abs/1802.05637).

A label is an integer in 0..K - 1, or a vector of K class weights, with which
classes can be interpolated.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.core.types import Array
from gan_jax.models.layers import BatchNorm


def class_weights(label: Array, num_classes: int) -> Array:
  """Converts labels, integers [B] or class weights [B, K], to weights."""
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
  momentum: float = 0.99,
) -> Array:
  """Applies BatchNorm, conditional on the class if there are any.

  Call it in a compact method, in which it creates the layer `name`.
  """
  if num_classes:
    norm = ConditionalBatchNorm(num_classes, axis_name, momentum, name=name)
    return norm(x, label, train=train)
  return BatchNorm(axis_name, momentum, name=name)(x, train=train)


def projected(
  logit: Array,
  features: Array,
  label: Array | None,
  num_classes: int,
  apply: Callable[[nn.Module, Array], Array] = lambda layer, x: layer(x),
) -> Array:
  """Adds the projection of features on the class embedding to D's logits.

  Call it in a compact method, in which it creates the layer `embedding`.

  Args:
    logit: the unconditional logits [B].
    features: the features [B, D] from which they are computed.
    label: [B] or [B, K]; see above.
    num_classes: K; 0 for no classes, which returns the logits unchanged.
    apply: applies a layer to its input, e.g. with spectral normalisation.

  References:
    Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637, equation 3, with
    the initialisation of the authors' code.
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
  """Conditional generator: z is concatenated with a class embedding.

  Attributes:
    generator: the network, which takes vectors of length z_dim + embedding_dim.
    num_classes: K.
    embedding_dim: the length of an embedding.

  References:
    Mirza and Osindero 2014, https://arxiv.org/abs/1411.1784; with a linear
    embedding, as in R3GAN (https://arxiv.org/abs/2501.05441).
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
  """Batch normalisation with a scale and a shift per class.

  Attributes:
    num_classes: K.
    axis_name: the mapped axis over which BatchNorm is synchronised, if any.
    momentum: decay of the running statistics.

  References:
    Dumoulin et al. 2017, https://arxiv.org/abs/1610.07629; Miyato and Koyama
    2018, https://arxiv.org/abs/1802.05637, section 4.
  """

  num_classes: int
  axis_name: str | None = None
  momentum: float = 0.99

  @nn.compact
  def __call__(self, x: Array, label: Array, *, train: bool) -> Array:
    shape = (self.num_classes, x.shape[-1])
    scale = self.param('scale', nn.initializers.ones, shape)
    bias = self.param('bias', nn.initializers.zeros, shape)
    weights = class_weights(label, self.num_classes).astype(x.dtype)
    norm = BatchNorm(
      self.axis_name,
      self.momentum,
      use_scale=False,
      use_bias=False,
      name='norm',
    )
    x = norm(x, train=train)
    per_row = (len(x), *[1] * (x.ndim - 2), x.shape[-1])
    scale, bias = ((weights @ p).reshape(per_row) for p in (scale, bias))
    return scale * x + bias
