"""Diversity of a generator's samples."""

import numpy as np

from gan_jax.core.types import Array


def stddev_over_z(images: Array) -> float:
  """Computes the mean over pixels of their standard deviation over samples.

  It falls to nearly 0 when all z give the same image. It does not detect a
  generator that produces only a few images: compare it with the value of data.

  Args:
    images: [N, H, W, C] in [-1, 1].

  Returns:
    The mean deviation for images scaled to [0, 1].
  """
  return float(np.asarray(images, np.float64).std(axis=0).mean() / 2.0)


def stddev_within_classes(images: Array, labels: np.ndarray) -> float:
  """Computes the standard deviation within each class, averaged over classes.

  Args:
    images: [N, H, W, C] in [-1, 1].
    labels: their classes, [N]; each class counts the same.

  Returns:
    The mean over classes of `stddev_over_z` of their images.
  """
  images, labels = np.asarray(images), np.asarray(labels)
  classes = np.unique(labels)
  return float(np.mean([stddev_over_z(images[labels == k]) for k in classes]))


def pairwise_diversity(samples: Array) -> float:
  """Computes the mean distance between outputs for the same input.

  It averages the Euclidean distance over all pairs of outputs, then over the
  inputs, on pixels or on features; the paper uses LPIPS features.

  Args:
    samples: [N, M, ...], M >= 2 outputs for each of N inputs.

  Returns:
    The mean distance.

  Raises:
    ValueError: another shape, or fewer than two outputs.

  References:
    Zhu et al. 2017, https://arxiv.org/abs/1711.11586, section 5.
  """
  samples = np.asarray(samples, np.float64)
  if samples.ndim < 3 or not samples.size or samples.shape[1] < 2:
    raise ValueError(f'samples must be [N, M >= 2, ...], got {samples.shape}')
  num = samples.shape[1]
  flat = samples.reshape(len(samples), num, -1)
  i, j = np.triu_indices(num, 1)
  return float(
    np.mean([np.linalg.norm(x[i] - x[j], axis=1).mean() for x in flat])
  )
