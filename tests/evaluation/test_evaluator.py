"""Scores and pictures during training."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.config import load_config
from gan_jax.data.batches import to_uint8
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.metrics.diversity import stddev_over_z
from gan_jax.runs.program import build, init_state
from gan_jax.systems.system import Latents
from tests import made_up
from tests.conftest import ROOT


def test_samples_are_scored_and_shown_without_padding(toy_config, tiny_dataset):
  toy_config.log.grid = (2, 3)
  program = build(toy_config, tiny_dataset._replace(native_size=(6, 4)))
  state = init_state(program)
  z = program.system.sampler.draw(program.key('fixed samples'), 100).z
  weights = state.generator.averaged
  samples = program.system.sampler.generate(weights, Latents(z))['samples'][
    :, 1:7, 2:6
  ]
  evaluator = Evaluator(program)
  assert_allclose(
    evaluator.scores(state)['samples_std'], stddev_over_z(samples), rtol=1e-5
  )
  grid = evaluator.grids(state)['samples']
  assert grid.shape == (2 * (66 + 1) + 1, 3 * (44 + 1) + 1, 3)  # 11 times
  fourth = grid[68:134:11, 1:45:11]
  assert_array_equal(fourth, np.repeat(to_uint8(samples[3]), 3, axis=-1))


@pytest.mark.systems
@pytest.mark.parametrize(
  ('name', 'panels'),
  [
    ('facades_pix2pix', {'b2a': ('b', None, 'a')}),
    (
      'facades_cyclegan',
      {'a2b': ('a', None, None), 'b2a': ('b', None, None)},
    ),
  ],
)
def test_translations_are_shown_beside_what_they_are_of(name, panels):
  """A row holds two examples: input, output, and target or translation back."""
  config = load_config(str(ROOT / f'configs/{name}.py:smoke'))
  config.parallel, config.log.grid = 'jit', (1, 2)
  program = build(config, made_up.two_domains(config.data))
  grids = Evaluator(program).grids(init_state(program))
  assert grids.keys() == panels.keys()
  for way, domains in panels.items():
    assert grids[way].shape == (64 + 2, 6 * (64 + 1) + 1, 3)
    shown = [grids[way][1:65:4, 65 * i + 1 : 65 * i + 65 : 4] for i in range(6)]
    for i, image in enumerate(shown):
      domain = domains[i % 3]
      if domain is not None:
        held = getattr(program.data.dataset.validation, domain)
        assert_array_equal(image, held[i // 3])
      else:
        assert not np.array_equal(image, shown[i - 1])
