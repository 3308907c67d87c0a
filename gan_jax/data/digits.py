"""The handwritten digits that scikit-learn ships: real, and no network."""

import numpy as np

from gan_jax.core.errors import InputError
from gan_jax.data.dataset import Dataset, Examples, take_out

_NUM_TEST = 540


def load(data_dir: str | None, num_validation: int) -> Dataset:
  """1,797 8x8 digits: 540 for test, a validation part, the others to train.

  Test and validation are class-balanced; the training part holds what is left
  of each class, which is nearly as many. Pixels are 0..16 in the source.

  References:
    Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI.
  """
  if data_dir is not None:
    raise InputError(
      'config.data.data_dir is set, but the data set digits comes with '
      'scikit-learn and has none; leave it None'
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
