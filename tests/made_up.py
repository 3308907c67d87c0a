"""Random data sets."""

import io

import numpy as np
from PIL import Image

from gan_jax.data.dataset import Dataset, Examples
from gan_jax.data.domain_sets import DomainDataset, Domains
from gan_jax.data.synthetic import points
from gan_jax.data.synthetic.points import MIXTURES
from gan_jax.data.synthetic.stacked import stack


def labelled(num_train, size, channels):
  """Makes a data set of ten classes, with 20 validation and 30 test images."""
  rng = np.random.default_rng(0)

  def examples(num):
    image = rng.integers(0, 256, (num, size, size, channels), np.uint8)
    return Examples(image, (np.arange(num) % 10).astype(np.int32))

  parts = (examples(num_train), examples(20), examples(30))
  return Dataset('made-up', *parts, 10, (size, size))


def two_domains(config):
  """Makes domains of 9, 2 validation and 3 test images; `pairs` are aligned."""
  rng = np.random.default_rng(0)

  def split(num, side):
    shape = (num, side, side, 3)
    return Domains(*(rng.integers(0, 256, shape, np.uint8) for _ in 'ab'))

  train = split(9, config.load_size)
  others = split(2, config.crop_size), split(3, config.crop_size)
  return DomainDataset('made-up', train, *others, config.name == 'pairs')


def tiny():
  """Makes 8x8 images of three classes: 30 train, 12 validation, 12 test."""
  rng = np.random.default_rng(0)

  def examples(num):
    image = rng.integers(0, 256, (num, 8, 8, 1), np.uint8)
    return Examples(image, (np.arange(num) % 3).astype(np.int32))

  return Dataset('tiny', examples(30), examples(12), examples(12), 3, (8, 8))


def for_config(config):
  """Makes a data set of the kind, image size and channels of a config's."""
  if config.system == 'toy':
    return tiny()
  if 'crop_size' in config.data:
    return two_domains(config.data)
  if config.data.name in MIXTURES:
    return points.load(config.data.name, None, 20)
  name = config.data.name.partition('_')[0]
  sizes = {'digits': 8, 'mnist': 28, 'fashion': 28, 'svhn': 32}
  size = config.data.image_size or sizes[name]
  dataset = labelled(200, size, 3 if name == 'svhn' else 1)
  return stack(dataset) if name == 'stacked' else dataset


def prepare_tfds(data_dir, name, version, shape, splits, with_id=False):
  """Writes a small data set in the original layout, without TensorFlow.

  `splits` maps each split to the numbers of its images, which are of those
  numbers. Sides that are None in `shape` differ from image to image.
  """
  import tensorflow_datasets as tfds

  name, _, config_name = name.partition('/')
  with tfds.core.registered.skip_registration():

    class Builder(tfds.core.GeneratorBasedBuilder):
      VERSION = tfds.core.Version(version)
      if config_name:
        BUILDER_CONFIGS = (tfds.core.BuilderConfig(name=config_name),)

      def _info(self):
        features = {
          'image': tfds.features.Image(shape=shape),
          'label': tfds.features.ClassLabel(num_classes=10),
        }
        if with_id:
          features['id'] = tfds.features.Text()
        return self.dataset_info_from_configs(
          features=tfds.features.FeaturesDict(features)
        )

      def _split_generators(self, _):
        return {k: self._generate_examples(v) for k, v in splits.items()}

      def _generate_examples(self, numbers):
        for i in numbers:
          size = [n or 8 + i % 3 for n in shape]
          png = io.BytesIO()
          picture = np.full(size, i, np.uint8)
          Image.fromarray(picture.squeeze()).save(png, 'PNG')
          png.seek(0)
          row = {'image': png, 'label': i % 10}
          yield i, row | ({'id': f'train_{i:05d}'} if with_id else {})

  Builder.name = name
  Builder(data_dir=data_dir, file_format='array_record').download_and_prepare()
