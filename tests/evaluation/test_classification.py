import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.data.dataset import Examples
from gan_jax.evaluation.classification import make_error_rate


def predict(weights, image):
  """Calls an image the class that its first pixel, 0..255, names."""
  value = jnp.round((image[:, 0, 0, 0] + 1) * 127.5)
  return -jnp.abs(value[:, None] - jnp.arange(10) - weights)


@pytest.mark.parametrize('batch_size', [1, 3, 7, 100])
def test_mistakes_are_counted_exactly(batch_size):
  label = np.array([0, 1, 2, 3, 4, 5, 6], np.int32)
  image = np.zeros((7, 2, 2, 1), np.uint8)
  image[:, 0, 0, 0] = [0, 1, 9, 3, 4, 9, 6]
  error_rate = make_error_rate(predict, batch_size)
  assert error_rate(0, Examples(image, label)) == 2 / 7
  assert error_rate(-1, Examples(image, label)) == 1.0
  assert error_rate(0, Examples(image[:1], label[:1])) == 0.0
