"""Evaluation of a state during training: scores and pictures."""

from typing import Any

import jax
import numpy as np

from gan_jax.core.errors import InputError, choice
from gan_jax.core.types import Array
from gan_jax.data.batches import as_stored
from gan_jax.data.dataset import Examples, crop_to_native
from gan_jax.evaluation.classification import make_error_rate, wilson_interval
from gan_jax.evaluation.samples import labels_of_grid
from gan_jax.evaluation.scoring import (
  QualityEvaluator,
  flat,
  translation_evaluator,
)
from gan_jax.metrics.diversity import stddev_over_z
from gan_jax.runs import grids
from gan_jax.runs.fingerprint import fingerprints
from gan_jax.runs.program import Program
from gan_jax.systems.state import TrainState

_NUM_SCORED = 100  # samples
# Format of the scores in a report's line on the terminal.
SHOWN = {
  'labelled_accuracy': 'labelled accuracy {:.1%}',
  'validation_error': 'validation error {:.1%}',
  'samples_std': 'std over z {:.3f}',
  'validation_l1_a2b': 'validation L1 {:.3f}',
  'validation_l1_b2a': 'validation L1 {:.3f}',
  'validation_grid_a2b': 'grid {:.2f}',
  'validation_grid_b2a': 'grid {:.2f}',
  'validation_cycle_a': 'validation cycle a {:.3f}',
  'validation_cycle_b': 'b {:.3f}',
}


