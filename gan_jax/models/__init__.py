"""Networks of GAN papers, as Flax modules."""

from gan_jax.models.batch_layers import (
  MinibatchDiscrimination,
  VirtualBatchNorm,
)
from gan_jax.models.classifier import ClassifierOutput, ConvClassifier
from gan_jax.models.dcgan import ConvDiscriminator, DeconvGenerator
from gan_jax.models.mlp import (
  MLPDiscriminator,
  MLPGenerator,
  NoisyClassifier,
  SoftplusGenerator,
)
from gan_jax.models.patchgan import PatchDiscriminator
from gan_jax.models.resnet import ResNetGenerator
from gan_jax.models.unet import UNetGenerator

__all__ = (
  'ClassifierOutput',
  'ConvClassifier',
  'ConvDiscriminator',
  'DeconvGenerator',
  'MLPDiscriminator',
  'MLPGenerator',
  'MinibatchDiscrimination',
  'NoisyClassifier',
  'PatchDiscriminator',
  'ResNetGenerator',
  'SoftplusGenerator',
  'UNetGenerator',
  'VirtualBatchNorm',
)
