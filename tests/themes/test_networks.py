"""The GAN's networks with each kind of conditioning, at minimal sizes.

Each network resumes to the bit, gives the same results on two devices as on
one, and works in bfloat16, each time with another conditioning, so that every
pair is trained; the papers' networks are exported and verified.
"""

import jax
import pytest
from numpy.testing import assert_allclose

from tests.changes import changed, with_sgd
from tests.conftest import call
from tests.devices.test_parallel import tiny
from tests.themes.same import (
  assert_bfloat16_is_near_float32,
  assert_resumes_to_the_bit,
  states,
)

CONFIGS = {
  'batch_norm_mlp': 'grid_gan',
  'deconv': 'fashion_dcgan',
  'resnet': 'fashion_hinge',
  'r3gan': 'digits_cgan',
}
CONDITIONINGS = ('none', 'concat_projection', 'batch_norm_projection')


def each_network(shift):
  """Calls a test for each network with one conditioning, chosen by `shift`."""
  cases = []
  for row, network in enumerate(CONFIGS):
    # R3GAN's has no BatchNorm, and its projection is refused.
    choices = CONDITIONINGS[:2] if network == 'r3gan' else CONDITIONINGS
    cases.append((network, choices[(row + shift) % len(choices)]))
  return pytest.mark.parametrize(('network', 'conditioning'), cases)


pytestmark = pytest.mark.systems


def config_of(network, conditioning):
  """Returns a smoke config with plain SGD and random images."""
  config, dataset = tiny(CONFIGS[network])
  config = with_sgd(config, 1e-3)
  if network == 'batch_norm_mlp':  # with eight units, 0.02 gives no gradient
    for player in ('generator', 'discriminator'):
      config = changed(config, {f'model.{player}.init_stddev': 0.5})
  return changed(config, {'model.conditioning': conditioning}), dataset


@each_network(shift=0)
def test_resuming_is_to_the_bit(network, conditioning):
  config, dataset = config_of(network, conditioning)
  assert_resumes_to_the_bit(config, dataset)


@each_network(shift=1)
def test_two_devices_are_one(network, conditioning):
  config, dataset = config_of(network, conditioning)
  one = states(config, dataset, 2)
  config.parallel = 'pmap'
  two = states(config, dataset, 2)
  # Gradients above 1e-3: a bias before BatchNorm has only rounding errors.
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, rtol=1e-4, atol=1e-6), two, one
  )
  moved = jax.tree.map(lambda a, b: abs(a - b).max(), one[0][0], one[1][0])
  for player in (moved.generator, moved.discriminator):
    assert max(jax.tree.leaves(player.params)) > 2e-5


@each_network(shift=2)
def test_bfloat16_is_near_float32(network, conditioning):
  config, dataset = config_of(network, conditioning)
  assert_bfloat16_is_near_float32(config, dataset)


@pytest.mark.parametrize('name', ['digits_cgan', 'mnist_cgan'])
def test_a_run_is_sampled_exported_and_verified(name, tmp_path):
  def done(command, *args):
    result = call(command, *args)
    assert result.returncode == 0, result.stderr
    return result.stdout

  workdir = f'--workdir={tmp_path}/run'
  done('train', f'--config=configs/{name}.py:smoke', workdir)
  done('sample', workdir, '--labels=0-9', f'--output={tmp_path}/s.png')
  out = done('export', workdir, f'--output={tmp_path}/g.jax')
  assert 'label' in out
  assert 'identical' in done('verify', workdir)
