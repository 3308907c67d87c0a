import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.runs.program import build, init_state
from tests.changes import changed
from tests.systems.steps import (
  batch_of,
  by_hand,
  close,
  convolve,
  plain_config,
  train,
)


@pytest.fixture
def config():
  return plain_config('mnist_gan')


@pytest.mark.parametrize(
  ('loss', 'normalization', 'n_critic', 'penalties'),
  [
    ('relativistic_average', 'batch', 2, {}),
    ('relativistic', 'none', 1, {'r1_gamma': 1.0, 'r2_gamma': 1.0}),
    ('wasserstein', 'none', 2, {'lambda_gp': 10.0}),
    ('hinge', 'spectral', 1, {}),
  ],
)
@pytest.mark.systems
def test_two_devices_agree_with_one(
  config, tiny_dataset, loss, normalization, n_critic, penalties
):
  convolve(config, normalization)
  for player in config.optimizer.values():
    player.learning_rate = 0.02
  config = changed(config, {'loss.adversarial.name': loss})
  config.loss.n_critic = n_critic
  config.loss.update(penalties)
  one, two = (train(config, tiny_dataset, mode, 3) for mode in ('jit', 'pmap'))
  start = init_state(build(config, tiny_dataset))
  for player in ('generator', 'discriminator'):
    moved = jax.tree.map(
      lambda a, b: abs(a - b).max(),
      getattr(one[0], player).params,
      jax.device_get(getattr(start, player).params),
    )
    assert max(jax.tree.leaves(moved)) > 1e-3
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, atol=1e-5, rtol=1e-5),
    *jax.device_get((one, two)),
  )


@pytest.mark.systems
def test_packs_are_the_same_on_two_devices(config, tiny_dataset):
  config.loss.n_critic, config.model.packing = 2, 2
  config.loss.r1_gamma = config.loss.lambda_gp = 1.0
  one, two = (train(config, tiny_dataset, mode, 3) for mode in ('jit', 'pmap'))
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, atol=1e-5, rtol=1e-5),
    *jax.device_get((one, two)),
  )


@pytest.mark.systems
def test_batch_norm_on_each_device_alone(config, tiny_dataset):
  """It changes the steps, and stores the mean of the devices' statistics."""
  convolve(config, 'batch')
  together, _ = train(config, tiny_dataset, 'pmap', 1)
  config.model.sync_batch_norm = False
  alone, _ = train(config, tiny_dataset, 'pmap', 1)
  kernels = [
    x.discriminator.params['conv1']['kernel'] for x in (together, alone)
  ]
  assert abs(kernels[0] - kernels[1]).max() > 1e-4
  for leaf in jax.tree.leaves(alone):
    copies = [np.asarray(shard.data) for shard in leaf.addressable_shards]
    assert len(copies) == 2
    assert_array_equal(*copies)
  program = build(config, tiny_dataset)
  d = init_state(program).discriminator
  image = batch_of(program)['train']['image']
  halves = [
    by_hand(program, 'discriminator')(d.params, d.model_state, half)[1]
    for half in (image[:3], image[3:])
  ]
  want = jax.tree.map(lambda a, b: (a + b) / 2, *halves)
  close(alone.discriminator.model_state, want)


def test_a_turns_rows_must_divide_by_the_devices(config, tiny_dataset):
  config.data.batch_size, config.loss.n_critic = 3, 2
  config.parallel = 'pmap'
  with pytest.raises(InputError, match='3 rows is not divisible by 2 devices'):
    build(config, tiny_dataset)
