"""PyTorch as a second oracle of the fully connected system's whole step."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.config import load_config
from gan_jax.core.rng import key_for
from gan_jax.runs.program import build, init_state
from tests.conftest import ROOT
from tests.experiments.benchmark import oracle

try:
  import torch
except ImportError:
  pytest.skip('torch is not installed', allow_module_level=True)

from experiments.benchmark.torch_improved_gan import Peer


@pytest.fixture
def program(tiny_dataset):
  config = load_config(str(ROOT / 'configs/mnist_ssgan.py:smoke'))
  config.parallel = 'jit'
  config.data.num_labels = 15
  config.data.num_validation = 3
  config.loss.unlabelled_weight = 0.7
  config = oracle.descend(config)
  return build(config, tiny_dataset)


def test_losses_gradients_and_the_step_agree(program):
  noise = {'input_noise': 0.0, 'hidden_noise': 0.0}
  program.config.model.discriminator.update(noise)
  program = build(program.config, program.data.dataset)
  state = init_state(program)
  peer = Peer(program.config, program.data.spec, oracle.weights_of(state))
  key = jax.random.fold_in(program.key('train'), 0)
  z = np.stack(
    [
      program.system.sampler.draw(key_for(key, purpose), 10).z
      for purpose in ('z_for_d', 'z_for_g')
    ]
  )
  batch = program.sampler()(0)
  oracle.assert_step_agrees(program, state, batch, peer, torch.tensor(z))


def test_the_noise_has_our_strength(program):
  state = init_state(program)
  peer = Peer(program.config, program.data.spec, oracle.weights_of(state))
  classifier, num = peer.players['discriminator'], 20_000
  image = program.data.dataset.train.image[:1]
  theirs, _ = classifier(0.5 * (peer.to_rows(image) + 1.0).expand(num, -1))
  module = program.system.networks['discriminator'].module
  weights = state.discriminator.weights
  ours, _ = module.apply(
    {'params': weights.params, **weights.model_state},
    np.repeat(image / np.float32(255.0), num, axis=0),
    train=True,
    rngs={'noise': jax.random.key(0)},
  )
  theirs = theirs.detach().numpy()
  # Five standard errors of a difference of means, and of deviations.
  bound = 5 * ours.std(axis=0).max() * np.sqrt(2 / num)
  assert_allclose(theirs.mean(axis=0), ours.mean(axis=0), rtol=0, atol=bound)
  assert_allclose(theirs.std(axis=0), ours.std(axis=0), rtol=0, atol=bound)
