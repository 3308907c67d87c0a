"""Gradient accumulation: microbatches' mean gradient is the batch's."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.core.errors import InputError
from gan_jax.runs.program import build, init_state
from tests.changes import changed
from tests.devices.test_parallel import tiny
from tests.systems.steps import train
from tests.tiers import in_systems


def assert_pieces_are_the_whole(config, dataset, num, mode='jit'):
  start = init_state(build(config, dataset))
  start = jax.device_get(start.discriminator.params)
  whole = jax.device_get(train(config, dataset, mode, 2))
  config.train.num_microbatches = num
  pieces = jax.device_get(train(config, dataset, mode, 2))
  moved = jax.tree.map(
    lambda a, b: np.abs(a - b).max(), whole[0].discriminator.params, start
  )
  assert max(jax.tree.leaves(moved)) > 1e-3
  # Sums in another order; SGD does not rescale the gradients.
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, rtol=1e-5, atol=2e-6), pieces, whole
  )


@pytest.mark.systems
@pytest.mark.parametrize(
  ('loss', 'n_critic', 'penalties'),
  [
    ('wasserstein', 2, {'lambda_gp': 10.0}),
    *in_systems(
      ('non_saturating', 1, {}),
      ('relativistic', 1, {'r1_gamma': 1.0, 'r2_gamma': 1.0}),
    ),
  ],
)
def test_four_times_eight_are_thirty_two(loss, n_critic, penalties):
  config, dataset = tiny('mnist_gan')
  config.data.batch_size = 32 // n_critic
  config = changed(config, {'loss.adversarial.name': loss})
  config.loss.n_critic = n_critic
  config.loss.update(penalties)
  assert_pieces_are_the_whole(config, dataset, 4)


@pytest.mark.systems
def test_on_each_of_two_devices():
  config, dataset = tiny('mnist_gan')
  config.data.batch_size = 16
  assert_pieces_are_the_whole(config, dataset, 4, 'shard_map')


@pytest.mark.systems
def test_cyclegan_fills_its_pool_with_the_whole_batch():
  config, dataset = tiny('facades_cyclegan')
  for player in config.optimizer.values():
    player.learning_rate = 1e-3
  assert_pieces_are_the_whole(config, dataset, 2)


@pytest.mark.systems
@pytest.mark.parametrize('identity', [False, True])
def test_cut_compares_patches_within_an_image(identity):
  config, dataset = tiny('facades_cut')
  config.loss.nce_identity = identity
  config.optimizer.discriminator.learning_rate = 1e-2
  assert_pieces_are_the_whole(config, dataset, 2)


@pytest.mark.parametrize(
  'name', ['digits_ssgan', 'mnist_ssgan', 'digits_supervised', 'fashion_dcgan',
           'facades_pix2pix']
)  # fmt: skip
def test_batch_norm_needs_the_whole_batch(name):
  config, dataset = tiny(name)
  config.train.num_microbatches = 2
  with pytest.raises(InputError, match='num_microbatches = 2, but BatchNorm'):
    build(config, dataset)


@pytest.mark.parametrize('name', ['mnist_gan', 'facades_cyclegan'])
def test_a_relativistic_average_does_too(name):
  config, dataset = tiny(name)
  config = changed(config, {'loss.adversarial.name': 'relativistic_average'})
  config.train.num_microbatches = 2
  with pytest.raises(InputError, match='num_microbatches = 2, but the loss'):
    build(config, dataset)


def test_rows_that_do_not_divide():
  config, dataset = tiny('mnist_gan')
  config.train.num_microbatches = 3
  with pytest.raises(InputError, match='4 rows of a device are not divisible'):
    build(config, dataset)
