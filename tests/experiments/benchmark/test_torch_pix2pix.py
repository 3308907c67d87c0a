"""PyTorch as a second oracle of pix2pix's whole step."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.config import load_config
from gan_jax.core.rng import key_for
from gan_jax.data.batches import to_unit_range
from gan_jax.data.domain_sets import DomainDataset, Domains
from gan_jax.models.layers import Dropout
from gan_jax.models.patchgan import PatchDiscriminator
from gan_jax.models.unet import UNetGenerator
from gan_jax.runs.program import build, init_state
from tests.changes import changed
from tests.conftest import ROOT
from tests.experiments.benchmark import oracle

try:
  import torch
except ImportError:
  pytest.skip('torch is not installed', allow_module_level=True)

from experiments.benchmark import torch_common
from experiments.benchmark.torch_pix2pix import Peer, UNet


def load(**changes):
  config = load_config(str(ROOT / 'configs/facades_pix2pix.py:smoke'))
  config.parallel, config.data.batch_size = 'jit', 2
  config.loss.lambda_l1 = 1.0  # at 100, the other term's gradient is lost
  return oracle.descend(changed(config, changes))


def random_pairs():
  """Pairs of a gray and a colour image, so that a mix-up has a wrong shape."""
  rng = np.random.default_rng(0)

  def domains(num):
    return Domains(
      *(rng.integers(0, 256, (num, 18, 18, c), np.uint8) for c in (1, 3))
    )

  return DomainDataset('r', domains(6), domains(2), domains(2), aligned=True)


def our_masks(program, state, batch):
  """What dropout leaves in our first step, as the peer takes it."""
  generator = program.system.networks['generator'].module
  weights = state.generator.weights
  source, _ = program.config.data.direction.split('2')
  key = jax.random.fold_in(program.key('train'), 0)
  _, kept = generator.apply(
    {'params': weights.params, **weights.model_state},
    to_unit_range(batch['pairs'][source]),
    train=True,
    rngs={'noise': key_for(key, 'dropout')},
    capture_intermediates=lambda module, _: isinstance(module, Dropout),
    mutable=['batch_stats', 'intermediates'],
  )
  layers = kept['intermediates']
  return [
    torch.tensor(
      np.array(layers[f'Dropout_{i}']['__call__'][0] != 0.0, np.float32)
    ).permute(0, 3, 1, 2)
    for i in range(3)
  ]


@pytest.mark.parametrize(
  ('direction', 'normalization', 'patch_size', 'loss'),
  [
    ('a2b', 'batch', 16, 'non_saturating'),
    ('b2a', 'instance', 16, 'least_squares'),
    ('b2a', 'none', 1, 'non_saturating'),
  ],
)
def test_losses_gradients_and_the_step_agree(
  direction, normalization, patch_size, loss
):
  config = load(
    **{
      'loss.adversarial.name': loss,
      'data.direction': direction,
      'model.discriminator.normalization': normalization,
      'model.discriminator.patch_size': patch_size,
    }
  )
  program = build(config, random_pairs())
  state = oracle.moved(init_state(program))
  batch = program.sampler()(0)
  peer = Peer(config, program.data.spec, oracle.weights_of(state))
  masks = our_masks(program, state, batch)
  assert 0.4 < torch.cat([mask.flatten() for mask in masks]).mean() < 0.6
  oracle.assert_step_agrees(program, state, batch, peer, masks)


def test_the_peer_draws_masks_of_its_own():
  network, x = UNet(3, 1, 4, 4), torch.ones(1, 3, 16, 16)
  with torch.no_grad():
    assert not torch.equal(network(x), network(x))


@pytest.mark.parametrize(
  'changes',
  [
    {'loss.adversarial.name': 'hinge'},
    {'loss.adversarial.label_smoothing': 0.1},
  ],
)
def test_a_loss_that_the_peer_does_not_have_is_refused(changes):
  config = changed(load(), changes)
  program = build(config, random_pairs())
  with pytest.raises(ValueError, match='non_saturating and least_squares only'):
    Peer(config, program.data.spec, {})


@pytest.mark.parametrize(
  ('size', 'num_levels', 'millions'),
  [(256, 8, 54.414), (128, 7, 41.829), (64, 6, 29.244)],
)
def test_the_unet_has_as_many_parameters_as_the_authors(
  size, num_levels, millions
):
  with torch.device('meta'):
    theirs = oracle.count(UNet(3, 3, 64, num_levels))
  assert oracle.count_ours(UNetGenerator(3, 64), 1, size, size, 3) == theirs
  assert_allclose(theirs / 1e6, millions, rtol=0, atol=5e-4)


def test_the_discriminator_has_as_many_parameters_as_the_authors():
  with torch.device('meta'):
    theirs = oracle.count(torch_common.PatchDiscriminator(6, 64, 70, 'batch'))
  module = PatchDiscriminator(64, 70, 'batch')
  assert oracle.count_ours(module, 1, 256, 256, 6) == theirs
  assert_allclose(theirs / 1e6, 2.769, rtol=0, atol=5e-4)
