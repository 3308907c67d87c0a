"""PyTorch as a second oracle of the whole step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.data.batches import to_unit_range
from gan_jax.rng import key_for, normal_rows
from gan_jax.training.program import build, init_state, make_sampler

try:
  import torch
except ImportError:
  pytest.skip('torch is not installed', allow_module_level=True)

from gan_jax.benchmark.torch_ssgan import Peer


@pytest.fixture(params=['absolute', 'squared'])
def setting(request, smoke_config, tiny_dataset):
  """A program with plain gradient descent, its state, the peer, a batch, z."""
  config = smoke_config
  config.loss.feature_matching = request.param
  config.model.extra_class = request.param == 'squared'
  config.model.discriminator.dropout_rate = 0.0
  config.data.num_labels = 15
  config.data.num_validation = 3
  for player in config.optimizer.values():
    # At a rate of 1 a step shows the raw gradient to the parameters' rounding.
    player.name = 'sgd'
    player.learning_rate = 1.0
    player.ema_decay = 0.0
  program = build(config, tiny_dataset)
  state = init_state(program)
  params = players(jax.device_get(state))
  peer = Peer(config, program.spec, params)
  batch = make_sampler(program)(0)
  key = jax.random.fold_in(program.key('train'), 0)
  num, z_dim = config.data.batch_size, config.model.z_dim
  z = torch.tensor(np.array(normal_rows(key_for(key, 'z'), num, (z_dim,))))
  return program, state, peer, batch, z


def players(state):
  return {
    'generator': state.generator.params,
    'discriminator': state.discriminator.params,
  }


def our_step(program, state, batch):
  rows = dict(batch['train'])
  rows['image'] = to_unit_range(jnp.asarray(rows['image']))
  step = jax.jit(program.system.train_step)
  return step(state, {'train': rows}, program.key('train'))


def test_losses_gradients_and_the_step_agree(setting):
  program, state, peer, batch, z = setting
  new, metrics = our_step(program, state, batch)
  losses = peer.step(batch, z)
  assert_allclose(metrics['d_loss'], losses['discriminator'].item(), rtol=2e-6)
  assert_allclose(metrics['g_loss'], losses['generator'].item(), rtol=1e-5)
  old, new = players(jax.device_get(state)), players(jax.device_get(new))
  for name, network in peer.players.items():
    moved = jax.tree.map(jnp.subtract, old[name], new[name])
    gradients, params = peer.to_torch(moved), peer.to_torch(new[name])
    theirs = {key: p.grad.numpy() for key, p in network.named_parameters()}
    assert set(gradients) == set(theirs)
    # A bias before BatchNorm has no gradient but the others' rounding.
    floor = 1e-6 * max(np.linalg.norm(x) for x in theirs.values())
    for key, p in network.named_parameters():
      error = np.linalg.norm(gradients[key] - theirs[key])
      rounding = 2**-23 * np.linalg.norm(params[key])
      bound = 1e-3 * np.linalg.norm(theirs[key]) + rounding + floor
      assert error < bound, (name, key)
      assert_allclose(p.detach().numpy(), params[key], rtol=0, atol=2e-6)


def test_adam_is_pytorchs(setting):
  program, *_ = setting
  from gan_jax.training.update import make_optimizer

  config = program.config.optimizer.generator
  config.name, config.b1, config.eps = 'adam', 0.5, 1e-8
  optimizer = make_optimizer(config, 1)
  rng = np.random.default_rng(0)
  p = rng.normal(size=(7,)).astype(np.float32)
  theirs = torch.nn.Parameter(torch.tensor(p))
  adam = torch.optim.Adam(
    [theirs], config.learning_rate, (config.b1, config.b2), config.eps
  )
  opt_state = optimizer.tx.init(p)
  for step in range(5):
    gradient = rng.normal(size=(7,)).astype(np.float32)
    updates, opt_state = optimizer.tx.update(gradient, opt_state, p)
    p = p - optimizer.learning_rate(step) * updates
    theirs.grad = torch.tensor(gradient)
    adam.step()
  # 1 - 0.999^t, the bias correction, is good to half of 2^-24 / 0.001 after
  # its square root.
  assert_allclose(p, theirs.detach().numpy(), rtol=0, atol=5 * 3e-5)
