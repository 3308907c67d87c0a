"""Pictures and figures of a report that need networks and data.

Each thing is small, so that all of it takes seconds, and none looks at the
test split.
"""

import pathlib
from typing import Any

import jax
import numpy as np

from gan_jax.core.files import write_json
from gan_jax.core.rng import key_for
from gan_jax.data.batches import to_unit_range
from gan_jax.data.dataset import Dataset, Examples, crop_to_native
from gan_jax.data.domains import DomainData
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import POINT, split_sizes
from gan_jax.evaluation import samples
from gan_jax.evaluation.classification import predicted_probabilities
from gan_jax.evaluation.scoring import translation_evaluator
from gan_jax.metrics.diversity import stddev_over_z
from gan_jax.metrics.neighbours import nearest_neighbours
from gan_jax.reporting.closer_look import REAL
from gan_jax.runs import grids, restore

_COLUMNS = 12  # of samples and their neighbours
_NUM_SAMPLES = 2 * _COLUMNS
_NUM_HELD_OUT = 100  # validation images that samples are compared with
_MAX_COMPARED = 50_000  # training images
_SEEDS, _BETWEEN = range(6), 8  # of the interpolation
_MAX_CLASSES, _OF_CLASS = 20, 16  # that are looked at; images of each
_SHOWN_OF_CLASS = 3
_MAX_CLASSIFIED = 1000
_NUM_HARDEST = 20
_NUM_TRANSLATED = 6


def write_insights(
  run: restore.TrainedRun, data: LabelledData | DomainData
) -> None:
  """Writes DIR/report/: insights.json and the pictures that go with it.

  Args:
    run: an open run, or one that is just being trained.
    data: what it is trained on.
  """
  folder = run.directory.path / 'report'
  folder.mkdir(exist_ok=True)
  for old in folder.glob('*.png'):
    old.unlink()
  found: dict[str, Any] = {
    'step': run.step,
    'weights': run.state.generator.which,
    'num_images': split_sizes(data),
  }
  if run.system.sampler is not None:
    save_real(run, data.dataset.validation, folder)
    if run.spec.image_shape != POINT:
      found |= _look_at_samples(run, data.dataset, folder)
    if run.system.sampler.num_classes:
      found['classes'] = _look_at_classes(run, data.dataset, folder)
  if run.system.classifier is not None:
    examples = data.dataset.validation
    found['classification'] = _look_at_mistakes(run, examples, folder)
  if run.system.translator is not None:
    found['translations'] = _look_at_translations(run, data, folder)
  write_json(folder / 'insights.json', found)


def save_real(
  run: restore.TrainedRun, examples: Examples, folder: pathlib.Path
) -> None:
  """Writes as many images as a report's grid of samples has, laid out alike."""
  rows, columns = run.config.log.grid
  num, num_classes = rows * columns, run.system.sampler.num_classes
  if num_classes:
    labels = samples.labels_of_grid(num, columns, num_classes)
    image = _of_labels(examples, labels)
  else:
    image = _spread(examples.image, num)
  image = crop_to_native(image, run.spec.native_size)
  grids.save_png(folder / REAL, grids.grid(image, columns))


def _of_labels(examples: Examples, labels: np.ndarray) -> np.ndarray:
  """An image of each label in turn; black where a class has too few."""
  image = np.zeros((len(labels), *examples.image.shape[1:]), np.uint8)
  for label in np.unique(labels):
    places = np.flatnonzero(labels == label)
    found = examples.image[examples.label == label][: len(places)]
    image[places[: len(found)]] = found
  return image


def _look_at_samples(
  run: restore.TrainedRun, dataset: Dataset, folder: pathlib.Path
) -> dict[str, Any]:
  """Samples beside their nearest training images, and on the way to others."""
  native = run.spec.native_size
  train = crop_to_native(_spread(dataset.train.image, _MAX_COMPARED), native)
  held_out = _spread(dataset.validation.image, _NUM_HELD_OUT)
  held_out = crop_to_native(held_out, native)
  found = {
    'num_compared': len(train),
    'data': {'num': len(held_out)} | _compare(held_out, train)[0],
    'samples': {},
  }
  drawn = samples.latents(run, [0], _NUM_SAMPLES)
  tour = samples.closed_tour(run, samples.latents(run, _SEEDS), _BETWEEN)
  tours = samples.generate(run, tour)
  for name, sampled in samples.generate(run, drawn).items():
    on_the_way = tours[name]
    found['samples'][name], nearest = _compare(sampled, train)
    found['samples'][name]['num'] = len(sampled)
    rows = [
      panel.reshape(-1, 1, _COLUMNS, *panel.shape[1:])
      for panel in (sampled, nearest)
    ]
    pairs = np.concatenate(rows, axis=1).reshape(-1, *sampled.shape[1:])
    grids.save_png(
      folder / f'neighbours_{name}.png', grids.grid(pairs, _COLUMNS)
    )
    grids.save_png(
      folder / f'interpolation_{name}.png',
      grids.grid(on_the_way, _BETWEEN + 1),
    )
  return found


