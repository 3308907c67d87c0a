"""Metrics of generated samples against data, on given features.

They are functions of NumPy arrays, in float64, and know no networks or files:

>>> import numpy as np
>>> from gan_jax import metrics
>>> rng = np.random.default_rng(0)
>>> real, fake = rng.normal(size=(2, 500, 8))
>>> moments = [metrics.Moments().update(x) for x in (real, fake)]
>>> print(round(metrics.frechet_distance(*moments), 2))
0.1
"""

from gan_jax.metrics.artefacts import grid_artefact, grid_energy
from gan_jax.metrics.classes import (
  ModeCoverage,
  classifier_score,
  mode_coverage,
)
from gan_jax.metrics.distances import (
  KernelDistance,
  Moments,
  frechet_distance,
  kernel_distance,
)
from gan_jax.metrics.diversity import (
  pairwise_diversity,
  stddev_over_z,
  stddev_within_classes,
)
from gan_jax.metrics.manifold import (
  DensityCoverage,
  PrecisionRecall,
  density_coverage,
  precision_recall,
)
from gan_jax.metrics.mixture import MixtureCoverage, mixture_coverage
from gan_jax.metrics.neighbours import nearest_neighbours

__all__ = (
  'DensityCoverage',
  'KernelDistance',
  'MixtureCoverage',
  'ModeCoverage',
  'Moments',
  'PrecisionRecall',
  'classifier_score',
  'density_coverage',
  'frechet_distance',
  'grid_artefact',
  'grid_energy',
  'kernel_distance',
  'mixture_coverage',
  'mode_coverage',
  'nearest_neighbours',
  'pairwise_diversity',
  'precision_recall',
  'stddev_over_z',
  'stddev_within_classes',
)
