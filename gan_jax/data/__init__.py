"""Data sets, by the names that config files use."""

from gan_jax.data import digits, files, tfds_images
from gan_jax.data.dataset import Dataset, Examples, prepare
from gan_jax.errors import choice

# name -> function(data_dir, num_validation) -> Dataset
DATASETS = {'digits': digits.load} | files.LOADERS | tfds_images.LOADERS


def load_dataset(config) -> Dataset:
  """The data set of a config group `data`, split, padded and checked."""
  if config.name not in DATASETS:
    raise choice('data set', config.name, DATASETS)
  dataset = DATASETS[config.name](config.data_dir, config.num_validation)
  return prepare(dataset, config.image_size)


__all__ = ('DATASETS', 'Dataset', 'Examples', 'load_dataset')
