"""InceptionV3 as a fixed feature extractor, in its two public variants.

'torchvision' is the network of torchvision's `inception_v3`, without the
auxiliary head. 'fid' is the older TensorFlow network of 2015-12-05 that defines
the Inception score and FID. It differs from the other in three ways: it has
1008 classes; its average pools exclude the padding from the mean; the last
block's pool takes the maximum. The networks cannot be trained: they use stored
statistics and get their weights from a file (see
`gan_jax.evaluation.inception_weights`).

Modules have torchvision's names, which the published files use, too.

References:
  Szegedy et al. 2016, https://arxiv.org/abs/1512.00567 (the network);
  Salimans et al. 2016, https://arxiv.org/abs/1606.03498 (the score);
  Heusel et al. 2017, https://arxiv.org/abs/1706.08500 (FID).
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.core import errors
from gan_jax.core.types import Array

NUM_CLASSES = {'torchvision': 1000, 'fid': 1008}
IMAGE_SIZE = 299  # pixels along a side

# A branch is a chain of steps (features, kernel). Two kernels in a step are two
# parallel convolutions.
_Branches = dict[str, list[tuple[int, str]]]


def _block_a(pool_features: int) -> _Branches:
  return {
    'branch1x1': [(64, '1x1')],
    'branch5x5': [(48, '1x1'), (64, '5x5')],
    'branch3x3dbl': [(64, '1x1'), (96, '3x3'), (96, '3x3')],
    'branch_pool': [(pool_features, '1x1')],
  }


def _block_c(width: int) -> _Branches:
  return {
    'branch1x1': [(192, '1x1')],
    'branch7x7': [(width, '1x1'), (width, '1x7'), (192, '7x1')],
    'branch7x7dbl': [
      (width, '1x1'),
      (width, '7x1'),
      (width, '1x7'),
      (width, '7x1'),
      (192, '1x7'),
    ],
    'branch_pool': [(192, '1x1')],
  }


_BLOCK_B = {
  'branch3x3': [(384, '3x3')],
  'branch3x3dbl': [(64, '1x1'), (96, '3x3'), (96, '3x3')],
  'branch_pool': [],
}
_BLOCK_D = {
  'branch3x3': [(192, '1x1'), (320, '3x3')],
  'branch7x7x3': [(192, '1x1'), (192, '1x7'), (192, '7x1'), (192, '3x3')],
  'branch_pool': [],
}
_BLOCK_E = {
  'branch1x1': [(320, '1x1')],
  'branch3x3': [(384, '1x1'), (384, '1x3 3x1')],
  'branch3x3dbl': [(448, '1x1'), (384, '3x3'), (384, '1x3 3x1')],
  'branch_pool': [(192, '1x1')],
}
BLOCKS = {
  'Mixed_5b': _block_a(32),
  'Mixed_5c': _block_a(64),
  'Mixed_5d': _block_a(64),
  'Mixed_6a': _BLOCK_B,
  'Mixed_6b': _block_c(128),
  'Mixed_6c': _block_c(160),
  'Mixed_6d': _block_c(160),
  'Mixed_6e': _block_c(192),
  'Mixed_7a': _BLOCK_D,
  'Mixed_7b': _BLOCK_E,
  'Mixed_7c': _BLOCK_E,
}
_HALVING = ('Mixed_6a', 'Mixed_7a')


class _Unit(nn.Module):
  """Convolution without bias, BatchNorm with stored statistics, ReLU.

  The convolution is lax's at full precision, without TF32 or faster lowerings,
  because scores are compared with published ones.
  """

  features: int
  kernel: str
  stride: int = 1
  padding: str = 'SAME'

  @nn.compact
  def __call__(self, x: Array) -> Array:
    x = nn.Conv(
      self.features,
      tuple(int(size) for size in self.kernel.split('x')),
      strides=(self.stride, self.stride),
      padding=self.padding,
      use_bias=False,
      precision=lax.Precision.HIGHEST,
      name='conv',
    )(x)
    norm = nn.BatchNorm(use_running_average=True, epsilon=1e-3, name='bn')
    return nn.relu(norm(x))


class Mixed(nn.Module):
  """Inception block: parallel branches whose outputs are concatenated.

  A block that halves the resolution does so in the last step of each branch.

  Attributes:
    block: its name, a key of `BLOCKS`.
    variant: 'torchvision' or 'fid'.
  """

  block: str
  variant: str

  @nn.compact
  def __call__(self, x: Array) -> Array:
    outputs = []
    for branch, steps in BLOCKS[self.block].items():
      maps = [self._pool(x) if branch == 'branch_pool' else x]
      for i, (features, kernels) in enumerate(steps, 1):
        number = f'_{i}' if len(steps) > 1 else ''
        letters = 'ab' if ' ' in kernels else ['']
        halving = self.block in _HALVING and i == len(steps)
        maps = [
          _Unit(
            features,
            kernel,
            stride=2 if halving else 1,
            padding='VALID' if halving else 'SAME',
            name=f'{branch}{number}{letter}',
          )(maps[0])
          for letter, kernel in zip(letters, kernels.split(), strict=True)
        ]
      outputs += maps
    return jnp.concatenate(outputs, axis=-1)

  def _pool(self, x: Array) -> Array:
    if self.block in _HALVING:
      return nn.max_pool(x, (3, 3), (2, 2))
    if self.variant == 'fid' and self.block == 'Mixed_7c':
      return nn.max_pool(x, (3, 3), padding='SAME')
    return nn.avg_pool(
      x, (3, 3), padding='SAME', count_include_pad=self.variant != 'fid'
    )


class InceptionV3(nn.Module):
  """InceptionV3: maps images [B, 299, 299, 3] to features and class logits.

  The features [B, 2048] are the output of the last average pool. The logits
  [B, num_classes] of 'fid' cover all 1008 classes and have no bias, as in the
  code of the Inception score's authors. Those of 'torchvision' have a bias.

  Attributes:
    variant: 'torchvision' or 'fid'.

  It is called with images from `preprocess`. Other sizes from 75 pixels work,
  but the weights were not trained for them.

  Raises InputError for an unknown variant.
  """

  variant: str

  @nn.compact
  def __call__(self, image: Array) -> tuple[Array, Array]:
    _check_variant(self.variant)
    x = _Unit(32, '3x3', 2, 'VALID', name='Conv2d_1a_3x3')(image)
    x = _Unit(32, '3x3', padding='VALID', name='Conv2d_2a_3x3')(x)
    x = _Unit(64, '3x3', name='Conv2d_2b_3x3')(x)
    x = nn.max_pool(x, (3, 3), (2, 2))
    x = _Unit(80, '1x1', name='Conv2d_3b_1x1')(x)
    x = _Unit(192, '3x3', padding='VALID', name='Conv2d_4a_3x3')(x)
    x = nn.max_pool(x, (3, 3), (2, 2))
    for block in BLOCKS:
      x = Mixed(block, self.variant, name=block)(x)
    features = x.mean(axis=(1, 2))
    logits = nn.Dense(
      NUM_CLASSES[self.variant],
      use_bias=self.variant != 'fid',
      precision=lax.Precision.HIGHEST,
      name='fc',
    )(features)
    return features, logits


def preprocess(images: Array, variant: str) -> Array:
  """Resizes and scales images to [-1, 1] as a variant requires.

  Args:
    images: see `resize_tf1`.
    variant: 'fid', which takes (x - 128) / 128, or 'torchvision', which takes
      x / 127.5 - 1.

  Returns:
    float32 [B, 299, 299, 3].

  Raises:
    InputError: an unknown variant.
    ValueError: see `resize_tf1`.
  """
  _check_variant(variant)
  pixels = resize_tf1(images)
  return (pixels - 128) / 128 if variant == 'fid' else pixels / 127.5 - 1


def resize_tf1(images: Array) -> Array:
  """Resizes images bilinearly like TensorFlow 1's `resize_bilinear`.

  Output pixel i lies at i * size / 299 of the input, so that the corners of the
  first pixels coincide and not the images' centres. It is interpolated between
  its two neighbours, without anti-aliasing. FID was defined with this resizing;
  another changes scores (Parmar et al. 2022, https://arxiv.org/abs/2104.11222).

  Args:
    images: uint8 [B, H, W, 3], or [B, H, W, 1], which is repeated to three
      channels. H, W >= 1.

  Returns:
    float32 [B, 299, 299, 3] in [0, 255].

  Raises:
    ValueError: images of another type or shape.
  """
  shape = images.shape
  if images.dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3):
    raise ValueError(
      f'want uint8 images [B, H, W, 1 or 3], not {images.dtype} {list(shape)}'
    )
  if 0 in shape:
    raise ValueError(f'images of {list(shape)} have no pixel')
  x = jnp.asarray(images, jnp.float32)
  x = _interpolate(_interpolate(x, axis=2), axis=1)
  return jnp.broadcast_to(x, (*x.shape[:3], 3))


def _interpolate(x: Array, axis: int) -> Array:
  size = x.shape[axis]
  # In float32, like TensorFlow: rounding decides between two pixels.
  scale = np.float32(size) / np.float32(IMAGE_SIZE)
  place = np.arange(IMAGE_SIZE, dtype=np.float32) * scale
  lower = np.floor(place).astype(np.int32)
  upper = np.minimum(lower + 1, size - 1)
  weight = np.expand_dims(place - lower, [i for i in range(4) if i != axis])
  below, above = (jnp.take(x, index, axis=axis) for index in (lower, upper))
  return below + (above - below) * weight.astype(np.float32)


def _check_variant(variant: str) -> None:
  if variant not in NUM_CLASSES:
    raise errors.choice('Inception variant', variant, NUM_CLASSES)
