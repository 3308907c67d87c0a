"""PatchGAN: the discriminator of pix2pix, CycleGAN and CUT."""

import flax.linen as nn
import jax

from gan_jax.core.types import Array
from gan_jax.models.layers import Conv, kernel_init, normalize
from gan_jax.models.resampling import blur_pool

# The number of strided layers by the side of a logit's receptive field.
PATCH_SIZES = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}


class PatchDiscriminator(nn.Module):
  """PatchGAN discriminator: images [B, H, W, C] to patch logits [B, H', W'].

  4x4 stride-2 convolutions double the width, up to 8 * width; two 4x4 stride-1
  ones follow, the last to one channel. All are padded by one pixel, so a
  256x256 image has 30x30 patches of 70x70 pixels. Leaky ReLU (0.2) follows all
  layers but the last, normalisation all but the first and the last. A patch
  size of 1 means three 1x1 convolutions. (https://arxiv.org/abs/1611.07004,
  appendix 6.1.2.)

  Attributes:
    width: channels of the first convolution.
    patch_size: one of PATCH_SIZES.
    normalization: 'batch', 'instance' (without scale and shift) or 'none'.
    downsampling: 'strided' convolutions, or 'blur': stride-1 ones, then
      `resampling.blur_pool`, as in CUT.
    initializer: the kernels' initialiser; see `layers.kernel_init`.
    init_gain: its gain.
    axis_name: the mapped axis over which BatchNorm is synchronised, if any.
  """

  width: int
  patch_size: int = 70
  normalization: str = 'batch'
  downsampling: str = 'strided'
  initializer: str = 'normal'
  init_gain: float = 0.02
  axis_name: str | None = None

  @nn.compact
  def __call__(self, image: Array, *, train: bool) -> Array:
    num_strided = PATCH_SIZES[self.patch_size]
    size = 4 if num_strided else 1
    pad = 1 if num_strided else 0
    # Multiples of the width, and strides.
    layers = [(min(2**i, 8), 2) for i in range(num_strided)] or [(1, 1)]
    layers.append((min(2 * layers[-1][0], 8), 1))

    def conv(features: int, stride: int, use_bias: bool, name: str) -> Conv:
      return Conv(
        features,
        kernel_size=(size, size),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        use_bias=use_bias,
        kernel_init=kernel_init(self.initializer, self.init_gain),
        name=name,
      )

    x, blurs = image, self.downsampling == 'blur'
    for i, (mult, stride) in enumerate(layers):
      # BatchNorm's shift replaces the bias.
      use_bias = i == 0 or self.normalization != 'batch'
      of_conv = 1 if blurs else stride
      x = conv(mult * self.width, of_conv, use_bias, f'conv{i + 1}')(x)
      if i > 0:
        how, name = self.normalization, f'norm{i + 1}'
        x = normalize(x, how, self.axis_name, train=train, name=name)
      x = jax.nn.leaky_relu(x, 0.2)
      if blurs and stride == 2:
        x = blur_pool(x)
    return conv(1, 1, True, 'logit')(x)[..., 0]
