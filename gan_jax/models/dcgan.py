"""Networks of the DCGAN family (https://arxiv.org/abs/1511.06434)."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from gan_jax.core.errors import InputError
from gan_jax.core.types import Array
from gan_jax.models.conditional import normalised, projected
from gan_jax.models.layers import BatchNorm, Conv, ConvTranspose, applying


class DeconvGenerator(nn.Module):
  """DCGAN generator: z [B, z_dim] to images [B, H, W, C] in [-1, 1].

  A dense layer produces a `base_size` square map. 5x5 stride-2 transposed
  convolutions double the size and halve the width, down to `size_mult` channels
  and then the image's. BatchNorm and leaky ReLU (0.2) follow all layers but the
  last, which ends in tanh. For 32x32 images from 4x4, the widths are
  4 * size_mult, 2 * size_mult, size_mult, channels.

  Attributes:
    image_shape: H, W, C.
    size_mult: channels before the last layer.
    base_size: pixels along a side of the first map.
    init_stddev: the standard deviation of all initial kernels, 0.02 in the
      paper; None: LeCun normal initialisation.
    axis_name: the mapped axis over which BatchNorm is synchronised, if any.
    num_classes: K for conditional BatchNorm; 0: no conditioning.

  Raises InputError for a size that is not base_size * 2^n.
  """

  image_shape: tuple[int, int, int]
  size_mult: int
  base_size: int = 4
  init_stddev: float | None = None
  axis_name: str | None = None
  num_classes: int = 0

  @nn.compact
  def __call__(
    self, z: Array, label: Array | None = None, *, train: bool
  ) -> Array:
    *size, channels = self.image_shape
    num_layers = _num_layers(size, self.base_size, 'generator')
    kernel_init = _kernel_init(self.init_stddev)

    def activate(x: Array, name: str) -> Array:
      classes, axis_name = self.num_classes, self.axis_name
      x = normalised(x, label, classes, axis_name, train=train, name=name)
      return jax.nn.leaky_relu(x, 0.2)

    features = self.size_mult * 2 ** (num_layers - 1)
    x = nn.Dense(
      self.base_size**2 * features, kernel_init=kernel_init, name='dense'
    )(z)
    x = x.reshape(-1, self.base_size, self.base_size, features)
    x = activate(x, 'norm0')
    for layer in range(1, num_layers + 1):
      last = layer == num_layers
      features = channels if last else features // 2
      x = ConvTranspose(
        features,
        kernel_size=(5, 5),
        strides=(2, 2),
        kernel_init=kernel_init,
        name=f'deconv{layer}',
      )(x)
      x = jax.nn.tanh(x) if last else activate(x, f'norm{layer}')
    return x


class ConvDiscriminator(nn.Module):
  """DCGAN discriminator: images [B, H, W, C] to logits [B].

  5x5 stride-2 convolutions, each followed by leaky ReLU (0.2), halve the map
  down to a `base_size` square and double the width; a dense layer follows. For
  32x32 images and a width of 64, the widths are 64, 128, 256.

  Attributes:
    width: channels of the first convolution.
    base_size: pixels along a side of the last map.
    normalization: 'batch' for BatchNorm on all convolutions but the first,
      'spectral' for spectral normalisation of all layers
      (https://arxiv.org/abs/1802.05957), or 'none'.
    init_stddev: as in the generator.
    axis_name: the mapped axis over which BatchNorm is synchronised, if any.
    num_classes: K for a projection discriminator; 0: no conditioning.

  Raises InputError for a size that is not base_size * 2^n.
  """

  width: int
  base_size: int = 4
  normalization: str = 'batch'
  init_stddev: float | None = None
  axis_name: str | None = None
  num_classes: int = 0

  @nn.compact
  def __call__(
    self, image: Array, label: Array | None = None, *, train: bool
  ) -> Array:
    num_layers = _num_layers(image.shape[1:3], self.base_size, 'discriminator')
    kernel_init = _kernel_init(self.init_stddev)

    apply = applying(self.normalization == 'spectral', train)
    x = image
    for i in range(num_layers):
      layer = Conv(
        self.width * 2**i,
        kernel_size=(5, 5),
        strides=(2, 2),
        kernel_init=kernel_init,
        name=f'conv{i + 1}',
      )
      x = apply(layer, x)
      if self.normalization == 'batch' and i > 0:
        x = BatchNorm(self.axis_name, name=f'norm{i + 1}')(x, train=train)
      x = jax.nn.leaky_relu(x, 0.2)
    x = x.reshape(len(x), -1)
    layer = nn.Dense(1, kernel_init=kernel_init, name='logit')
    logit = apply(layer, x)[:, 0]
    return projected(logit, x, label, self.num_classes, apply)


def _num_layers(size: Sequence[int], base_size: int, network: str) -> int:
  """Returns the number of strided layers between base size and image size."""
  height, width = size
  num = (height // base_size).bit_length() - 1
  if height != width or num < 1 or height != base_size * 2**num:
    raise InputError(
      f'the {network} takes square images of {base_size} * 2^n pixels, n >= 1, '
      f'not {height}x{width}; set config.data.image_size to such a size '
      '(images are padded to it, those of image_folder resized), or change '
      f'config.model.{network}.base_size'
    )
  return num


def _kernel_init(stddev: float | None) -> nn.initializers.Initializer:
  if stddev is None:
    return nn.initializers.lecun_normal()
  return nn.initializers.normal(stddev)
