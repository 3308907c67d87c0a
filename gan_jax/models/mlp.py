"""Fully connected networks."""

import math

import flax.linen as nn
import jax

from gan_jax.core.types import Array
from gan_jax.models.classifier import ClassifierOutput
from gan_jax.models.conditional import normalised, projected
from gan_jax.models.layers import BatchNorm, GaussianNoise, WeightNormDense


def _to_pixels(x: Array, image_shape: tuple[int, int, int]) -> Array:
  """Shapes a last layer's outputs; tanh, unless they are points (1, 1, 2)."""
  x = x if tuple(image_shape) == (1, 1, 2) else jax.nn.tanh(x)
  return x.reshape(-1, *image_shape)


class MLPGenerator(nn.Module):
  """MLP generator with one hidden layer: z to images [B, H, W, C] in [-1, 1].

  It uses leaky ReLU (0.01) and tanh, as many first GANs on MNIST do; without
  tanh it makes points, [B, 1, 1, 2].
  """

  image_shape: tuple[int, int, int]
  hidden: int = 128

  @nn.compact
  def __call__(self, z: Array, *, train: bool) -> Array:
    del train  # training and evaluation are the same
    x = jax.nn.leaky_relu(nn.Dense(self.hidden, name='dense1')(z), 0.01)
    x = nn.Dense(math.prod(self.image_shape), name='dense2')(x)
    return _to_pixels(x, self.image_shape)


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


class BatchNormMLPGenerator(nn.Module):
  """MLP generator with BatchNorm and ReLU: z to images in [-1, 1], or points.

  Hidden layers have no bias.

  Attributes:
    image_shape: H, W, C; 1, 1, 2 for points, without tanh.
    hidden: units of the hidden layers.
    init_stddev: standard deviation of the initial kernels.
    axis_name: the mapped axis over which BatchNorm is synchronised, if any.
    num_classes: K for conditional BatchNorm; 0: no conditioning.

  References:
    Lin et al. 2017, "PacGAN", https://arxiv.org/abs/1712.04086, section 4.1,
    and the authors' code.
  """

  image_shape: tuple[int, int, int]
  hidden: tuple[int, ...] = (400, 400, 400, 400)
  init_stddev: float = 0.02
  axis_name: str | None = None
  num_classes: int = 0

  @nn.compact
  def __call__(
    self, z: Array, label: Array | None = None, *, train: bool
  ) -> Array:
    init = nn.initializers.normal(self.init_stddev)
    x = z
    for i, features in enumerate(self.hidden, start=1):
      layer = nn.Dense(
        features, use_bias=False, kernel_init=init, name=f'dense{i}'
      )
      x = normalised(
        layer(x),
        label,
        self.num_classes,
        self.axis_name,
        train=train,
        name=f'norm{i}',
        momentum=0.95,
      )
      x = jax.nn.relu(x)
    num = math.prod(self.image_shape)
    x = nn.Dense(num, kernel_init=init, name='pixels')(x)
    return _to_pixels(x, self.image_shape)


class MaxoutDiscriminator(nn.Module):
  """Discriminator with maxout layers: images [B, H, W, C] to logits [B].

  A maxout unit is the maximum of several linear functions.

  Attributes:
    hidden: units of the hidden layers.
    pieces: linear functions per unit.
    init_stddev: standard deviation of the initial kernels.
    num_classes: K for a projection discriminator; 0: no conditioning.

  References:
    Goodfellow et al. 2013, https://arxiv.org/abs/1302.4389; the layers of Lin
    et al. 2017, "PacGAN", https://arxiv.org/abs/1712.04086, section 4.1.
  """

  hidden: tuple[int, ...] = (200, 200, 200)
  pieces: int = 5
  init_stddev: float = 0.02
  num_classes: int = 0

  @nn.compact
  def __call__(
    self, image: Array, label: Array | None = None, *, train: bool
  ) -> Array:
    del train
    init = nn.initializers.normal(self.init_stddev)
    x = image.reshape(len(image), -1)
    for i, units in enumerate(self.hidden, start=1):
      layer = nn.Dense(units * self.pieces, kernel_init=init, name=f'dense{i}')
      x = layer(x).reshape(-1, self.pieces, units).max(axis=-2)
    logit = nn.Dense(1, kernel_init=init, name='logit')(x)[:, 0]
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
