"""The generator of pix2pix (https://arxiv.org/abs/1611.07004)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.core.errors import InputError
from gan_jax.core.types import Array
from gan_jax.models.layers import BatchNorm, Conv, ConvTranspose, Dropout

_KERNEL_INIT = nn.initializers.normal(0.02)
_NUM_DROPOUT = 3  # blocks of the decoder, from the innermost


class UNetGenerator(nn.Module):
  """Images [B, H, W, C] to images [B, H, W, channels] in [-1, 1].

  An encoder of 4x4 stride-2 convolutions that halve the map, a decoder of
  transposed ones that double it, and a skip from each layer of the encoder to
  the decoder's of the same size. Leaky ReLU (0.2) in the encoder, ReLU in the
  decoder, BatchNorm on all layers but the first, the innermost of the encoder
  and the last. Dropout (0.5) in the innermost three blocks of the decoder; the
  authors' PyTorch code has it in the second to the fourth. Widths: width,
  2 * width, 4 * width, then 8 * width. (Appendix 6.1.1, with the erratum on the
  innermost layer.)

  Attributes:
    channels: of the output.
    width: channels of the first convolution.
    num_levels: how often the map is halved; None: down to one pixel.
    axis_name: the mapped axis over which the batch is split, if any.
    sync_batch_norm: whether BatchNorm looks at all of it, or at a replica's.
    remat: whether a level's inside is computed anew for gradients, instead of
      kept.

  Raises InputError for a size that is not a multiple of 2^num_levels.
  """

  channels: int
  width: int
  num_levels: int | None = None
  axis_name: str | None = None
  sync_batch_norm: bool = True
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
    """The image's translation.

    Args:
      image: [B, H, W, C].
      train: whether BatchNorm takes the batch's statistics.
      dropout: whether dropout, the only noise, acts; None: as `train`.
      rows: the images' places [B] in the global batch; None: they are all.
    """
    dropout = train if dropout is None else dropout
    num_levels = count_levels(image.shape[1:3], self.num_levels)
    widths = [min(2**i, 8) * self.width for i in range(num_levels)]

    norm_axis = self.axis_name if self.sync_batch_norm else None

    def norm(x: Array, name: str) -> Array:
      return BatchNorm(norm_axis, momentum=0.9, name=name)(x, train=train)

    def down(_, x: Array, i: int) -> Array:
      x = x if i == 0 else jax.nn.leaky_relu(x, 0.2)
      x = Conv(
        widths[i],
        kernel_size=(4, 4),
        strides=(2, 2),
        use_bias=False,
        kernel_init=_KERNEL_INIT,
        name=f'down{i + 1}',
      )(x)
      return norm(x, f'down_norm{i + 1}') if 0 < i < num_levels - 1 else x

    def up(_, x: Array, i: int) -> Array:
      last = i == 0
      x = ConvTranspose(
        self.channels if last else widths[i - 1],
        kernel_size=(4, 4),
        strides=(2, 2),
        use_bias=last,
        kernel_init=_KERNEL_INIT,
        name=f'up{i + 1}',
      )(jax.nn.relu(x))
      if last:
        return jax.nn.tanh(x)
      x = norm(x, f'up_norm{i + 1}')
      rate = 0.5 if i >= num_levels - _NUM_DROPOUT else 0.0
      return Dropout(rate)(x, train=dropout, rows=rows)

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
  """Counts the levels of a U-Net: `num_levels`, or as many as reach one pixel.

  Raises:
    InputError: a size that cannot be halved so often.
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