class Evaluator:
  """Scores and pictures of a program's states; compiles each function once."""

  def __init__(self, program: Program):
    system = program.system
    self._program = program
    if system.classifier is not None:
      self._error_rate = make_error_rate(
        system.classifier.predict, program.config.eval.batch_size
      )
    if system.sampler is not None:
      self._generate = jax.jit(system.sampler.generate)
    config, data = program.config, program.data
    has_test = len(data.dataset.test[0]) > 0
    self._splits = ('validation', 'test') if has_test else ('validation',)
    self._translation = translation_evaluator(
      system, config, data.spec, program.key('fixed samples')
    )
    self._quality = None
    if config.eval.metrics is not None:
      self._quality = QualityEvaluator(
        system,
        config,
        data.spec,
        data.dataset,
        self._translation,
        metrics=config.eval.metrics,
        extractor=config.eval.extractor,
      )
      for split in self._splits:
        self._quality.check(split, config.eval.num_samples)
    self._check_best()

  def _check_best(self) -> None:
    """Raises InputError if checkpoint.best_metric cannot be computed."""
    name = self._program.config.checkpoint.best_metric
    if name is None:
      return
    every = self._program.plan.report_every
    names = ['validation_error'] if self._program.system.classifier else []
    if self._translation is not None:
      names += self._translation.names('validation')
    if self._quality is not None and name not in names:
      every = self._program.plan.eval_every
      names += self._quality.names('validation')
    if name not in names:
      if not names:
        raise InputError(
          f'config.checkpoint.best_metric = {name}, but the run computes no '
          'metric to choose by; set config.eval.metrics, too'
        )
      raise choice('config.checkpoint.best_metric', name, names)
    if self._program.plan.save_every % every:
      raise InputError(
        f'config.checkpoint.best_metric = {name} is computed every {every} '
        f'steps, but checkpoints are saved every '
        f'{self._program.plan.save_every}, which must be a multiple'
      )

  def error(self, state: TrainState, split: str) -> float:
    """Computes the error rate on 'train', 'validation' or 'test'."""
    examples = getattr(self._program.data.dataset, split)
    return self._error_rate(state.discriminator.averaged, examples)

  def scores(self, state: TrainState) -> dict[str, float]:
    """Computes the scores of a report. Never looks at the test split."""
    scores = {}
    if self._program.system.classifier is not None:
      labelled = Examples(
        *(
          column[self._program.data.mask]
          for column in self._program.data.dataset.train
        )
      )
      mistakes = self._error_rate(state.discriminator.averaged, labelled)
      scores['labelled_accuracy'] = 1.0 - mistakes
      scores['validation_error'] = self.error(state, 'validation')
    scores |= self._translation_errors(state, 'validation')
    for name, panel in self._panels(state, _NUM_SCORED).items():
      native = crop_to_native(
        np.asarray(panel), self._program.data.spec.native_size
      )
      scores[f'{name}_std'] = stddev_over_z(native)
    return scores

  def quality(self, state: TrainState, split: str) -> dict[str, Any]:
    """Computes the image metrics of `config.eval`; {} if none are set."""
    if self._quality is None:
      return {}
    config = self._program.config
    scores = self._quality.scores(
      state.generator.averaged,
      split,
      num_samples=config.eval.num_samples,
      seed=config.seed,
    )
    return {'extractor': self._quality.describe(), **flat(scores, split)}

  def line(
    self, step: int, state: TrainState, means: dict[str, float]
  ) -> dict[str, Any]:
    """Returns a report as in metrics.jsonl, without the times.

    Args:
      step: the step of the state.
      state: the state; it is evaluated by the metrics due at the step.
      means: the mean step metrics.
    """
    plan = self._program.plan
    line = {'step': step, 'epoch': step / plan.steps_per_epoch, **means}
    line |= self.scores(state)
    if step % plan.eval_every == 0:
      line |= self.quality(state, 'validation')
    return line

  def result(self, state: TrainState) -> dict[str, Any]:
    """Returns the part of result.json that a second run must reproduce.

    This is the only place where training looks at the test split, at its end.
    """
    program = self._program
    classification = {}
    has_test = 'test' in self._splits
    if program.system.classifier is not None and has_test:
      error, total = (
        self.error(state, 'test'),
        len(program.data.dataset.test.label),
      )
      classification = {
        'num_labels': int(program.data.mask.sum()),
        'test_error': error,
        'test_error_interval': list(
          wilson_interval(round(error * total), total)
        ),
        'num_test': total,
      }
    return {
      'system': program.config.system,
      'data': program.config.data.name,
      'steps': int(state.step),
      **classification,
      **(self._translation_errors(state, 'test') if has_test else {}),
      **self.scores(state),
      **(self.quality(state, 'test') if has_test else {}),
      'sha256': fingerprints(jax.device_get(state)),
      'data_sha256': program.describe_data()['sha256'],
    }

  def grids(self, state: TrainState) -> dict[str, np.ndarray]:
    """Renders pictures of the state, always from the same inputs.

    For samples these are a grid of `log.grid` for each of the generator's
    panels; for translations, a grid of examples with their panels side by side.
    """
    rows, columns = self._program.config.log.grid
    if self._translation is not None:
      shown = self._translation.pictures(
        state.generator.averaged,
        self._program.data.dataset.validation,
        rows * columns,
      )
      return {
        way: grids.grid(flat, columns * num_panels)
        for way, (flat, num_panels) in shown.items()
      }
    native_size = self._program.data.spec.native_size
    return {
      name: grids.grid(
        crop_to_native(np.asarray(as_stored(panel)), native_size), columns
      )
      for name, panel in self._panels(state, rows * columns, columns).items()
    }

  def _translation_errors(
    self, state: TrainState, split: str
  ) -> dict[str, float]:
    if self._translation is None:
      return {}
    errors = self._translation.errors(
      state.generator.averaged, getattr(self._program.data.dataset, split)
    )
    return {f'{split}_{name}': error for name, error in errors.items()}

  def _panels(
    self, state: TrainState, num: int, columns: int | None = None
  ) -> dict[str, Array]:
    """Generates `num` images from fixed latents; {} without a generator.

    With `columns`, each column of the grid gets a class of its own.
    """
    system = self._program.system
    if system.sampler is None:
      return {}
    latents = system.sampler.draw(self._program.key('fixed samples'), num)
    if columns and system.sampler.num_classes:
      label = labels_of_grid(num, columns, system.sampler.num_classes)
      latents = latents._replace(label=label)
    return self._generate(state.generator.averaged, latents)
