"""Scores and pictures of a state during training."""

from typing import Any

import jax
import numpy as np

from gan_jax.data.batches import to_uint8
from gan_jax.data.dataset import Examples, crop_to_native
from gan_jax.evaluation.classification import make_error_rate
from gan_jax.reporting import images
from gan_jax.training.fingerprint import fingerprints
from gan_jax.training.program import Program
from gan_jax.training.state import TrainState

_GRID_ROWS, _GRID_COLUMNS = 5, 10


class Evaluator:
  """Compiles once what is asked of a program's state again and again."""

  def __init__(self, program: Program):
    self._program = program
    self._error_rate = make_error_rate(
      program.system.predict, program.config.eval.batch_size
    )
    if program.system.generate is not None:
      self._generate = jax.jit(program.system.generate, static_argnums=2)

  def error(self, state: TrainState, split: str) -> float:
    """The share of mistakes on 'train', 'validation' or 'test'."""
    examples = getattr(self._program.dataset, split)
    return self._error_rate(state.discriminator.averaged, examples)

  def scores(self, state: TrainState) -> dict[str, float]:
    """What is reported as training goes on. Never looks at the test split."""
    labelled = Examples(
      *(column[self._program.mask] for column in self._program.dataset.train)
    )
    mistakes = self._error_rate(state.discriminator.averaged, labelled)
    return {
      'labelled_accuracy': 1.0 - mistakes,
      'validation_error': self.error(state, 'validation'),
    }

  def result(self, state: TrainState) -> dict[str, Any]:
    """All of result.json that a second run must reproduce.

    The only place where training looks at the test split: at its end.
    """
    program = self._program
    return {
      'system': program.config.system,
      'data': program.config.data.name,
      'num_labels': int(program.mask.sum()),
      'steps': int(state.step),
      'test_error': self.error(state, 'test'),
      'num_test': len(program.dataset.test.label),
      **self.scores(state),
      'sha256': fingerprints(jax.device_get(state)),
      'data_sha256': program.describe_data()['sha256'],
    }

  def grids(self, state: TrainState) -> dict[str, np.ndarray]:
    """A 5x10 grid for each of the generator's panels, from a fixed z."""
    if self._program.system.generate is None:
      return {}
    panels = self._generate(
      state.generator.averaged,
      self._program.key('fixed samples'),
      _GRID_ROWS * _GRID_COLUMNS,
    )
    native_size = self._program.spec.native_size
    return {
      name: images.grid(
        crop_to_native(np.asarray(to_uint8(panel)), native_size), _GRID_COLUMNS
      )
      for name, panel in panels.items()
    }
