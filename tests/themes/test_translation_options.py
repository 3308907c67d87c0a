"""Networks and losses of the translation systems, chosen by name.

Each gives the same results on two devices as on one; of each system's two, one
resumes to the bit and the other works in bfloat16; a CUT run translates, is
exported and is verified.
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

G, D = 'model.generator', 'model.discriminator'
CASES = {
  'pix2pix on a ResNet': (
    'facades_pix2pix',
    {
      f'{G}.name': 'resnet', f'{G}.upsampling': 'resize',
      f'{G}.normalization': 'instance', f'{D}.normalization': 'instance',
      f'{D}.patch_size': 1, 'model.initializer': 'xavier',
      'model.init_gain': 1.0, 'loss.adversarial.name': 'least_squares',
    },
  ),
  'pix2pix without a norm': (
    'facades_pix2pix',
    {
      f'{G}.upsampling': 'blur', f'{G}.downsampling': 'blur',
      f'{G}.normalization': 'none', f'{D}.downsampling': 'blur',
      'model.initializer': 'kaiming',
    },
  ),
  'CycleGAN on U-Nets': (
    'facades_cyclegan',
    {
      f'{G}.name': 'unet', f'{G}.upsampling': 'resize',
      f'{G}.normalization': 'batch', f'{D}.normalization': 'batch',
      'model.initializer': 'orthogonal', 'model.init_gain': 1.0,
    },
  ),
  'CycleGAN with blurs': (
    'facades_cyclegan',
    {
      f'{G}.upsampling': 'blur', f'{G}.downsampling': 'blur',
      f'{D}.normalization': 'none', 'loss.adversarial.name': 'hinge',
      'model.init_gain': 1.0,
    },
  ),
  'FastCUT': ('facades_cut', {'model.init_gain': 1.0}),
  'CUT with BatchNorm': (
    'facades_cut',
    {
      f'{G}.normalization': 'batch', f'{G}.downsampling': 'strided',
      f'{G}.upsampling': 'transposed', 'model.heads.layers': (0, 7, 11),
      'loss.nce_identity': True, 'loss.flip_equivariance': False,
      'augment.policy': 'translation', 'model.init_gain': 1.0,
    },
  ),
}  # fmt: skip
EACH = pytest.mark.parametrize('case', CASES)
FIRSTS = pytest.mark.parametrize('case', [*CASES][::2])
SECONDS = pytest.mark.parametrize('case', [*CASES][1::2])
pytestmark = pytest.mark.systems


def config_of(case):
  """Returns a smoke config with plain SGD and random images."""
  name, changes = CASES[case]
  config, dataset = tiny(name)
  return changed(with_sgd(config, 1e-3), changes), dataset


@FIRSTS
def test_resuming_is_to_the_bit(case):
  config, dataset = config_of(case)
  assert_resumes_to_the_bit(config, dataset)


@EACH
def test_two_devices_are_one(case):
  config, dataset = config_of(case)
  one = states(config, dataset, 2)
  config.parallel = 'pmap' if case in [*CASES][::2] else 'shard_map'
  two = states(config, dataset, 2)
  for name, value in one[1][1].items():
    assert_allclose(two[1][1][name], value, rtol=1e-3, atol=1e-5, err_msg=name)
  for player in ('generator', 'discriminator'):
    (first, second), (_, by_two) = (
      [getattr(state, player).params for state, _ in steps]
      for steps in (one, two)
    )

    def largest(a, b):
      gaps = jax.tree.map(lambda x, y: abs(x - y).max(), a, b)
      return max(jax.tree.leaves(gaps))

    # An error by a factor of two would exceed the tolerance.
    assert largest(second, by_two) < 0.01 * largest(first, second)


@SECONDS
def test_bfloat16_is_near_float32(case):
  config, dataset = config_of(case)
  assert_bfloat16_is_near_float32(config, dataset)


def test_a_run_of_cut_is_translated_with_exported_and_verified(tmp_path):
  def done(command, *args):
    result = call(command, *args)
    assert result.returncode == 0, result.stderr
    return result.stdout

  workdir = f'--workdir={tmp_path}/run'
  config = '--config=configs/facades_cut.py:smoke'
  done('train', config, workdir, '--config.data.batch_size=2')
  photos = tmp_path / 'run/samples'  # any images will do
  out = done(
    'translate', workdir, f'--input={photos}', f'--output={tmp_path}/made'
  )
  assert f'images in {tmp_path}/made' in out
  out = done('export', workdir, f'--output={tmp_path}/g.jax')
  assert 'images' in out
  assert 'identical' in done('verify', workdir)
