"""Metrics of generated against real images, in an extractor's features."""

import math
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from gan_jax.core.errors import InputError, choice
from gan_jax.data.synthetic.points import Mixture
from gan_jax.evaluation.extractors import Extractor
from gan_jax.metrics.classes import classifier_score, mode_coverage
from gan_jax.metrics.distances import Moments, frechet_distance, kernel_distance
from gan_jax.metrics.manifold import density_coverage, precision_recall
from gan_jax.metrics.mixture import mixture_coverage

_NEIGHBOURS = 3  # for precision and recall, as in their paper
_COVERAGE_NEIGHBOURS = 5  # for density and coverage, as in their paper
_KERNEL_SUBSET = 1000  # images in each of the kernel distance's 100 subsets
_LEAST_OF_CLASS = 20  # images, for a distance within one class


_Values = dict[str, float | None]


class Features(NamedTuple):
  """Features, class logits and classes of a set of images."""

  features: np.ndarray  # [N, D]
  logits: np.ndarray | None  # [N, K], or [N, 3, K] of stacked digits
  labels: np.ndarray | None = None  # [N]: true or requested classes
  mixture: Mixture | None = None  # that the features are points of

  def of_class(self, label: int) -> 'Features':
    """Returns the features of one class."""
    return Features(self.features[self.labels == label], None)