def _look_at_classes(
  run: restore.TrainedRun, dataset: Dataset, folder: pathlib.Path
) -> dict[str, Any]:
  """Samples of each class above validation images of it, and how they vary."""
  num_classes = min(run.system.sampler.num_classes, _MAX_CLASSES)
  validation = dataset.validation
  real = crop_to_native(validation.image, run.spec.native_size)
  columns = [
    real[validation.label == k][:_OF_CLASS] for k in range(num_classes)
  ]
  drawn = samples.latents(run, [1], _OF_CLASS * num_classes)
  drawn = samples.of_classes(run, drawn, range(num_classes))
  found = {}
  for name, image in samples.generate(run, drawn).items():
    image = image.reshape(_OF_CLASS, num_classes, *image.shape[1:])
    found[name] = [
      {
        'label': str(k),
        'std': stddev_over_z(to_unit_range(image[:, k])),
        'data_std': stddev_over_z(to_unit_range(column))
        if len(column) == _OF_CLASS
        else None,
      }
      for k, column in enumerate(columns)
    ]
    shown = np.zeros((2, _SHOWN_OF_CLASS, *image.shape[1:]), np.uint8)
    shown[0] = image[:_SHOWN_OF_CLASS]
    for k, column in enumerate(columns):
      some = column[:_SHOWN_OF_CLASS]
      shown[1, : len(some), k] = some
    rows = shown.reshape(-1, *image.shape[2:])
    grids.save_png(
      folder / f'classes_{name}.png', grids.grid(rows, num_classes)
    )
  return {'samples': found, 'num': _OF_CLASS}


def _compare(
  image: np.ndarray, train: np.ndarray
) -> tuple[dict[str, float | int], np.ndarray]:
  """Figures of images [N, H, W, C], and the nearest training image of each."""
  index, distance = nearest_neighbours(image, train)
  figures = {
    'std': stddev_over_z(to_unit_range(image)),
    'to_train': float(np.median(distance)) / 255.0,
    'identical': int((distance == 0).sum()),
  }
  return figures, train[index]


def _look_at_mistakes(
  run: restore.TrainedRun, examples: Examples, folder: pathlib.Path
) -> dict[str, Any]:
  """Counts confusions of validation images, and picks the hardest."""
  image, label = (_spread(column, _MAX_CLASSIFIED) for column in examples)
  probability = predicted_probabilities(
    run.system.classifier.predict,
    run.state.discriminator.averaged,
    image,
    run.config.eval.batch_size,
  )
  num_classes = probability.shape[1]
  predicted = probability.argmax(axis=1)
  confusion = np.zeros((num_classes, num_classes), int)
  np.add.at(confusion, (label, predicted), 1)
  own = probability[np.arange(len(label)), label]
  hardest = np.argsort(own, kind='stable')[:_NUM_HARDEST]
  shown = crop_to_native(image[hardest], run.spec.native_size)
  for i in range(len(hardest)):
    grid = grids.grid(shown[i : i + 1], 1)
    grids.save_png(folder / f'hardest_{i:02d}.png', grid)
  return {
    'weights': run.state.discriminator.which,
    'split': 'validation',
    'num': len(label),
    'of': len(examples.label),
    'error': float((predicted != label).mean()),
    'classes': [str(k) for k in range(num_classes)],
    'confusion': confusion.tolist(),
    'hardest': [
      {
        'label': str(label[i]),
        'predicted': str(predicted[i]),
        'probability': float(probability[i].max()),
      }
      for i in hardest
    ],
  }


def _look_at_translations(
  run: restore.TrainedRun, data: DomainData, folder: pathlib.Path
) -> dict[str, list[str]]:
  """Validation images, what becomes of them, and what they should become."""
  evaluator = translation_evaluator(
    run.system,
    run.config,
    run.spec,
    key_for(jax.random.key(run.config.seed), 'fixed samples'),
  )
  shown = evaluator.pictures(
    run.state.generator.averaged, data.dataset.validation, _NUM_TRANSLATED
  )
  columns = {}
  for way, (flat, num_panels) in shown.items():
    grid = grids.grid(flat, num_panels)
    grids.save_png(folder / f'translation_{way}.png', grid)
    names = ['input', 'output']
    if len(run.system.translator.ways) == 2:
      names.append('translated back')
    if run.spec.aligned:
      names.append('target')
    columns[way] = names
  return columns


def _spread(column: np.ndarray, num: int) -> np.ndarray:
  """At most `num` rows, evenly spread: data may be sorted by class."""
  if len(column) <= num:
    return column
  return column[np.linspace(0, len(column) - 1, num).astype(int)]
