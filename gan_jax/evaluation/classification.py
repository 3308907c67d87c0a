"""Classification error, counted exactly."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data.batches import to_unit_range
from gan_jax.data.dataset import Examples
from gan_jax.training.state import Weights
from gan_jax.types import Array


def make_error_rate(
  predict: Callable[[Weights, Array], Array], batch_size: int
) -> Callable[[Weights, Examples], float]:
  """A function of (weights, examples) that returns the share of mistakes.

  Args:
    predict: (weights, images in [-1, 1]) -> class logits [B, K].
    batch_size: images per call; the last batch is filled up with zeros, which
      are not counted.

  Returns:
    The function; its result is (number of mistakes) / (number of examples).
  """

  @jax.jit
  def classes(weights, image):
    return jnp.argmax(predict(weights, to_unit_range(image)), axis=-1)

  def error_rate(weights: Weights, examples: Examples) -> float:
    mistakes, total = 0, len(examples.label)
    size = min(batch_size, total)
    for start in range(0, total, size):
      image = examples.image[start : start + size]
      label = examples.label[start : start + size]
      fill = size - len(image)
      image = np.pad(image, [(0, fill)] + [(0, 0)] * 3)
      predicted = np.asarray(classes(weights, image))[: len(label)]
      mistakes += int((predicted != label).sum())
    return mistakes / total

  return error_rate
