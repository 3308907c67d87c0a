"""Convolutional classifier, the discriminator of a semi-supervised GAN."""

from typing import NamedTuple

import flax.linen as nn
import jax

from gan_jax.core.types import Array
from gan_jax.models.layers import BatchNorm, Conv, Dropout


class ClassifierOutput(NamedTuple):
  """Class logits and features of a batch."""

  class_logits: Array  # [B, num_logits]
  features: Array  # [B, 2 * width]


class ConvClassifier(nn.Module):
  """Classifier of images [B, H, W, C]: class logits, and features before them.

  It has dropout on the input; three 3x3 convolutions of `width` channels with
  the given strides; three of twice the width, stride 1; one more of that width,
  VALID and without BatchNorm; global average pooling, which gives the features;
  and a dense layer, which gives the logits. Leaky ReLU (0.2) follows each
  convolution, BatchNorm all but the first and the last, dropout the first,
  third and sixth.

  This is the network of a well-known teaching notebook without its bugs. There,
  the activation after the second BatchNorm is computed from that BatchNorm's
  input, so the normalisation has no effect; the last layer reads the fifth
  activation, so the sixth layer (with stride 2, which a 3x3 VALID layer could
  not follow at 32x32 pixels) has none either; dropout is never active; and
  BatchNorm uses batch statistics at test time too.

  Attributes:
    num_logits: K, or K + 1 with an explicit fake class.
    width: channels of the first three convolutions.
    strides: their strides: (2, 2, 2) for 32x32 images, (1, 2, 1) for 8x8.
    dropout_rate: rate after convolutions; on the input it is 2.5 times smaller.
    axis_name: the mapped axis over which the batch is split, if any.
  """

  num_logits: int
  width: int = 64
  strides: tuple[int, int, int] = (2, 2, 2)
  dropout_rate: float = 0.5
  axis_name: str | None = None

  @nn.compact
  def __call__(
    self, image: Array, *, train: bool, rows: Array | None = None
  ) -> ClassifierOutput:
    def drop(x: Array, rate: float, name: str) -> Array:
      return Dropout(rate, name=name)(x, train=train, rows=rows)

    x = drop(image, self.dropout_rate / 2.5, 'dropout0')
    for layer in range(1, 8):
      x = Conv(
        features=self.width * (1 if layer <= 3 else 2),
        kernel_size=(3, 3),
        strides=self.strides[layer - 1] if layer <= 3 else 1,
        padding='VALID' if layer == 7 else 'SAME',
        name=f'conv{layer}',
      )(x)
      if 1 < layer < 7:
        x = BatchNorm(self.axis_name, name=f'norm{layer}')(x, train=train)
      x = jax.nn.leaky_relu(x, 0.2)
      if layer in (1, 3, 6):
        x = drop(x, self.dropout_rate, f'dropout{layer}')
    features = x.mean(axis=(1, 2))
    logits = nn.Dense(self.num_logits, name='class_logits')(features)
    return ClassifierOutput(logits, features)
