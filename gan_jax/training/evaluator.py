"""Scores and pictures of a state during training."""

from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax.data.batches import to_uint8
from gan_jax.data.dataset import Examples, crop_to_native
from gan_jax.data.spec import DomainSpec
from gan_jax.evaluation.classification import make_error_rate
from gan_jax.evaluation.diversity import stddev_over_z
from gan_jax.evaluation.translation import TranslationEvaluator
from gan_jax.reporting import images
from gan_jax.systems import System
from gan_jax.training.fingerprint import fingerprints
from gan_jax.training.program import Program
from gan_jax.training.state import TrainState
from gan_jax.types import Array, PRNGKey

_NUM_SCORED = 100  # samples


class Evaluator:
  """Compiles once what is asked of a program's state again and again."""

  def __init__(self, program: Program):
    system = program.system
    self._program = program
    if system.predict is not None:
      self._error_rate = make_error_rate(
        system.predict, program.config.eval.batch_size
      )
    if system.generate is not None:
      self._generate = jax.jit(system.generate)
    self._translation = translation_evaluator(
      system, program.config, program.data.spec, program.key('fixed samples')
    )

  def error(self, state: TrainState, split: str) -> float:
    """The share of mistakes on 'train', 'validation' or 'test'."""
    examples = getattr(self._program.data.dataset, split)
    return self._error_rate(state.discriminator.averaged, examples)

  def scores(self, state: TrainState) -> dict[str, float]:
    """What is reported as training goes on. Never looks at the test split."""
    scores = {}
    if self._program.system.predict is not None:
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

  def result(self, state: TrainState) -> dict[str, Any]:
    """All of result.json that a second run must reproduce.

    The only place where training looks at the test split: at its end.
    """
    program = self._program
    classification = {}
    if program.system.predict is not None:
      classification = {
        'num_labels': int(program.data.mask.sum()),
        'test_error': self.error(state, 'test'),
        'num_test': len(program.data.dataset.test.label),
      }
    return {
      'system': program.config.system,
      'data': program.config.data.name,
      'steps': int(state.step),
      **classification,
      **self._translation_errors(state, 'test'),
      **self.scores(state),
      'sha256': fingerprints(jax.device_get(state)),
      'data_sha256': program.describe_data()['sha256'],
    }

  def grids(self, state: TrainState) -> dict[str, np.ndarray]:
    """Pictures of the state, always of the same inputs.

    Of samples, a grid `log.grid` of each of the generator's panels; of
    translations, a grid of examples, each of which is its panels side by side.
    """
    rows, columns = self._program.config.log.grid
    if self._translation is not None:
      shown = self._translation.pictures(
        state.generator.averaged,
        self._program.data.dataset.validation,
        rows * columns,
      )
      return {
        way: images.grid(flat, columns * num_panels)
        for way, (flat, num_panels) in shown.items()
      }
    native_size = self._program.data.spec.native_size
    return {
      name: images.grid(
        crop_to_native(np.asarray(to_uint8(panel)), native_size), columns
      )
      for name, panel in self._panels(state, rows * columns).items()
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

  def _panels(self, state: TrainState, num: int) -> dict[str, Array]:
    """What G makes of the first `num` fixed z; nothing without a generator."""
    system = self._program.system
    if system.generate is None:
      return {}
    z = system.sample_z(self._program.key('fixed samples'), num)
    return self._generate(state.generator.averaged, z)


def translation_evaluator(
  system: System, config: ConfigDict, spec: DomainSpec, key: PRNGKey
) -> TranslationEvaluator | None:
  """The evaluator of a system that translates; None for any other."""
  if system.translate is None:
    return None
  return TranslationEvaluator(
    system.translate,
    aligned=spec.aligned,
    batch_size=config.eval.batch_size,
    key=key,
  )
