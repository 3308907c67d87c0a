"""Residual networks of SNGAN and cGANs with projection, at 32 and 64 pixels.

See Miyato et al. 2018, https://arxiv.org/abs/1802.05957, tables 3 and 4, and
Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637, figure 14.
"""

from typing import Any

import flax.linen as nn
import jax

from gan_jax.core.errors import InputError
from gan_jax.core.types import Array
from gan_jax.models.conditional import normalised, projected
from gan_jax.models.layers import Conv, applying
from gan_jax.models.resampling import conv_of_doubled, halved_conv

# Each block's multiple of the width, and whether it halves the map.
_GENERATOR = {32: (1, 1, 1), 64: (8, 4, 2, 1)}
_GENERATOR_BASE = {32: 1, 64: 16}
_DISCRIMINATOR = {
  32: ((1, True), (1, True), (1, False), (1, False)),
  64: ((1, True), (2, True), (4, True), (8, True), (16, True)),
}
_BASE = 4  # pixels along a side of G's first map


def _conv(features: int, size: int, name: str, **options: Any) -> Conv:
  # Glorot uniform initialisation; 3x3 kernels, next to a ReLU, have twice the
  # variance.
  init = nn.initializers.variance_scaling(
    2.0 if size == 3 else 1.0, 'fan_avg', 'uniform'
  )
  return Conv(
    features, kernel_size=(size, size), kernel_init=init, name=name, **options
  )


def _halved(x: Array) -> Array:
  """Averages 2x2 pixels."""
  batch, height, width, channels = x.shape
  cells = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
  return cells.mean(axis=(2, 4))


def _doubled(x: Array) -> Array:
  """Doubles both sides, by nearest neighbours."""
  return x.repeat(2, axis=1).repeat(2, axis=2)


def _size(size, network: str) -> int:
  if size[0] != size[1] or size[0] not in _GENERATOR:
    raise InputError(
      f'the {network} resnet takes images of 32x32 or 64x64 pixels, not '
      f'{size[0]}x{size[1]}; set config.data.image_size to one of these '
      '(images are padded to it, those of image_folder resized)'
    )
  return size[0]


class ResNetImageGenerator(nn.Module):
  """SNGAN generator: z [B, z_dim] to images [B, H, W, C] in [-1, 1].

  A dense layer produces a 4x4 map. Residual blocks that double it have
  BatchNorm, ReLU and two 3x3 convolutions, and a 1x1 convolution as the
  shortcut. BatchNorm, ReLU, a 3x3 convolution and tanh follow.

  Attributes:
    image_shape: H, W, C; 32x32 or 64x64.
    width: channels of the last block: 256 for 32x32 images and 64 for 64x64 in
      the papers.
    spectral: whether the weights are spectrally normalised.
    axis_name: the mapped axis over which BatchNorm is synchronised, if any.
    num_classes: K for conditional BatchNorm; 0: no conditioning.

  Raises InputError for another size.
  """

  image_shape: tuple[int, int, int]
  width: int
  spectral: bool = False
  axis_name: str | None = None
  num_classes: int = 0

  @nn.compact
  def __call__(
    self, z: Array, label: Array | None = None, *, train: bool
  ) -> Array:
    *size, channels = self.image_shape
    size = _size(size, 'generator')
    apply = applying(self.spectral, train)

    def activate(x: Array, name: str) -> Array:
      classes, axis_name = self.num_classes, self.axis_name
      x = normalised(x, label, classes, axis_name, train=train, name=name)
      return jax.nn.relu(x)

    features = _GENERATOR_BASE[size] * self.width
    init = nn.initializers.glorot_uniform()
    layer = nn.Dense(_BASE**2 * features, kernel_init=init, name='dense')
    x = apply(layer, z).reshape(-1, _BASE, _BASE, features)
    for i, times in enumerate(_GENERATOR[size], start=1):
      features = times * self.width
      y = activate(x, f'block{i}_norm1')
      doubles = {'conv_general_dilated': conv_of_doubled}
      y = apply(_conv(features, 3, f'block{i}_conv1', **doubles), y)
      y = activate(y, f'block{i}_norm2')
      y = apply(_conv(features, 3, f'block{i}_conv2'), y)
      # A 1x1 convolution and doubling commute.
      x = y + _doubled(apply(_conv(features, 1, f'block{i}_shortcut'), x))
    x = activate(x, 'norm')
    layer = Conv(channels, kernel_size=(3, 3), kernel_init=init, name='image')
    return jax.nn.tanh(apply(layer, x))


class ResNetDiscriminator(nn.Module):
  """SNGAN discriminator: images [B, H, W, C] to logits [B].

  Residual blocks have ReLU and two 3x3 convolutions, and a 1x1 convolution as
  the shortcut; some halve the map by average pooling. ReLU, a sum over the map
  and a dense layer follow.

  Attributes:
    width: channels of the first block: 128 for 32x32 images and 64 for 64x64 in
      the papers.
    normalization: 'spectral' for spectral normalisation, or 'none'.
    num_classes: K for a projection discriminator; 0: no conditioning.

  Raises InputError for another size.
  """

  width: int
  normalization: str = 'spectral'
  num_classes: int = 0

  @nn.compact
  def __call__(
    self, image: Array, label: Array | None = None, *, train: bool
  ) -> Array:
    size = _size(image.shape[1:3], 'discriminator')
    apply = applying(self.normalization == 'spectral', train)
    x = image
    for i, (times, halves) in enumerate(_DISCRIMINATOR[size], start=1):
      features, before = times * self.width, x.shape[-1]
      # The first block's input is pixels, which ReLU must not clip.
      y = x if i == 1 else jax.nn.relu(x)
      hidden = features if i == 1 else before
      y = apply(_conv(hidden, 3, f'block{i}_conv1'), y)
      options = {'conv_general_dilated': halved_conv} if halves else {}
      y = jax.nn.relu(y)
      y = apply(_conv(features, 3, f'block{i}_conv2', **options), y)
      if halves:
        x = _halved(x)
      if halves or features != before:
        # A 1x1 convolution and the mean commute.
        x = apply(_conv(features, 1, f'block{i}_shortcut'), x)
      x = x + y
    x = jax.nn.relu(x).sum(axis=(1, 2))
    init = nn.initializers.glorot_uniform()
    logit = apply(nn.Dense(1, kernel_init=init, name='logit'), x)[:, 0]
    return projected(logit, x, label, self.num_classes, apply)
