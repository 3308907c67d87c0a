import hashlib

import jax
import numpy as np

from gan_jax.evaluation.extractors import random_extractor


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
