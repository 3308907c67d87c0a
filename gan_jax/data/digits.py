"""Scikit-learn's handwritten digits: real images without a download."""

import numpy as np

from gan_jax.core.errors import InputError
from gan_jax.data.dataset import Dataset, Examples, take_out

_NUM_TEST = 540


def load(data_dir: str | None, num_validation: int) -> Dataset:
  """Loads 1,797 digits of 8x8 pixels: 540 for test, the rest for training.

  Validation images are taken from the training part. Test and validation are
  class-balanced, the training part nearly so. Source pixels are 0..16.

  References:
    Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI.
  """
  if data_dir is not None:
    raise InputError(
      'config.data.data_dir is set, but the data set digits comes with '
      'scikit-learn and needs none; leave it None'
    )
  from sklearn import datasets  # slow to import

  source = datasets.load_digits()
  image = np.round(source.images * (255 / 16)).astype(np.uint8)[..., None]
  rest = Examples(image, source.target.astype(np.int32))
  rest, test = take_out(rest, _NUM_TEST, 10, 'digits test')
  train, validation = take_out(
    rest, num_validation, 10, 'config.data.num_validation, digits'
  )
  return Dataset('digits', train, validation, test, 10, (8, 8))
