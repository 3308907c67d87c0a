"""The discriminator of pix2pix and CycleGAN, which judges patches."""

import flax.linen as nn
import jax

from gan_jax.core.types import Array
from gan_jax.models.layers import BatchNorm, Conv, InstanceNorm

# The side of the patch that a logit sees, and the number of strided layers.
PATCH_SIZES = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}
_KERNEL_INIT = nn.initializers.normal(0.02)


class PatchDiscriminator(nn.Module):
  """Images [B, H, W, C] to logits [B, H', W'], one for each patch.

  4x4 stride-2 convolutions that double the width, up to 8 * width, then two
  4x4 stride-1 ones, the last to one channel; all are padded by one pixel, so a
  256x256 image has 30x30 patches of 70x70 pixels. Leaky ReLU (0.2); no
  normalisation on the first layer and the last. A 1x1 patch is judged by three
  1x1 convolutions. (https://arxiv.org/abs/1611.07004, appendix 6.1.2.)

  Attributes:
    width: channels of the first convolution.
    patch_size: one of PATCH_SIZES.
    normalization: 'batch', 'instance' (without scale and shift) or 'none'.
    axis_name: the mapped axis over which BatchNorm is synchronised, if any.
  """

  width: int
  patch_size: int = 70
  normalization: str = 'batch'
  axis_name: str | None = None

  @nn.compact
  def __call__(self, image: Array, *, train: bool) -> Array:
    num_strided = PATCH_SIZES[self.patch_size]
    size = 4 if num_strided else 1
    pad = 1 if num_strided else 0
    # Each layer's width and stride.
    layers = [(min(2**i, 8), 2) for i in range(num_strided)] or [(1, 1)]
    layers.append((min(2 * layers[-1][0], 8), 1))

    def conv(features: int, stride: int, use_bias: bool, name: str) -> Conv:
      return Conv(
        features,
        kernel_size=(size, size),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        use_bias=use_bias,
        kernel_init=_KERNEL_INIT,
        name=name,
      )

    x = image
    for i, (mult, stride) in enumerate(layers):
      # BatchNorm has a shift of its own.
      use_bias = i == 0 or self.normalization != 'batch'
      x = conv(mult * self.width, stride, use_bias, f'conv{i + 1}')(x)
      if i > 0 and self.normalization == 'batch':
        norm = BatchNorm(self.axis_name, momentum=0.9, name=f'norm{i + 1}')
        x = norm(x, train=train)
      elif i > 0 and self.normalization == 'instance':
        x = InstanceNorm(name=f'norm{i + 1}')(x)
      x = jax.nn.leaky_relu(x, 0.2)
    return conv(1, 1, True, 'logit')(x)[..., 0]
