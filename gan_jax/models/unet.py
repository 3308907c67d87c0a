"""U-Net generator of pix2pix (https://arxiv.org/abs/1611.07004)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.core.errors import InputError
from gan_jax.core.types import Array
from gan_jax.models.layers import (
  Conv,
  Dropout,
  kernel_init,
  normalize,
  upsampled,
)
from gan_jax.models.resampling import blur_pool

_NUM_DROPOUT = 3  # blocks of the decoder, from the innermost


class UNetGenerator(nn.Module):
  """U-Net generator: images to images [B, H, W, channels] in [-1, 1].

  The encoder's 4x4 stride-2 convolutions halve the map, the decoder's
  transposed ones double it, and skip connections join their layers of the same
  size. The encoder uses leaky ReLU (0.2), the decoder ReLU. All layers are
  normalised but the first, the encoder's last and the output's. The innermost
  three blocks of the decoder have dropout (0.5); in the authors' PyTorch code
  it is in the second to the fourth. The widths are width, 2 * width, 4 * width,
  then 8 * width. (Appendix 6.1.1, with the erratum on the innermost layer.)

  Attributes:
    channels: channels of the output.
    width: channels of the first convolution.
    num_levels: the number of halvings; None: down to one pixel.
    normalization: 'batch', 'instance' or 'none'.
    downsampling: 'strided' convolutions, or 'blur' for 3x3 ones of stride 1,
      then `resampling.blur_pool`.
    upsampling: see `layers.upsampled`.
    initializer: the kernels' initialiser; see `layers.kernel_init`.
    init_gain: its gain.
    use_dropout: whether the decoder has dropout.
    axis_name: the mapped axis over which BatchNorm is synchronised, if any.
    remat: whether to rematerialise levels for gradients.

  Raises InputError for a size that is not a multiple of 2^num_levels.
  """

  channels: int
  width: int
  num_levels: int | None = None
  normalization: str = 'batch'
  downsampling: str = 'strided'
  upsampling: str = 'transposed'
  initializer: str = 'normal'
  init_gain: float = 0.02
  use_dropout: bool = True
  axis_name: str | None = None
  remat: bool = False

  @nn.compact
  def __call__(
    self,
    image: Array,
    *,
    train: bool,
    dropout: bool | None = None,
    rows: Array | None = None,
  ) -> Array:
    """Translates images.

    Args:
      image: images [B, H, W, C].
      train: whether BatchNorm uses the batch's statistics.
      dropout: whether dropout, the only noise, is active; None: as `train`.
      rows: the images' indices [B] in the global batch; None: image is the
        whole batch.
    """
    dropout = train if dropout is None else dropout
    num_levels = count_levels(image.shape[1:3], self.num_levels)
    widths = [min(2**i, 8) * self.width for i in range(num_levels)]

    # BatchNorm's shift replaces the bias.
    options = {
      'kernel_init': kernel_init(self.initializer, self.init_gain),
      'use_bias': self.normalization != 'batch',
    }

    def norm(x: Array, name: str) -> Array:
      how, axis_name = self.normalization, self.axis_name
      return normalize(x, how, axis_name, train=train, name=name)

    def down(_, x: Array, i: int) -> Array:
      x = x if i == 0 else jax.nn.leaky_relu(x, 0.2)
      strided = self.downsampling == 'strided'
      size, stride = (4, 2) if strided else (3, 1)
      x = Conv(
        widths[i],
        kernel_size=(size, size),
        strides=(stride, stride),
        name=f'down{i + 1}',
        **options,
      )(x)
      x = norm(x, f'down_norm{i + 1}') if 0 < i < num_levels - 1 else x
      return x if strided else blur_pool(x)

    def up(_, x: Array, i: int) -> Array:
      last, how, name = i == 0, self.upsampling, f'up{i + 1}'
      x, features = jax.nn.relu(x), self.channels if last else widths[i - 1]
      bias = {'use_bias': True} if last else {}
      x = upsampled(x, features, how, 4, 'SAME', name=name, **options | bias)
      if last:
        return jax.nn.tanh(x)
      x = norm(x, f'up_norm{i + 1}')
      drops = self.use_dropout and i >= num_levels - _NUM_DROPOUT
      return Dropout(0.5 if drops else 0.0)(x, train=dropout, rows=rows)

    if self.remat:
      down, up = (nn.remat(level, static_argnums=2) for level in (down, up))
    x, skips = image, []
    for i in range(num_levels):
      x = down(self, x, i)
      skips.append(x)
    x = skips.pop()
    for i in reversed(range(1, num_levels)):
      x = jnp.concatenate([up(self, x, i), skips.pop()], axis=-1)
    return up(self, x, 0)


def count_levels(size: tuple[int, int], num_levels: int | None) -> int:
  """Counts the levels of a U-Net: `num_levels`, or down to one pixel if None.

  Raises:
    InputError: a size that cannot be halved that many times.
  """
  height, width = size
  if num_levels is None:
    num_levels = max(1, min(size).bit_length() - 1)
  if height % 2**num_levels or width % 2**num_levels:
    raise InputError(
      f'a U-Net of {num_levels} levels takes images whose sides are multiples '
      f'of {2**num_levels}, not {height}x{width}; change config.data.crop_size '
      'or config.model.generator.num_levels'
    )
  return num_levels
