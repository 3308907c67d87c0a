"""PyTorch as a second oracle of the whole step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.config import Units
from gan_jax.core.rng import key_for, normal_rows
from gan_jax.runs.program import build, init_state
from gan_jax.systems.update import (
  Aux,
  apply_gradients,
  make_optimizer,
  new_player,
)
from tests.changes import changed
from tests.experiments.benchmark import oracle

try:
  import torch
except ImportError:
  pytest.skip('torch is not installed', allow_module_level=True)

from experiments.benchmark import torch_common
from experiments.benchmark.torch_ssgan import Peer


@pytest.fixture(params=['absolute', 'squared'])
def setting(request, smoke_config, tiny_dataset):
  """A program with plain gradient descent, its state, a batch, the peer, z."""
  config = smoke_config
  config.loss.feature_matching = request.param
  config.model.extra_class = request.param == 'squared'
  config.model.discriminator.dropout_rate = 0.0
  config.data.num_labels = 15
  config.data.num_validation = 3
  # At seed 0 an input of a leaky ReLU is 2e-7: rounding decides its slope.
  config.seed = 1
  config = oracle.descend(config)
  program = build(config, tiny_dataset)
  state = init_state(program)
  peer = Peer(config, program.data.spec, oracle.weights_of(state))
  batch = program.sampler()(0)
  key = jax.random.fold_in(program.key('train'), 0)
  num, z_dim = config.data.batch_size, config.model.z_dim
  z = torch.tensor(np.array(normal_rows(key_for(key, 'z'), num, (z_dim,))))
  return program, state, batch, peer, z


def test_losses_gradients_and_the_step_agree(setting):
  oracle.assert_step_agrees(*setting)


@pytest.mark.parametrize(('eps', 'eps_root'), [(1e-8, 0.0), (1e-3, 0.1)])
def test_adam_and_the_moving_average_are_pytorchs(setting, eps, eps_root):
  program, *_ = setting
  values = {
    'name': 'adam', 'b1': 0.5, 'ema.name': 'debiased', 'ema.decay': 0.9,
    'eps': eps, 'eps_root': eps_root,
  }  # fmt: skip
  config = changed(
    program.config,
    {f'optimizer.generator.{key}': value for key, value in values.items()},
  ).optimizer.generator
  optimizer = make_optimizer(config, Units(1, 1))
  rng = np.random.default_rng(0)
  p = rng.normal(size=(1, 7)).astype(np.float32)
  ours = new_player({'p': p}, {}, optimizer)
  network = torch.nn.Linear(7, 1, bias=False)
  network.weight.data = torch.tensor(p)
  adam = torch_common.make_optimizer(list(network.parameters()), config)
  average = torch_common.average(network, config.ema.decay)
  for step in range(5):
    gradient = rng.normal(size=(1, 7)).astype(np.float32)
    ours, _ = apply_gradients(
      ours, optimizer, {'p': gradient}, Aux({}, {}), jnp.int32(step)
    )
    network.weight.grad = torch.tensor(gradient)
    adam.step()
    average.update_parameters(network)
  # 1 - 0.999^t, the bias correction, is good to half of 2^-24 / 0.001 after
  # its square root.
  for player, theirs in (
    (ours.params, network),
    (ours.ema.params, average.module),
  ):
    p = theirs.weight.detach().numpy()
    assert_allclose(player['p'], p, rtol=0, atol=5 * 3e-5)
