import hashlib

import jax
import numpy as np
import pytest

from gan_jax.core.errors import InputError
from gan_jax.evaluation import extractors
from gan_jax.evaluation.extractors import open_extractor, random_extractor


def sha256_of(tree):
  leaves = jax.tree.leaves(tree)
  data = b''.join(np.asarray(leaf).tobytes() for leaf in leaves)
  return hashlib.sha256(data).hexdigest()


def images(num, size=9, channels=3):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (num, size, size, channels), np.uint8)


def test_the_random_network_is_always_the_same():
  one, other = (random_extractor(sha256_of) for _ in range(2))
  assert one.describe() == other.describe()
  assert one.describe()['sha256'] == one.sha256
  np.testing.assert_array_equal(
    one.extract(images(3))[0], other.extract(images(3))[0]
  )


def test_rows_do_not_depend_on_one_another():
  extract = random_extractor(sha256_of).extract
  features, logits = extract(images(4))
  assert features.shape == (4, 64)
  assert logits is None
  # Numbers up to 1 are summed in another order.
  alone, _ = extract(images(4)[2:3])
  np.testing.assert_allclose(alone, features[2:3], rtol=1e-5, atol=1e-6)
  assert np.ptp(features, axis=0).max() > 1e-3  # it sees the images


def test_gray_is_three_equal_channels():
  extract = random_extractor(sha256_of).extract
  gray = images(2, channels=1)
  np.testing.assert_array_equal(
    extract(gray)[0], extract(gray.repeat(3, axis=-1))[0]
  )


def test_points_are_their_own_features():
  extractor = open_extractor('ring')
  points = np.arange(6, dtype=np.float32).reshape(3, 1, 1, 2)
  features, logits = extractor.extract(points)
  np.testing.assert_array_equal(features, [[0, 1], [2, 3], [4, 5]])
  assert logits is None
  assert extractor.mixture.stddev == 0.01
  assert extractor.sha256 != open_extractor('grid').sha256


def of_digits(channels=1):
  """A classifier whose features and logits are sums of pixels."""

  def extract(images):
    total = np.asarray(images, np.float32).sum(axis=(1, 2, 3))
    return total[:, None], np.stack([total, -total], axis=1)

  return extractors.Extractor(
    'sums', '1', 'none', 'hash', extract, (4, 5, channels), classifies=True
  )


def test_stacked_digits_are_classified_channel_by_channel(monkeypatch):
  monkeypatch.setattr(extractors, '_classifier', lambda path: of_digits())
  extractor = open_extractor('stacked:DIR')
  image = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), np.uint8)
  features, logits = extractor.extract(image)
  totals = image.sum(axis=(1, 2), dtype=np.float32)
  np.testing.assert_array_equal(features, totals)
  np.testing.assert_array_equal(logits, np.stack([totals, -totals], axis=-1))
  assert extractor.image_shape == (4, 5, 3)
  assert extractor.num_labels == 3
  assert extractor.name == 'sums, on each channel'


def test_stacked_extractors_need_a_classifier_of_gray_images(monkeypatch):
  with pytest.raises(InputError, match='names no run of a classifier'):
    open_extractor('stacked:')
  monkeypatch.setattr(extractors, '_classifier', lambda path: of_digits(3))
  with pytest.raises(InputError, match='but that of sums takes 3 channels'):
    open_extractor('stacked:DIR')
