"""Pairwise test of the options of the GAN's step.

Six configs cover all four settings (off, on) of every two options. Each resumes
to the bit, gives the same results on two devices, by pmap or by shard_map, and
in microbatches as on one, and works in bfloat16.
"""

import itertools

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.changes import changed
from tests.devices.test_parallel import tiny
from tests.themes.same import (
  assert_bfloat16_is_near_float32,
  assert_resumes_to_the_bit,
  states,
)
from tests.themes.test_accumulation import assert_pieces_are_the_whole
from tests.tiers import in_systems


def rise(group, final):
  return {
    f'{group}.name': 'cosine', f'{group}.unit': 'images', f'{group}.hold': 0,
    f'{group}.length': 64, f'{group}.final': final,
  }  # fmt: skip


OPTIONS = {
  'views': {'augment.policy': 'color,translation,cutout'},
  'their probability': {
    'augment.policy': 'translation', 'augment.probability': 0.2,
    **rise('augment.schedule', 0.9),
  },
  'penalties that change': {
    'loss.r1_gamma': 1.0, 'loss.r2_gamma': 1.0, **rise('loss.r1_schedule', 0.1),
  },
  'Adam whose b2 changes': {
    'optimizer.discriminator.name': 'adam',
    'optimizer.discriminator.learning_rate': 1e-3,
    'optimizer.discriminator.eps': 1e-3,
    'optimizer.discriminator.b2': 0.9,
    **rise('optimizer.discriminator.b2_schedule', 0.99),
  },
  'an average by half-life': {
    'optimizer.generator.ema.name': 'half_life',
    'optimizer.generator.ema.half_life': 0.0,
    **rise('optimizer.generator.ema.schedule', 100.0),
  },
  'a batch for G': {'loss.g_batch': 'fresh'},
  'frozen layers': {
    'optimizer.discriminator.freeze': 'dense1/',
    'optimizer.generator.freeze': 'bias',
  },
  'LeCam': {'loss.lambda_lecam': 0.3},
  'mirrored images': {'data.flip': True},
  'two updates of D': {'loss.n_critic': 2},
}  # fmt: skip
# Distinct triples of five: any two options share a row, each is without the
# other in one, and row 0 has neither.
TRIPLES = dict(
  zip(OPTIONS, itertools.combinations(range(1, 6), 3), strict=True)
)
ROWS = [[x for x, on in TRIPLES.items() if row in on] for row in range(6)]


def config_of(row):
  """Returns the smallest GAN with a row's options and random images."""
  config, dataset = tiny('mnist_gan')
  config.data.batch_size = 8
  config.model.z_dim = 4
  for option in ROWS[row]:
    config = changed(config, OPTIONS[option])
  return config, dataset


EACH = pytest.mark.parametrize('row', range(6))
FAST = pytest.mark.parametrize('row', [1, *in_systems(0, 2, 3, 4, 5)])


def test_every_pair_of_options_is_tried():
  for a, b in itertools.combinations(OPTIONS, 2):
    assert {(a in row, b in row) for row in ROWS} == {
      (x, y) for x in (False, True) for y in (False, True)
    }


@FAST
def test_resuming_is_to_the_bit(row):
  config, dataset = config_of(row)
  whole = assert_resumes_to_the_bit(config, dataset, 4, start=2)
  moved = jax.tree.map(
    lambda a, b: abs(np.float64(a) - b).max(), whole[0][0], whole[3][0]
  )
  for player in (moved.generator, moved.discriminator):
    assert max(jax.tree.leaves(player.params)) > 1e-4


@pytest.mark.systems
@EACH
def test_two_devices_are_one(row):
  config, dataset = config_of(row)
  one = states(config, dataset, 3)
  config.parallel = ('pmap', 'shard_map')[row % 2]
  two = states(config, dataset, 3)
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, rtol=1e-5, atol=2e-6), two, one
  )


@pytest.mark.systems
@EACH
def test_pieces_are_the_whole(row):
  config, dataset = config_of(row)
  assert_pieces_are_the_whole(config, dataset, 4)


@pytest.mark.systems
@EACH
def test_bfloat16_is_near_float32(row):
  config, dataset = config_of(row)
  assert_bfloat16_is_near_float32(config, dataset, 3)
