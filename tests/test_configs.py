"""Every config file, and every smoke variant."""

import pathlib
import shutil

import pytest

from gan_jax.config import differences, flatten, load_config
from gan_jax.data import domain_sets
from gan_jax.data.labelled import DATASETS
from gan_jax.systems import SYSTEMS, adversarial
from gan_jax.training import restore
from gan_jax.training.loop import train
from gan_jax.training.program import build, check
from tests import made_up

FILES = sorted((pathlib.Path(__file__).parents[1] / 'configs').glob('*.py'))

# What :smoke may change.
SIZES_AND_COUNTS = (
  'batch_size',
  'crop_size',
  'grid',
  'hidden',
  'init_rows',
  'keep',
  'load_size',
  'n_critic',
  'num_blocks',
  'num_epochs',
  'num_labels',
  'num_steps',
  'num_validation',
  'patch_size',
  'pool_size',
  'report_every_steps',
  'save_every_steps',
  'size_mult',
  'width',
)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_config_is_complete_and_smoke_changes_sizes_only(path):
  full, smoke = load_config(str(path)), load_config(f'{path}:smoke')
  check(full)
  check(smoke)
  values = dict(flatten(smoke))
  assert values.keys() == dict(flatten(full)).keys()
  for key, value in flatten(full):
    assert value == values[key] or key.split('.')[-1] in SIZES_AND_COUNTS, key
  assert not any(isinstance(value, list) for value in values.values())


@pytest.mark.parametrize('name', adversarial.LOSSES)
@pytest.mark.parametrize(
  'path',
  [p for p in FILES if 'adversarial' in load_config(str(p)).get('loss', {})],
  ids=lambda path: path.stem,
)
def test_an_adversarial_loss_is_changed_by_its_name(path, name):
  config = load_config(str(path))
  config.loss.adversarial.name = name
  check(config)


def test_the_baseline_has_the_same_classifier_labels_and_steps():
  folder = FILES[0].parent
  ours = load_config(str(folder / 'digits_ssgan.py'))
  baseline = load_config(str(folder / 'digits_supervised.py'))
  keys = {
    line.partition(':')[0].removeprefix('config.')
    for line in differences(ours, baseline)
  }
  game = ('loss.', 'model.generator.', 'optimizer.generator.')
  assert {key for key in keys if not key.startswith(game)} == {
    'system',
    'model.z_dim',
    'model.extra_class',
    'model.discriminator.dropout_rate',  # chosen on validation for each
  }
  assert ours.train == baseline.train


@pytest.fixture
def data_at_hand(monkeypatch):
  """Made-up images in place of data sets that must be prepared."""
  shapes = {'mnist': (28, 1), 'fashion_mnist': (28, 1), 'svhn_cropped': (32, 3)}
  for name, (size, channels) in shapes.items():
    dataset = made_up.labelled(40, size, channels)
    monkeypatch.setitem(DATASETS, name, lambda *_, dataset=dataset: dataset)
  for name in ('pairs', 'cycle_gan/facades', 'cycle_gan/horse2zebra'):
    monkeypatch.setitem(domain_sets.DATASETS, name, made_up.two_domains)


@pytest.mark.slow
@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_smoke_trains_resumes_evaluates_and_samples(
  path, tmp_path, data_at_hand
):
  config = load_config(f'{path}:smoke')
  config.parallel = 'jit'
  workdir = tmp_path / 'run'
  result = train(config, workdir)
  num_steps = build(config).plan.num_steps
  assert result['steps'] == num_steps

  for step in (num_steps - 2, num_steps):  # as if it had been killed before
    shutil.rmtree(workdir / f'checkpoints/{step}')
  again = train(config, workdir)
  assert again['sha256'] == result['sha256']

  scores = restore.evaluate(workdir, num_samples=5)
  assert scores['step'] == num_steps
  assert ('test_error' in result) == SYSTEMS[config.system].CLASSIFIES
  if 'test_error' in result:
    assert scores['error'] == result['test_error']
  if 'samples_std' in result:
    assert 0 <= scores['samples_std'] < 0.5 < scores['data_to_train']
    spec = build(config).data.spec
    samples = restore.sample(workdir, num=3, seed=1)['samples']
    assert samples.shape == (3, *spec.native_size, spec.image_shape[2])
  for name in ('l1_b2a', 'cycle_a', 'cycle_b'):
    assert scores.get(name) == result.get(f'test_{name}')
  assert scores.keys() & {'error', 'samples_std', 'l1_b2a', 'cycle_a'}
