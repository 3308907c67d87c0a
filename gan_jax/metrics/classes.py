"""Classifier-based metrics of generated images."""

import functools
import math
from typing import NamedTuple

import numpy as np


class ModeCoverage(NamedTuple):
  """Mode coverage, with classes as modes."""

  num_modes: int  # classes with at least one sample
  kl: float  # divergence of the samples' classes from the data's, in nats


def classifier_score(class_logits: np.ndarray) -> float:
  r"""Computes the Inception score from a classifier's logits.

  .. math:: \exp\left(\mathbb E_x\, \text{KL}(p(y | x) \,\|\, p(y))\right)

  It is the published Inception score only with Inception's classes; papers
  average it over ten splits of 50,000 samples, here it is over all samples.

  Args:
    class_logits: logits of the samples, [N, K].

  Returns:
    The score, from 1 to K.

  Raises:
    ValueError: another shape, no sample, or a number that is not finite.

  References:
    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 4.
  """
  logits = np.asarray(class_logits, np.float64)
  if logits.ndim != 2 or not logits.size or not np.isfinite(logits).all():
    raise ValueError(
      f'class_logits must be [N, K] and finite, got {logits.shape}'
    )
  logits = logits - logits.max(axis=1, keepdims=True)
  log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
  p = np.exp(log_p)
  mean = p.mean(axis=0)
  # A class of probability 0 for all samples adds nothing.
  log_mean = np.log(mean, where=mean > 0, out=np.zeros_like(mean))
  return float(np.exp((p * (log_p - log_mean)).sum(axis=1).mean()))


def mode_coverage(
  fake_labels: np.ndarray, real_labels: np.ndarray, num_classes: int
) -> ModeCoverage:
  r"""Counts classes among samples, and computes their shares' divergence.

  .. math:: \text{KL} = \sum_k f_k \log \frac{f_k}{r_k}

  with f and r the shares of class k among samples and data.

  Stacked digits have several labels each. Their modes are all combinations; as
  the labels of data are independent of each other, r is the product of their
  shares. With K modes and N perfect samples the divergence is about
  (K - 1) / 2N: 0.019 for 1,000 modes and 26,000 samples.

  Args:
    fake_labels: a classifier's labels of samples, integers [N], or [N, L].
    real_labels: labels of data, integers [M], or [M, L].
    num_classes: K; labels lie in 0..K - 1.

  Returns:
    The number of modes with a sample, and the divergence: infinity if samples
    have a class that data do not.

  Raises:
    ValueError: no labels, or labels out of range.

  References:
    Metz et al. 2016, https://arxiv.org/abs/1611.02163, and Lin et al. 2017,
    https://arxiv.org/abs/1712.04086.
  """
  fake, real = (
    _labels(name, labels, num_classes)
    for name, labels in (
      ('fake_labels', fake_labels),
      ('real_labels', real_labels),
    )
  )
  num_labels = fake.shape[1]
  if real.shape[1] != num_labels:
    raise ValueError(
      f'fake_labels have {num_labels} labels each, real_labels {real.shape[1]}'
    )
  shape = (num_classes,) * num_labels
  modes = np.ravel_multi_index(fake.T, shape)
  fake = np.bincount(modes, minlength=math.prod(shape)) / len(fake)
  of_labels = [np.bincount(x, minlength=num_classes) / len(x) for x in real.T]
  real = functools.reduce(np.multiply.outer, of_labels).ravel()
  there = fake > 0
  with np.errstate(divide='ignore'):
    kl = np.sum(fake[there] * np.log(fake[there] / real[there]))
  return ModeCoverage(int(there.sum()), float(kl))


def _labels(name: str, labels: np.ndarray, num_classes: int) -> np.ndarray:
  labels = np.asarray(labels)
  good = labels.ndim in (1, 2) and labels.size and labels.dtype.kind in 'iu'
  if not good or labels.min() < 0 or labels.max() >= num_classes:
    raise ValueError(
      f'{name} must be integers [N] or [N, L] in 0..{num_classes - 1}, N > 0'
    )
  return labels.reshape(len(labels), -1)
