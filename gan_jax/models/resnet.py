"""ResNet generator of CycleGAN and CUT, for image translation.

See Zhu et al. 2017, https://arxiv.org/abs/1703.10593, and Park et al. 2020,
https://arxiv.org/abs/2007.15651.
"""

from collections.abc import Callable, Generator, Iterator

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

MULTIPLE = 4  # divides both sides: the map is halved twice, and doubled again


class ResNetGenerator(nn.Module):
  """ResNet generator: images to images [B, H, W, channels] in [-1, 1].

  In the notation of CycleGAN's appendix 7.2, with w = width, it is c7s1-w, d2w,
  d4w, R4w x num_blocks, u2w, uw, c7s1-channels: two stride-2 convolutions,
  residual blocks and two transposed convolutions, all 3x3 but the 7x7 first and
  last. Stride-1 convolutions have reflection padding; normalisation and ReLU
  follow the convolutions, tanh the last.

  Attributes:
    channels: channels of the output.
    width: channels of the first convolution.
    num_blocks: residual blocks, in the paper 9 for 256x256 images and 6 for
      128x128.
    normalization: 'instance', 'batch' or 'none'.
    downsampling: 'strided' convolutions, or 'blur': stride-1 ones, then
      `resampling.blur_pool`, as in CUT.
    upsampling: see `layers.upsampled`; 'transposed' in CycleGAN, 'blur' in CUT.
    initializer: the kernels' initialiser; see `layers.kernel_init`.
    init_gain: its gain.
    use_dropout: whether a residual block has dropout (0.5) after its ReLU.
    axis_name: the mapped axis over which BatchNorm is synchronised, if any.
    remat: whether to rematerialise residual blocks for gradients, which takes
      less memory and about a third more computation.

  Raises InputError for a size that is not a multiple of 4, or less than 8.
  """

  channels: int
  width: int
  num_blocks: int
  normalization: str = 'instance'
  downsampling: str = 'strided'
  upsampling: str = 'transposed'
  initializer: str = 'normal'
  init_gain: float = 0.02
  use_dropout: bool = False
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
    layers: tuple[int, ...] = (),
  ) -> Array | list[Array]:
    """Translates images, or returns the encoder's features.

    Args:
      image: images [B, H, W, C].
      train: whether BatchNorm uses the batch's statistics.
      dropout: whether dropout is active, if there is any; None: as `train`.
      rows: the images' indices [B] in the global batch; None: image is the
        whole batch.
      layers: layers whose outputs to return instead of the image, up to the
        last block. They are counted as in the authors' nn.Sequential, in which
        paddings, normalisations and activations are layers too. CUT uses
        (0, 4, 8, 12, 16), with 'blur'.
    """
    height, width = image.shape[1:3]
    if height % MULTIPLE or width % MULTIPLE or min(height, width) < 8:
      raise InputError(
        'the ResNet generator takes images whose sides are multiples of '
        f'{MULTIPLE}, 8 at least, not {height}x{width}; change '
        'config.data.crop_size'
      )
    dropout = train if dropout is None else dropout

    def norm(x: Array, name: str) -> Array:
      how, axis_name = self.normalization, self.axis_name
      return normalize(x, how, axis_name, train=train, name=f'{name}_norm')

    def drop(x: Array) -> Array:
      rate = 0.5 if self.use_dropout else 0.0
      return Dropout(rate)(x, train=dropout, rows=rows)

    last = self.num_blocks + (9 if self.downsampling == 'strided' else 11)
    if layers and max(layers) > last:
      raise InputError(
        f"the ResNet generator's last block is layer {last}, so it has no "
        f'features of layer {max(layers)}; change config.model.heads.layers '
        'or config.model.generator.num_blocks'
      )
    features = []
    for i, x in enumerate(_forward(self, image, norm, drop)):
      if i in layers:
        features.append(x)
      if layers and i == max(layers):
        return features
    return x


def _forward(
  net: ResNetGenerator,
  image: Array,
  norm: Callable[[Array, str], Array],
  drop: Callable[[Array], Array],
) -> Iterator[Array]:
  """Yields the output of each layer of the authors' nn.Sequential, in order."""
  init = kernel_init(net.initializer, net.init_gain)
  # BatchNorm's shift replaces the bias.
  options = {'kernel_init': init, 'use_bias': net.normalization != 'batch'}

  def reflected(x: Array, size: int) -> Array:
    pad = size // 2
    pads = [(0, 0), (pad, pad), (pad, pad), (0, 0)]
    return jnp.pad(x, pads, mode='reflect')

  def conv(x: Array, features: int, size: int, name: str, **others) -> Array:
    layer = Conv(
      features,
      kernel_size=(size, size),
      name=name,
      **{'padding': 'VALID'} | options | others,
    )
    return layer(x)

  def normed(x: Array, name: str) -> Generator[Array, None, Array]:
    yield x
    x = norm(x, name)
    yield x
    yield (x := jax.nn.relu(x))
    return x

  yield (x := reflected(image, 7))
  x = yield from normed(conv(x, net.width, 7, 'first'), 'first')
  strides = (2, 2) if net.downsampling == 'strided' else (1, 1)
  for i in (1, 2):
    around = {'strides': strides, 'padding': ((1, 1), (1, 1))}
    x = conv(x, 2**i * net.width, 3, f'down{i}', **around)
    x = yield from normed(x, f'down{i}')
    if net.downsampling == 'blur':
      yield (x := blur_pool(x))

  def block(_, x: Array, i: int) -> Array:
    features = 4 * net.width
    y = conv(reflected(x, 3), features, 3, f'block{i}_conv1')
    y = drop(jax.nn.relu(norm(y, f'block{i}_conv1')))
    y = conv(reflected(y, 3), features, 3, f'block{i}_conv2')
    return x + norm(y, f'block{i}_conv2')

  if net.remat:
    block = nn.remat(block, static_argnums=2)
  for i in range(1, net.num_blocks + 1):
    yield (x := block(net, x, i))
  for i in (1, 2):
    features = 2 ** (2 - i) * net.width
    pads = ((1, 2), (1, 2))
    x = upsampled(
      x, features, net.upsampling, 3, pads, name=f'up{i}', **options
    )
    x = yield from normed(x, f'up{i}')
  x = conv(reflected(x, 7), net.channels, 7, 'last', use_bias=True)
  yield jax.nn.tanh(x)
