"""How much a generator's samples differ from one another."""

import numpy as np

from gan_jax.types import Array


def stddev_over_z(images: Array) -> float:
  """The standard deviation of each pixel over samples, averaged over pixels.

  It falls to nearly 0 when all z give one image. It does not see a generator
  that makes a few images well: compare it with the same figure of the data.

  Args:
    images: [N, H, W, C] in [-1, 1].

  Returns:
    The mean deviation for images scaled to [0, 1].
  """
  return float(np.asarray(images, np.float64).std(axis=0).mean() / 2.0)
