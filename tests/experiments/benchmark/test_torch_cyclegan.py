"""PyTorch as a second oracle of CycleGAN's whole step."""

import random

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.config import load_config
from gan_jax.data.domain_sets import DomainDataset, Domains
from gan_jax.models.patchgan import PatchDiscriminator
from gan_jax.models.resnet import ResNetGenerator
from gan_jax.runs.program import build, init_state
from tests.changes import changed
from tests.conftest import ROOT
from tests.experiments.benchmark import oracle

try:
  import torch
except ImportError:
  pytest.skip('torch is not installed', allow_module_level=True)

from experiments.benchmark import torch_common
from experiments.benchmark.torch_cyclegan import Peer, ResNet, query_pool


def load(**changes):
  config = load_config(str(ROOT / 'configs/horse2zebra_cyclegan.py:smoke'))
  config.parallel = 'jit'
  config.data.batch_size = 2
  config.loss.lambda_cycle = 1.0  # at 10, the other term's gradient is lost
  return oracle.descend(changed(config, changes))


def random_domains(channels_a=3):
  rng = np.random.default_rng(0)

  def domains(num):
    return Domains(
      *(
        rng.integers(0, 256, (num, 18, 18, c), np.uint8)
        for c in (channels_a, 3)
      )
    )

  return DomainDataset('r', domains(6), domains(2), domains(2), aligned=False)


@pytest.mark.parametrize(
  ('channels_a', 'lambda_identity', 'pool_size'), [(3, 0.5, 3), (1, 0.0, 0)]
)
def test_losses_gradients_and_the_step_agree(
  channels_a, lambda_identity, pool_size
):
  config = load(
    **{
      'loss.lambda_identity': lambda_identity,
      'model.pool_size': pool_size,
    }
  )
  program = build(config, random_domains(channels_a))
  state = oracle.moved(init_state(program))
  batch = program.sampler()(0)
  peer = Peer(config, program.data.spec, oracle.weights_of(state))
  # A cycle is two networks deep, with a division by a deviation in each layer.
  oracle.assert_step_agrees(program, state, batch, peer, rounding=1e-5)
  kept = min(pool_size, 2)  # all of a batch, while there is room
  assert [len(pool) for pool in peer.pools.values()] == [kept, kept]


def test_the_pool_gives_what_it_took():
  random.seed(0)
  pool, num_old = [], 0
  for i in range(400):
    before = {int(image) for image in pool}
    image = torch.full((1, 1, 1, 1), float(i))
    shown = int(query_pool(pool, 5, image))
    after = {int(image) for image in pool}
    assert len(pool) == min(i + 1, 5)
    if shown == i:
      assert after == before | ({i} if i < 5 else set())
    else:
      assert after == before - {shown} | {i}
      num_old += 1
  assert abs(num_old - 395 / 2) < 4 * np.sqrt(395 / 4)


def test_a_loss_that_the_peer_does_not_have_is_refused():
  config = load()
  program = build(config, random_domains())
  config = changed(config, {'loss.adversarial.name': 'hinge'})
  with pytest.raises(ValueError, match='the peer has no loss hinge'):
    Peer(config, program.data.spec, {})


@pytest.mark.parametrize(('num_blocks', 'millions'), [(9, 11.378), (6, 7.838)])
def test_the_resnet_has_as_many_parameters_as_the_authors(num_blocks, millions):
  with torch.device('meta'):
    theirs = oracle.count(ResNet(3, 3, 64, num_blocks))
  module = ResNetGenerator(3, 64, num_blocks)
  assert oracle.count_ours(module, 1, 128, 128, 3) == theirs
  assert_allclose(theirs / 1e6, millions, rtol=0, atol=5e-4)


def test_the_discriminator_has_as_many_parameters_as_the_authors():
  with torch.device('meta'):
    theirs = oracle.count(
      torch_common.PatchDiscriminator(3, 64, 70, 'instance')
    )
  module = PatchDiscriminator(64, 70, 'instance')
  assert oracle.count_ours(module, 1, 128, 128, 3) == theirs
  assert_allclose(theirs / 1e6, 2.765, rtol=0, atol=5e-4)
