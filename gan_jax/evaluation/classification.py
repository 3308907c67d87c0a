"""Classification error, counted exactly."""

import functools
import statistics
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.core.types import Array
from gan_jax.data.batches import to_unit_range
from gan_jax.data.dataset import Examples
from gan_jax.systems.state import Weights


def make_error_rate(
  predict: Callable[[Weights, Array], Array], batch_size: int
) -> Callable[[Weights, Examples], float]:
  """Returns a function of (weights, examples) that computes the error rate.

  Args:
    predict: (weights, images in [-1, 1]) -> class logits [B, K].
    batch_size: images per call; the last batch is padded with zeros, which are
      not counted.

  Returns:
    The function; its result is (number of mistakes) / (number of examples).
  """

  def error_rate(weights: Weights, examples: Examples) -> float:
    mistakes, total = 0, len(examples.label)
    size = min(batch_size, total)
    for start in range(0, total, size):
      image = examples.image[start : start + size]
      label = examples.label[start : start + size]
      fill = size - len(image)
      image = np.pad(image, [(0, fill)] + [(0, 0)] * 3)
      predicted = np.asarray(_classes(predict, weights, image))[: len(label)]
      mistakes += int((predicted != label).sum())
    return mistakes / total

  return error_rate


@functools.partial(jax.jit, static_argnums=0)
def _classes(predict: Callable, weights: Weights, image: Array) -> Array:
  return jnp.argmax(predict(weights, to_unit_range(image)), axis=-1)


@functools.partial(jax.jit, static_argnums=0)
def _probabilities(predict: Callable, weights: Weights, image: Array) -> Array:
  return jax.nn.softmax(predict(weights, to_unit_range(image)))


def predicted_probabilities(
  predict: Callable[[Weights, Array], Array],
  weights: Weights,
  image: np.ndarray,
  batch_size: int,
) -> np.ndarray:
  """Computes the class probabilities of images.

  Args:
    predict: as for `make_error_rate`.
    weights: the weights for `predict`.
    image: uint8 [N, H, W, C].
    batch_size: images per call; the last batch is padded with zeros.

  Returns:
    float32 [N, K].
  """
  parts, size = [], min(batch_size, len(image))
  for start in range(0, len(image), size):
    batch = image[start : start + size]
    fill = [(0, size - len(batch))] + [(0, 0)] * 3
    made = np.asarray(_probabilities(predict, weights, np.pad(batch, fill)))
    parts.append(made[: len(batch)])
  return np.concatenate(parts)


def wilson_interval(
  mistakes: int, total: int, *, confidence: float = 0.95
) -> tuple[float, float]:
  """Computes Wilson's score interval of an error rate.

  It covers the sampling of the test images only, not that of seeds, labels or
  training images.

  Args:
    mistakes: in 0..total.
    total: images, > 0.
    confidence: in (0, 1).

  Returns:
    The lower and the upper bound, in [0, 1].

  Raises:
    ValueError: a number out of range.

  References:
    Wilson 1927, "Probable inference, the law of succession, and statistical
    inference".
  """
  if not 0 <= mistakes <= total or total < 1:
    raise ValueError(f'{mistakes} mistakes of {total} are not possible')
  if not 0.0 < confidence < 1.0:
    raise ValueError(f'confidence must lie in (0, 1), got {confidence}')
  z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
  share = mistakes / total
  middle = share + z * z / (2 * total)
  half = z * (share * (1 - share) / total + (z / (2 * total)) ** 2) ** 0.5
  scale = 1 + z * z / total
  return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
