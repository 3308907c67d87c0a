"""Fully connected networks."""

import math

import flax.linen as nn
import jax

from gan_jax.core.types import Array
from gan_jax.models.classifier import ClassifierOutput
from gan_jax.models.conditional import projected
from gan_jax.models.layers import BatchNorm, GaussianNoise, WeightNormDense


class MLPGenerator(nn.Module):
  """MLP generator with one hidden layer: z to images [B, H, W, C] in [-1, 1].

  It uses leaky ReLU (0.01) and tanh, as many first GANs on MNIST do.
  """

  image_shape: tuple[int, int, int]
  hidden: int = 128

  @nn.compact
  def __call__(self, z: Array, *, train: bool) -> Array:
    del train  # training and evaluation are the same
    x = jax.nn.leaky_relu(nn.Dense(self.hidden, name='dense1')(z), 0.01)
    x = nn.Dense(math.prod(self.image_shape), name='dense2')(x)
    return jax.nn.tanh(x).reshape(-1, *self.image_shape)


class MLPDiscriminator(nn.Module):
  """MLP discriminator with one hidden layer: images [B, H, W, C] to logits [B].

  Attributes:
    hidden: the number of hidden units.
    num_classes: K for a projection discriminator; 0: no conditioning.
  """

  hidden: int = 128
  num_classes: int = 0

  @nn.compact
  def __call__(
    self, image: Array, label: Array | None = None, *, train: bool
  ) -> Array:
    del train
    x = image.reshape(len(image), -1)
    x = jax.nn.leaky_relu(nn.Dense(self.hidden, name='dense1')(x), 0.01)
    logit = nn.Dense(1, name='dense2')(x)[:, 0]
    return projected(logit, x, label, self.num_classes)


class SoftplusGenerator(nn.Module):
  """MNIST generator of Salimans et al. 2016: z to images in [0, 1].

  It has two hidden layers with softplus and BatchNorm with a shift but no
  scale. The last layer is weight-normalised, with a learned scale.

  Attributes:
    image_shape: H, W, C.
    hidden: units of the hidden layers.
    axis_name: the mapped axis over which BatchNorm is synchronised, if any.
  """

  image_shape: tuple[int, int, int]
  hidden: tuple[int, int] = (500, 500)
  axis_name: str | None = None

  @nn.compact
  def __call__(self, z: Array, *, train: bool) -> Array:
    x = z
    for i, features in enumerate(self.hidden, start=1):
      x = nn.Dense(
        features,
        use_bias=False,
        kernel_init=nn.initializers.glorot_uniform(),
        name=f'dense{i}',
      )(x)
      x = BatchNorm(
        self.axis_name, momentum=0.9, use_scale=False, name=f'norm{i}'
      )(x, train=train)
      x = jax.nn.softplus(x)
    x = WeightNormDense(math.prod(self.image_shape), name='pixels')(x)
    return jax.nn.sigmoid(x).reshape(-1, *self.image_shape)


class NoisyClassifier(nn.Module):
  """MNIST discriminator of Salimans et al. 2016, for images in [0, 1].

  It has ReLU layers with weight normalisation, initialised from the data on
  which `init` is called, and Gaussian noise on the input and after each hidden
  layer. The features are the last hidden layer's, before its noise.

  Attributes:
    num_logits: K.
    hidden: units of the hidden layers.
    input_noise: standard deviation of the noise on the input.
    hidden_noise: standard deviation of the noise on each hidden layer.
  """

  num_logits: int
  hidden: tuple[int, ...] = (1000, 500, 250, 250, 250)
  input_noise: float = 0.3
  hidden_noise: float = 0.5

  @nn.compact
  def __call__(
    self, image: Array, *, train: bool, rows: Array | None = None
  ) -> ClassifierOutput:
    def noise(x: Array, stddev: float, i: int) -> Array:
      layer = GaussianNoise(stddev, name=f'noise{i}')
      return layer(x, train=train, rows=rows)

    features = image.reshape(len(image), -1)
    x = noise(features, self.input_noise, 0)
    for i, units in enumerate(self.hidden, start=1):
      layer = WeightNormDense(
        units, from_data=True, train_scale=False, name=f'dense{i}'
      )
      features = jax.nn.relu(layer(x))
      x = noise(features, self.hidden_noise, i)
    layer = WeightNormDense(
      self.num_logits, from_data=True, name='class_logits'
    )
    return ClassifierOutput(layer(x), features)