def _distances(real: Features, fake: Features, seed: int) -> _Values:
  num = min(len(real.features), len(fake.features))
  kernel = kernel_distance(
    real.features,
    fake.features,
    # Subsets of all images would be equal, and their deviation 0.
    subset_size=min(_KERNEL_SUBSET, num // 2),
    seed=seed,
  )
  return {
    'kid': kernel.value,
    'kid_std': kernel.std,
    'kid_subset_size': kernel.subset_size,
  }


def _frechet(real: Features, fake: Features, seed: int) -> _Values:
  moments = [Moments().update(each.features) for each in (real, fake)]
  return {'fid': frechet_distance(*moments), **_distances(real, fake, seed)}


def _manifold(real: Features, fake: Features, seed: int) -> _Values:
  del seed  # nothing is drawn
  pair = real.features, fake.features
  precision, recall = precision_recall(*pair, k=_NEIGHBOURS)
  density, coverage = density_coverage(*pair, k=_COVERAGE_NEIGHBOURS)
  return {
    'precision': precision,
    'recall': recall,
    'density': density,
    'coverage': coverage,
  }


def _score(real: Features, fake: Features, seed: int) -> _Values:
  del seed
  return {
    'score': classifier_score(fake.logits),
    'real_score': classifier_score(real.logits),
  }


def _modes(real: Features, fake: Features, seed: int) -> _Values:
  del seed
  fake_labels, real_labels = (x.logits.argmax(-1) for x in (fake, real))
  coverage = mode_coverage(fake_labels, real_labels, real.logits.shape[-1])
  # JSON has no infinity.
  kl = coverage.kl if math.isfinite(coverage.kl) else None
  return {'num_modes': coverage.num_modes, 'modes_kl': kl}


def _mixture(real: Features, fake: Features, seed: int) -> _Values:
  del seed
  real_coverage, coverage = (
    mixture_coverage(x.features, *x.mixture) for x in (real, fake)
  )
  return {
    'num_modes': coverage.num_modes,
    'near': coverage.near,
    'real_near': real_coverage.near,
    'modes_kl': None if math.isnan(coverage.kl) else coverage.kl,
  }


def _class_accuracy(real: Features, fake: Features, seed: int) -> _Values:
  del seed
  return {
    name: float((x.logits.argmax(-1) == x.labels).mean())
    for name, x in (('class_accuracy', fake), ('real_class_accuracy', real))
  }


def _by_class(compute: Callable, names: tuple[str, ...]) -> Callable:
  """Applies a metric to each class: class_NAME_LABEL, and means class_NAME."""

  def values(real: Features, fake: Features, seed: int) -> _Values:
    found = {
      label: compute(real.of_class(label), fake.of_class(label), seed)
      for label in np.intersect1d(real.labels, fake.labels)
    }
    means = {
      f'class_{name}': float(np.mean([of[name] for of in found.values()]))
      for name in names
    }
    return means | {
      f'class_{name}_{label}': of[name]
      for label, of in found.items()
      for name in names
    }

  return values


class _Metric(NamedTuple):
  compute: Callable[[Features, Features, int], _Values]
  least: int  # minimum number of images, real and generated, or per class
  classifies: bool  # whether the extractor must be a classifier
  values: tuple[str, ...]  # those that can select the best checkpoint
  of_classes: bool = False  # whether images must have classes
  per_class: bool = False  # whether it is computed within each class
  has_covariance: bool = False  # whether it needs more images than features
  of_points: bool = False  # whether it needs points of a known mixture
  several_labels: bool = False  # whether images may have several labels each


METRICS = {
  # It always includes the kernel distance.
  'fid': _Metric(_frechet, 4, False, ('fid', 'kid')),
  'kid': _Metric(_distances, 4, False, ('kid',)),
  'prdc': _Metric(
    _manifold,
    _COVERAGE_NEIGHBOURS + 1,
    False,
    ('precision', 'recall', 'density', 'coverage'),
  ),
  'score': _Metric(_score, 1, True, ('score',)),
  'modes': _Metric(
    _modes, 1, True, ('num_modes', 'modes_kl'), several_labels=True
  ),
  'mixture': _Metric(
    _mixture, 1, False, ('num_modes', 'near', 'modes_kl'), of_points=True
  ),
  'class_accuracy': _Metric(
    _class_accuracy, 1, True, ('class_accuracy',), of_classes=True
  ),
  'class_fid': _Metric(
    _by_class(_frechet, ('fid', 'kid')),
    _LEAST_OF_CLASS,
    False,
    ('class_fid', 'class_kid'),
    of_classes=True,
    per_class=True,
    has_covariance=True,
  ),
  'class_kid': _Metric(
    _by_class(_distances, ('kid',)),
    _LEAST_OF_CLASS,
    False,
    ('class_kid',),
    of_classes=True,
    per_class=True,
  ),
}


def parse_metrics(text: str) -> list[str]:
  """Parses names of METRICS such as 'fid,prdc'; InputError for others."""
  names = [name.strip() for name in text.split(',')]
  for name in names:
    if name not in METRICS:
      raise choice('metric', name, METRICS)
  return list(dict.fromkeys(names))


def _check_classes(
  name: str,
  metric: _Metric,
  num_features: int,
  what: str,
  labels: np.ndarray,
) -> None:
  """Raises InputError for a class with too few images."""
  least, why = metric.least, 'a distance between fewer means nothing'
  if metric.has_covariance and num_features >= least:
    least = num_features + 1
    why = f'with fewer, the covariance of {num_features} features is singular'
  found, counts = np.unique(labels, return_counts=True)
  label, count = found[counts.argmin()], counts.min()
  if count < least:
    raise InputError(
      f'{name} needs {least} images of each class ({why}), but class {label} '
      f'has {count} {what}; take more, or leave the metric out'
    )


class Quality:
  """Metrics between sets of images.

  Args:
    metrics: names of METRICS.
    extractor: the feature extractor.
    batch_size: images per call of the extractor.
    seed: seed of the kernel distance's subsets.

  Raises:
    InputError: a metric needs a classifier, but the extractor is none.
  """

  def __init__(
    self,
    metrics: list[str],
    extractor: Extractor,
    *,
    batch_size: int,
    seed: int = 0,
  ):
    self._metrics = {name: METRICS[name] for name in metrics}
    for name, metric in self._metrics.items():
      if metric.classifies and not extractor.classifies:
        raise InputError(
          f'{name} needs a classifier, but extractor {extractor.name} is none; '
          'leave the metric out, or choose another extractor'
        )
      if metric.of_points and extractor.mixture is None:
        raise InputError(
          f'{name} needs points of a known mixture, but extractor '
          f'{extractor.name} is for images; train on data that are points, and '
          'name the data set as extractor, e.g. --extractor=grid'
        )
      if (
        metric.classifies
        and extractor.num_labels > 1
        and not metric.several_labels
      ):
        raise InputError(
          f'{name} needs images of one class each, but those of extractor '
          f'{extractor.name} have {extractor.num_labels}; leave it out'
        )
    self._extractor, self._batch_size = extractor, batch_size
    self._seed = seed

  def check(
    self,
    num: int,
    shape: tuple[int, ...],
    what: str,
    labels: np.ndarray | None = None,
  ) -> None:
    """Raises InputError for images that cannot be compared.

    Args:
      num: the number of images.
      shape: H, W, C of each.
      what: their name in messages.
      labels: [num], their classes, if they have any.
    """
    for name, metric in self._metrics.items():
      if metric.of_classes and labels is None:
        raise InputError(
          f'{name} needs images with classes, but the {what} have none; leave '
          'it out, or train with config.model.conditioning'
        )
      if num < metric.least:
        raise InputError(
          f'{name} needs {metric.least} real and {metric.least} generated '
          f'images or more, not {num} {what}'
        )
    wanted = self._extractor.image_shape
    if wanted is not None and tuple(shape) != wanted:
      raise InputError(
        f'extractor {self._extractor.name} takes images of '
        f'{"x".join(map(str, wanted))}, not {what} of '
        f'{"x".join(map(str, shape))}'
      )
    of_classes = {k: m for k, m in self._metrics.items() if m.of_classes}
    if not of_classes:
      return
    seen = self._extractor.extract(np.zeros((1, *shape), np.uint8))
    num_features = seen[0].shape[-1]
    for name, metric in of_classes.items():
      if metric.classifies and max(labels) >= seen[1].shape[-1]:
        raise InputError(
          f'{name} uses the classes of the extractor, which has '
          f'{seen[1].shape[-1]}, but the {what} have class {max(labels)}; '
          'choose an extractor that was trained on the same classes'
        )
      if metric.per_class:
        _check_classes(name, metric, num_features, what, labels)

  def features(
    self, images: np.ndarray, what: str, labels: np.ndarray | None = None
  ) -> Features:
    """Extracts the features of images.

    Args:
      images: uint8 [N, H, W, C], or points.
      what: their name in the progress bar.
      labels: [N], their classes, if they have any.

    Raises:
      InputError: see `check`.
    """
    self.check(len(images), images.shape[1:], what, labels)
    features, logits = zip(*self._batches(images, what), strict=True)
    return Features(
      np.concatenate(features),
      np.concatenate(logits) if self._extractor.classifies else None,
      labels,
      self._extractor.mixture,
    )

  def _batches(self, images: np.ndarray, what: str) -> Iterator[tuple]:
    """Yields features and logits of each batch; pads the last with zeros."""
    size = min(self._batch_size, len(images))
    starts = range(0, len(images), size)
    for start in tqdm(
      starts, desc=f'{what}', leave=False, disable=not sys.stderr.isatty()
    ):
      batch = images[start : start + size]
      fill = [(0, size - len(batch))] + [(0, 0)] * 3
      seen = self._extractor.extract(np.pad(batch, fill))
      yield tuple(
        None if x is None else np.asarray(x)[: len(batch)] for x in seen
      )

  def compare(self, real: Features, fake: Features) -> _Values:
    """Computes the metrics' values by name; `fid` includes `kid`."""
    scores = {}
    for metric in self._metrics.values():
      scores |= metric.compute(real, fake, self._seed)
    return scores
