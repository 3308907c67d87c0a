"""Random images in a data set's shape, for trials without the data."""

import numpy as np

from gan_jax.data.dataset import Dataset, Examples
from gan_jax.data.domain_sets import DomainDataset, Domains
from gan_jax.data.preprocess import make_preprocess

_NUM_TRAIN, _NUM_TEST = 200, 30
_NUM_CLASSES = 10
SHAPES = {
  'cifar10': (32, 32, 3),
  'digits': (8, 8, 1),
  'fashion_mnist': (28, 28, 1),
  'idx': (28, 28, 1),
  'mnist': (28, 28, 1),
  'npz': (28, 28, 1),
  'svhn_cropped': (32, 32, 3),
  'svhn_cropped_extra': (32, 32, 3),
  'svhn_mat': (32, 32, 3),
  'svhn_mat_extra': (32, 32, 3),
}
_ALIGNED = ('pairs', 'gray_to_colour')


def made_up(
  shape: tuple[int, int, int], num_train: int, num_validation: int
) -> Dataset:
  """Draws images [H, W, C] of ten indistinguishable classes."""
  rng = np.random.default_rng(0)

  def examples(num):
    image = rng.integers(0, 256, (num, *shape), np.uint8)
    return Examples(image, (np.arange(num) % _NUM_CLASSES).astype(np.int32))

  parts = map(examples, (num_train, num_validation, _NUM_TEST))
  return Dataset('made-up', *parts, _NUM_CLASSES, shape[:2])


def made_up_like(config) -> Dataset:
  """Draws images in the shape of the data set that a group `data` names."""
  side = config.image_size or 32  # for folders, which have no image size
  shape = SHAPES.get(config.name.removeprefix('stacked_'), (side, side, 3))
  return made_up(shape, _NUM_TRAIN, config.num_validation)


def made_up_domains(
  shape: tuple[int, int, int],
  num_train: int,
  num_validation: int,
  *,
  seen: tuple[int, int],
  aligned: bool = True,
  a_channels: int | None = None,
) -> DomainDataset:
  """Draws images [H, W, C] of two domains; held-out ones have size `seen`."""
  rng = np.random.default_rng(0)

  def domains(num, height, width):
    return Domains(*(
      rng.integers(0, 256, (num, height, width, channels), np.uint8)
      for channels in (a_channels or shape[2], shape[2])
    ))  # fmt: skip

  parts = (
    domains(num_train, *shape[:2]),
    domains(num_validation, *seen),
    domains(3, *seen),
  )
  return DomainDataset('made-up', *parts, aligned)


def made_up_domains_like(config) -> DomainDataset:
  """Draws images in the shape of the data set that a group `data` names."""
  preprocess = make_preprocess(config)
  whole = preprocess.load
  return made_up_domains(
    (*whole, 3),
    10 * config.batch_size,
    config.num_validation,
    seen=preprocess.crop if preprocess.crops else whole,
    aligned=config.name in _ALIGNED,
    a_channels=1 if config.name == 'gray_to_colour' else None,
  )
