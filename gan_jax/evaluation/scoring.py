"""Scores of generated images and classifiers on a split of the data."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.core.types import PRNGKey
from gan_jax.data.batches import as_stored, to_uint8, to_unit_range
from gan_jax.data.dataset import Dataset, Examples, crop_to_native
from gan_jax.data.domain_sets import DomainDataset
from gan_jax.data.spec import POINT, DataSpec, DomainSpec
from gan_jax.evaluation import samples
from gan_jax.evaluation.classification import make_error_rate, wilson_interval
from gan_jax.evaluation.extractors import open_extractor
from gan_jax.evaluation.quality import METRICS, Quality, parse_metrics
from gan_jax.evaluation.translations import TranslationEvaluator
from gan_jax.metrics.artefacts import grid_artefact
from gan_jax.metrics.diversity import stddev_over_z, stddev_within_classes
from gan_jax.metrics.neighbours import nearest_neighbours
from gan_jax.runs import restore
from gan_jax.systems import System
from gan_jax.systems.state import Weights
from gan_jax.systems.system import Latents


def translation_evaluator(
  system: System, config: ConfigDict, spec: DomainSpec, key: PRNGKey
) -> TranslationEvaluator | None:
  """Returns the evaluator of a system that translates; None for any other."""
  if system.translator is None:
    return None
  return TranslationEvaluator(
    system.translator.ways,
    aligned=spec.aligned,
    batch_size=config.eval.batch_size,
    key=key,
  )


class QualityEvaluator:
  """Metrics of a system's generated images against a split's images.

  Args:
    system: it generates images from z or from images of another domain.
    config: the run's config.
    spec: the specification of its data.
    dataset: the splits.
    translation: the evaluator of a system that translates, else None.
    metrics: comma-separated names of `evaluation.quality.METRICS`.
    extractor: see `evaluation.extractors`.

  Raises:
    InputError: unknown metrics, no such extractor, or one that does not take
      such images.
  """

  def __init__(
    self,
    system: System,
    config: ConfigDict,
    spec: DataSpec | DomainSpec,
    dataset: Dataset | DomainDataset,
    translation: TranslationEvaluator | None,
    *,
    metrics: str,
    extractor: str | None,
  ):
    if system.sampler is None and translation is None:
      raise InputError(
        f'system {config.system} generates no images to compare by {metrics}'
      )
    self._names = parse_metrics(metrics)
    self._extractor = open_extractor(extractor)
    self._system, self._spec, self._dataset = system, spec, dataset
    self._translation = translation
    self._batch_size = config.eval.batch_size
    self._quality = Quality(
      self._names, self._extractor, batch_size=self._batch_size
    )
    if system.sampler is not None:
      self._generate = jax.jit(system.sampler.generate)
    self._real = {}

  def describe(self) -> dict[str, str]:
    """Returns the extractor's identity, as a result records it."""
    return self._extractor.describe()

  def names(self, split: str) -> list[str]:
    """Returns the flat names of values that can select the best checkpoint."""
    values = [v for name in self._names for v in METRICS[name].values]
    panels = [name for name, _ in self._real_images(split)]
    prefixes = [_prefix(split, name, len(panels)) for name in panels]
    return list(
      dict.fromkeys(prefix + v for prefix in prefixes for v in values)
    )

  def check(
    self,
    split: str,
    num_samples: int,
    labels: Sequence[int] | None = None,
    seed: int = 0,
  ) -> None:
    """Raises InputError for images that the metrics cannot compare."""
    for name, real in self._real_images(split):
      shape = real.shape[1:]
      of_real = self._real_labels(split)
      self._quality.check(len(real), shape, f'{split} images', of_real)
      num = self._num_made(name, split, num_samples)
      of_made = None
      if of_real is not None:
        of_made = self._latents(num, seed, labels).label
      self._quality.check(num, shape, name, of_made)

  def scores(
    self,
    weights: Weights,
    split: str,
    *,
    num_samples: int,
    seed: int,
    labels: Sequence[int] | None = None,
  ) -> dict[str, dict[str, float]]:
    """Computes the metrics of each of the generator's panels.

    Args:
      weights: the generator's weights.
      split: 'validation' or 'test'; all of its images are the real ones.
      num_samples: the number of samples; the maximum number of translations.
      seed: the seed of z.
      labels: classes of the samples, repeated in turn; None: drawn from the
        training labels.

    Returns:
      By panel, such as 'samples' or 'a2b': n_real, n_fake and the values.
    """
    scores = {}
    for name, real in self._real_images(split):
      if (split, name) not in self._real:
        self._real[split, name] = self._quality.features(
          real, f'{split} images', self._real_labels(split)
        )
      num = self._num_made(name, split, num_samples)
      fake, of_fake = self._make(weights, name, split, num, seed, labels)
      scores[name] = {
        'n_real': len(real),
        'n_fake': num,
        **self._quality.compare(
          self._real[split, name],
          self._quality.features(fake, name, of_fake),
        ),
      }
    return scores

  def _real_images(self, split: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the name of each panel and the real images to compare it with."""
    examples = getattr(self._dataset, split)
    if self._translation is None:
      native = crop_to_native(examples.image, self._spec.native_size)
      yield 'samples', native
    else:
      for way in self._system.translator.ways:
        target = getattr(examples, way[-1])
        yield way, np.stack([target[i] for i in range(len(target))])

  def _num_made(self, name: str, split: str, num_samples: int) -> int:
    if self._translation is None:
      return num_samples
    source = getattr(getattr(self._dataset, split), name[0])
    return min(num_samples, len(source))

  def _real_labels(self, split: str) -> np.ndarray | None:
    """Returns the real images' classes, if the generator is conditional."""
    sampler = self._system.sampler
    if sampler is None or not sampler.num_classes:
      return None
    return np.asarray(getattr(self._dataset, split).label)

  def _latents(
    self, num: int, seed: int, labels: Sequence[int] | None
  ) -> Latents:
    key = key_for(jax.random.key(seed), 'samples')
    latents = self._system.sampler.draw(key, num)
    if labels is None:
      return latents
    return samples.with_labels(latents, labels)

  def _make(
    self,
    weights: Weights,
    name: str,
    split: str,
    num: int,
    seed: int,
    labels: Sequence[int] | None,
  ) -> tuple[np.ndarray, np.ndarray | None]:
    """Generates images, uint8 [num, H, W, C], or points; and their classes."""
    if self._translation is not None:
      examples = getattr(self._dataset, split)
      panels = self._translation.panels(weights, name, examples, num)
      return np.asarray(to_uint8(panels[name])), None
    latents = self._latents(num, seed, labels)
    made = []
    for i in range(0, num, self._batch_size):
      rows = jax.tree.map(lambda x: x[i : i + self._batch_size], latents)  # noqa: B023
      made.append(as_stored(self._generate(weights, rows)[name]))
    of_made = None if latents.label is None else np.asarray(latents.label)
    images = crop_to_native(np.concatenate(made), self._spec.native_size)
    return images, of_made


def flat(scores: dict[str, dict[str, float]], split: str) -> dict[str, float]:
  """Flattens `QualityEvaluator.scores` to names such as 'validation_fid'.

  With several panels, the name includes the panel: 'validation_a2b_fid'.
  """
  return {
    _prefix(split, panel, len(scores)) + name: value
    for panel, values in scores.items()
    for name, value in values.items()
  }


def _prefix(split: str, panel: str, num_panels: int) -> str:
  return f'{split}_{panel}_' if num_panels > 1 else f'{split}_'


def evaluate(
  workdir: str,
  *,
  split: str = 'test',
  checkpoint: str = 'latest',
  num_samples: int = 500,
  seed: int = 0,
  metrics: str | None = None,
  extractor: str | None = None,
  data_dir: str | None = None,
  labels: Sequence[int] | None = None,
) -> dict[str, Any]:
  """Evaluates a checkpoint of a run.

  Args:
    workdir: the run directory.
    split: 'test' or 'validation'.
    checkpoint: see `restore.load_run`.
    num_samples: the number of samples to score.
    seed: the seed of the samples.
    metrics: comma-separated names of `evaluation.quality.METRICS`, or None.
    extractor: the metrics' feature extractor; see `evaluation.extractors`.
    data_dir: the current folder of the data, if it is not the config's.
    labels: classes of a conditional generator's samples, repeated in turn;
      None: drawn from the training labels.

  Returns:
    The step and the split. For a system that classifies: the error in [0, 1],
    its 95 % interval and the number of examples. For one that generates: the
    samples' standard deviation over z and their median distance to the nearest
    training image, each with the same figure of the split's examples, their
    `metrics.grid_artefact`, and, by panel, the metrics. Also which weights were
    used, 'averaged' or 'raw'.

  Raises:
    InputError: a bad argument, before any long computation.
  """
  run = restore.load_run(workdir, checkpoint)
  dataset = restore.load_run_data(run, data_dir).dataset
  examples = _of_split(dataset, split)
  translation = translation_evaluator(
    run.system,
    run.config,
    run.spec,
    key_for(jax.random.key(run.config.seed), 'fixed samples'),
  )
  latents = _latents(run, num_samples, seed, labels)
  sampling = {'num_samples': num_samples, 'seed': seed, 'labels': labels}
  quality = None
  if metrics is not None:
    parts = run.system, run.config, run.spec, dataset, translation
    quality = QualityEvaluator(*parts, metrics=metrics, extractor=extractor)
    quality.check(split, **sampling)
  generator = run.state.generator
  result: dict[str, Any] = {'step': run.step, 'split': split}
  if run.system.classifier is not None:
    result |= _classification(run, examples)
  if translation is not None:
    result |= translation.errors(generator.averaged, examples)
    result['generator_weights'] = generator.which
  if run.system.sampler is not None:
    figures = _samples(run, dataset, examples, latents)
    result |= {'num_samples': num_samples, 'seed': seed, **figures}
  if quality is not None:
    result['extractor'] = quality.describe()
    result |= quality.scores(generator.averaged, split, **sampling)
  return result


def _of_split(dataset: Dataset | DomainDataset, split: str) -> Any:
  """Returns a split's images; raises InputError if there are none."""
  examples = getattr(dataset, split)
  if not len(examples[0]):
    raise InputError(
      f'{dataset.name} has no {split} images; give '
      '--split=validation, or '
      'train with config.data.num_test'
    )
  return examples


def _latents(
  run: restore.TrainedRun, num: int, seed: int, labels: Sequence[int] | None
) -> Latents | None:
  """Draws the samples' latents; None for a system without a sampler."""
  if run.system.sampler is None:
    if labels is not None:
      raise InputError(f'system {run.config.system} takes no labels')
    return None
  latents = samples.latents(run, [seed], num)
  return latents if labels is None else samples.of_classes(run, latents, labels)


def _classification(
  run: restore.TrainedRun, examples: Examples
) -> dict[str, Any]:
  """Computes the error and its confidence interval."""
  player, total = run.state.discriminator, len(examples.label)
  error_rate = make_error_rate(
    run.system.classifier.predict, run.config.eval.batch_size
  )
  error = error_rate(player.averaged, examples)
  return {
    'num_examples': total,
    'error': error,
    'error_interval': list(wilson_interval(round(error * total), total)),
    'weights': player.which,
  }


def _samples(
  run: restore.TrainedRun,
  dataset: Dataset,
  examples: Examples,
  latents: Latents,
) -> dict[str, Any]:
  """Computes the diversity of samples and their distance to training images."""
  num = len(latents.z)
  native = run.spec.native_size
  train_image = crop_to_native(dataset.train.image, native)
  panels = samples.generate(run, latents)
  labels = dict.fromkeys(panels, latents.label)
  panels['data'] = crop_to_native(examples.image[:num], native)
  labels['data'] = examples.label[:num]
  figures = {'generator_weights': run.state.generator.which}
  for name, image in panels.items():
    figures[f'{name}_std'] = stddev_over_z(to_unit_range(image))
    if latents.label is not None:
      figures[f'{name}_std_within_classes'] = stddev_within_classes(
        to_unit_range(image), np.asarray(labels[name])
      )
    if image.shape[1:] == POINT:
      continue
    _, distance = nearest_neighbours(image, train_image)
    figures[f'{name}_to_train'] = float(np.median(distance)) / 255.0
    grid = grid_artefact(image, crop_to_native(examples.image, native))
    if grid is not None and name != 'data':
      figures[f'{name}_grid'] = grid
  return figures
