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
    player.name = 'sgd'
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
  assert_allclose(metrics['d_loss'], losses['discriminator'].item(), rtol=1e-5)
  assert_allclose(metrics['g_loss'], losses['generator'].item(), rtol=1e-4)
  old, new = players(jax.device_get(state)), players(jax.device_get(new))
  for name, network in peer.players.items():
    rate = program.config.optimizer[name].learning_rate
    moved = jax.tree.map(lambda a, b, r=rate: (a - b) / r, old[name], new[name])
    gradients, params = peer.to_torch(moved), peer.to_torch(new[name])
    assert set(gradients) == {key for key, _ in network.named_parameters()}
    norms = {}
    for key, p in network.named_parameters():
      theirs = p.grad.numpy()
      norms[key] = np.linalg.norm(theirs)
      error = np.linalg.norm(gradients[key] - theirs)
      # A bias before BatchNorm has no gradient but rounding; the rates' own
      # rounding in float32 is of the parameters' size.
      floor = 1e-6 * np.linalg.norm(params[key]) / rate + 1e-6
      assert error < 1e-3 * norms[key] + floor, (name, key)
      assert_allclose(p.detach().numpy(), params[key], atol=1e-6)
    assert max(norms.values()) > 1e-3


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
  assert_allclose(p, theirs.detach().numpy(), rtol=1e-5)
