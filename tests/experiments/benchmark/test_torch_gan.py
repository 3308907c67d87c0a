"""PyTorch as a second oracle of the GAN's whole step."""

import jax
import numpy as np
import pytest

from experiments.benchmark.workloads import WORKLOADS
from gan_jax.config import load_config
from gan_jax.core.rng import key_for
from gan_jax.data.dataset import Dataset, Examples
from gan_jax.runs.program import build, init_state
from gan_jax.systems import override
from tests.conftest import ROOT
from tests.experiments.benchmark import oracle

try:
  import torch
except ImportError:
  pytest.skip('torch is not installed', allow_module_level=True)

from experiments.benchmark.torch_gan import Peer

RPGAN, R3GAN = 'fashion_rpgan_dcgan', 'fashion_r3gan_resnet'


def load(name):
  config = load_config(str(ROOT / f'configs/{name}.py:smoke'))
  changes = WORKLOADS['r3gan'].changes if name == R3GAN else {}
  config, _ = override(config, {**changes, 'parallel': 'jit'})
  return oracle.descend(config)


def random_images(*shape):
  rng = np.random.default_rng(0)

  def examples(num):
    image = rng.integers(0, 256, (num, *shape), np.uint8)
    return Examples(image, (np.arange(num) % 10).astype(np.int32))

  sizes = shape[:2]
  return Dataset('r', examples(40), examples(20), examples(20), 10, sizes)


def turn(program, step):
  """The key from which the step's only update of D draws."""
  key = jax.random.fold_in(program.key('train'), step)
  return jax.random.fold_in(key, 0)


@pytest.mark.parametrize(
  ('name', 'shape'),
  [
    ('mnist_gan', (6, 6, 2)),
    ('svhn_dcgan', (16, 16, 3)),
    (RPGAN, (16, 16, 1)),
    ('fashion_hinge', (32, 32, 1)),
    (R3GAN, (32, 32, 1)),
  ],
)
def test_losses_gradients_and_the_step_agree(name, shape):
  config = load(name)
  program = build(config, random_images(*shape))
  state = init_state(program)
  peer = Peer(config, program.data.spec, oracle.weights_of(state))
  key = key_for(turn(program, 0), 'z')
  z = program.system.sampler.draw(key, config.data.batch_size).z
  batch = program.sampler()(0)
  # Small kernels before BatchNorm, 0.02, are divided by their deviation: their
  # biases' gradients round three times as coarsely. So do those through a
  # spectral norm, which are differences.
  coarse = name in ('svhn_dcgan', 'fashion_hinge')
  rounding = 3e-6 if coarse else 1e-6
  oracle.assert_step_agrees(
    program, state, batch, peer, torch.tensor(np.array(z)), rounding=rounding
  )


@pytest.mark.parametrize('gamma', ['r1_gamma', 'r2_gamma'])
def test_each_penalty_moves_the_peers_loss(gamma):
  config = load(RPGAN)
  program = build(config, random_images(16, 16, 1))
  weights = oracle.weights_of(init_state(program))
  batch, z = program.sampler()(0), torch.ones(10, config.model.z_dim)
  loss = {}
  for value in (0.0, 1.0, 3.0):
    config.loss[gamma] = value
    peer = Peer(config, program.data.spec, weights)
    loss[value] = peer.step(batch, z)['discriminator'].item()
  assert loss[1.0] > loss[0.0]
  difference = (loss[3.0] - loss[0.0]) / (loss[1.0] - loss[0.0])
  np.testing.assert_allclose(difference, 3.0, rtol=1e-3)


@pytest.mark.parametrize(
  ('name', 'changes', 'message'),
  [
    (
      RPGAN,
      {'model.discriminator.normalization': 'spectral'},
      'no spectral normalisation',
    ),
    ('fashion_wgan_gp', {}, 'no loss wasserstein'),
    (RPGAN, {'loss.n_critic': 2}, 'neither n_critic > 1 nor'),
    (RPGAN, {'loss.lambda_gp': 1.0}, 'neither n_critic > 1 nor'),
    (RPGAN, {'augment.policy': 'color'}, 'not support config.augment'),
    (RPGAN, {'loss.g_batch': 'fresh'}, 'not support config.loss.g_batch'),
    (
      RPGAN,
      {'loss.r1_schedule.name': 'cosine'},
      'not support config.loss.r1_schedule',
    ),
    (
      RPGAN,
      {'model.discriminator.base_size': 8},
      'one base_size for both',
    ),
    (
      'mnist_gan',
      {'model.generator': {'name': 'deconv', 'size_mult': 2, 'base_size': 4}},
      'does not pair',
    ),
  ],
)
def test_what_the_peer_does_not_play_is_refused(name, changes, message):
  config = load(name)
  program = build(config, random_images(16, 16, 1))
  with config.unlocked():
    config.update_from_flattened_dict(changes)
  with pytest.raises(ValueError, match=message):
    Peer(config, program.data.spec, {})
