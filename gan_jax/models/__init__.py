"""Networks of GAN papers, as Flax modules."""

from gan_jax.models.batch_layers import (
  MinibatchDiscrimination,
  VirtualBatchNorm,
)
from gan_jax.models.classifier import ClassifierOutput, ConvClassifier
from gan_jax.models.conditional import ConcatenatedLabel, ConditionalBatchNorm
from gan_jax.models.dcgan import ConvDiscriminator, DeconvGenerator
from gan_jax.models.layers import Conv, ConvTranspose, WeightNormDense
from gan_jax.models.mlp import (
  BatchNormMLPGenerator,
  MaxoutDiscriminator,
  MLPDiscriminator,
  MLPGenerator,
  NoisyClassifier,
  SoftplusGenerator,
)
from gan_jax.models.patch_heads import PatchHeads
from gan_jax.models.patchgan import PatchDiscriminator
from gan_jax.models.r3gan import R3GANDiscriminator, R3GANGenerator
from gan_jax.models.resnet import ResNetGenerator
from gan_jax.models.sngan import ResNetDiscriminator, ResNetImageGenerator
from gan_jax.models.unet import UNetGenerator

__all__ = (
  'BatchNormMLPGenerator',
  'ClassifierOutput',
  'ConcatenatedLabel',
  'ConditionalBatchNorm',
  'Conv',
  'ConvClassifier',
  'ConvDiscriminator',
  'ConvTranspose',
  'DeconvGenerator',
  'MLPDiscriminator',
  'MLPGenerator',
  'MaxoutDiscriminator',
  'MinibatchDiscrimination',
  'NoisyClassifier',
  'PatchDiscriminator',
  'PatchHeads',
  'R3GANDiscriminator',
  'R3GANGenerator',
  'ResNetDiscriminator',
  'ResNetGenerator',
  'ResNetImageGenerator',
  'SoftplusGenerator',
  'UNetGenerator',
  'VirtualBatchNorm',
  'WeightNormDense',
)
