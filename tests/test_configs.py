"""Every config file, and every smoke variant."""

import json
import pathlib
import shutil

import pytest
from PIL import Image

from gan_jax.config import differences, flatten, load_config
from gan_jax.core.errors import InputError
from gan_jax.data.spec import POINT
from gan_jax.evaluation import samples, scoring
from gan_jax.inference.translate import translate_files
from gan_jax.runs import restore
from gan_jax.runs.program import build
from gan_jax.systems import check
from gan_jax.systems.parts import objectives
from gan_jax.training.loop import train
from tests.changes import changed

FILES = sorted((pathlib.Path(__file__).parents[1] / 'configs').glob('*.py'))

# The keys that :smoke may change.
SIZES_AND_COUNTS = (
  'batch_size',
  'blocks',
  'classes',
  'crop_size',
  'features',
  'grid',
  'group_width',
  'hidden',
  'init_rows',
  'keep',
  'layers',
  'load_size',
  'made_up',
  'n_critic',
  'num_blocks',
  'num_epochs',
  'num_labels',
  'num_patches',
  'num_steps',
  'num_train',
  'num_validation',
  'patch_size',
  'pool_size',
  'report_every_steps',
  'save_every_steps',
  'size_mult',
  'width',
  'widths',
)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_config_is_complete_and_smoke_makes_it_small(path):
  full, smoke = load_config(str(path)), load_config(f'{path}:smoke')
  check(full)
  check(smoke)
  assert not full.data.made_up
  assert smoke.data.made_up
  values = dict(flatten(smoke))
  assert values.keys() == dict(flatten(full)).keys()
  for key, value in flatten(full):
    name = key.split('.')[-1]
    assert value == values[key] or name in SIZES_AND_COUNTS, key
    if (
      value != values[key]
      and isinstance(value, int)
      and name not in ('keep', 'num_epochs', 'num_steps', 'num_train')
    ):
      assert values[key] < value or name == 'made_up', key
  assert not any(isinstance(value, list) for value in values.values())


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_config_file_knows_its_arguments(path):
  message = r"unknown argument 'tiny'; 'smoke'(, 'paper')?(, 'cpu')? or"
  with pytest.raises(InputError, match=message):
    load_config(f'{path}:tiny')


@pytest.mark.parametrize(
  ('name', 'values'),
  [
    (
      'fashion_hinge',
      {'model.generator.width': 256, 'model.discriminator.width': 128},
    ),
    (
      'mnist_cgan',
      {
        'model.generator.width': 256,
        'model.discriminator.width': 128,
        'loss.n_critic': 5,
      },
    ),
    (
      'fashion_r3gan_resnet',
      {
        'data.batch_size': 512,
        'model.generator.widths': (768,) * 4,
        'model.generator.blocks': (2,) * 4,
        'loss.r1_gamma': 0.05,
        'loss.r2_schedule.final': 0.005,
        'loss.r1_schedule.length': 20_000_000,
        'optimizer.discriminator.b2_schedule.length': 20_000_000,
        'optimizer.generator.ema.schedule.final': 5_000_000,
      },
    ),
  ],
)
def test_the_sizes_of_the_paper(name, values):
  path = FILES[0].parent / f'{name}.py'
  small, large = (
    dict(flatten(load_config(f'{path}{arg}'))) for arg in ('', ':paper')
  )
  assert small.keys() == large.keys()
  for key, value in values.items():
    assert large[key] == pytest.approx(value) != small[key], key


@pytest.mark.parametrize(
  'name',
  [
    'facades_cut',
    'facades_cyclegan',
    'facades_pix2pix',
    'fashion_dcgan',
    'fashion_hinge',
    'fashion_wgan_gp',
  ],
)
def test_the_size_for_a_cpu_is_smaller_and_has_the_whole_schedule(name):
  path = FILES[0].parent / f'{name}.py'
  config = load_config(f'{path}:cpu')
  check(config)
  large, small = dict(flatten(load_config(str(path)))), dict(flatten(config))
  changed = {key for key, value in large.items() if value != small[key]}
  assert {'model.generator', 'model.discriminator'} <= {
    key.rpartition('.')[0] for key in changed
  }
  kept = changed - {'model.generator.upsampling', 'model.heads.layers'}
  assert all(small[key] < large[key] for key in kept)
  assert not any(
    key.startswith(('train.', 'optimizer.')) or key == 'data.batch_size'
    for key in changed
  )


def both(**settings):
  """Returns the same settings for the optimisers of both players."""
  return {
    f'optimizer.{player}.{key}': value
    for player in ('generator', 'discriminator')
    for key, value in settings.items()
  }


DCGAN = both(learning_rate=2e-4, b1=0.5) | {
  'data.batch_size': 128,
  'model.generator.size_mult': 128,
  'model.generator.init_stddev': 0.02,
  'model.discriminator.width': 64,
  'model.discriminator.normalization': 'batch',
  'model.discriminator.init_stddev': 0.02,
  'loss.adversarial.name': 'non_saturating',
}
CYCLEGAN = both(learning_rate=2e-4, b1=0.5, **{
  'schedule.name': 'linear',
  'schedule.hold': 100,
  'schedule.length': 100,
}) | {
  'data.batch_size': 1,
  'data.flip': True,
  'model.pool_size': 50,
  'model.discriminator.normalization': 'instance',
  'loss.adversarial.name': 'least_squares',
  'loss.lambda_adversarial': 2.0,
  'loss.lambda_discriminator': 1.0,
  'loss.lambda_cycle': 10.0,
  'loss.lambda_identity': 5.0,
  'train.num_epochs': 200,
}  # fmt: skip
CUT = both(learning_rate=2e-4, b1=0.5, b2=0.999) | {
  'data.batch_size': 1,
  'data.flip': True,
  'model.generator.normalization': 'instance',
  'model.generator.downsampling': 'blur',
  'model.generator.upsampling': 'blur',
  'model.initializer': 'xavier',
  'model.init_gain': 0.02,
  'model.discriminator.normalization': 'instance',
  'model.discriminator.downsampling': 'blur',
  'model.heads.layers': (0, 4, 8, 12, 16),
  'model.heads.features': 256,
  'loss.adversarial.name': 'least_squares',
  'loss.lambda_adversarial': 2.0,
  'loss.lambda_discriminator': 1.0,
  'loss.nce_temperature': 0.07,
  'loss.num_patches': 256,
}
# The values that each config must have, from its paper or its authors' code.
SPECIFIED = {
  'mnist_gan': both(learning_rate=0.002) | {
    'data.batch_size': 100,
    'model.z_dim': 100,
    'model.z_prior': 'uniform',
    'model.generator.hidden': 128,
    'model.discriminator.hidden': 128,
    'loss.adversarial.name': 'non_saturating',
    'loss.adversarial.label_smoothing': 0.1,
    'train.num_epochs': 100,
    'log.grid': (4, 4),
  },
  'svhn_dcgan': DCGAN,
  'fashion_dcgan': DCGAN,
  'svhn_ssgan': {'data.batch_size': 128, 'data.num_labels': 1000},
  'mnist_ssgan': both(learning_rate=0.003, b1=0.5, eps=0.0, eps_root=1e-8) | {
    'data.batch_size': 100,
    'data.num_labels': 100,
    'model.z_dim': 100,
    'model.generator.hidden': (500, 500),
    'model.discriminator.hidden': (1000, 500, 250, 250, 250),
    'model.discriminator.input_noise': 0.3,
    'model.discriminator.hidden_noise': 0.5,
    'model.init_rows': 500,
    'optimizer.discriminator.ema.name': 'debiased',
    'optimizer.discriminator.ema.decay': 0.9999,
    'train.num_epochs': 300,
  },
  'fashion_hinge': {
    'loss.adversarial.name': 'hinge',
    'model.discriminator.normalization': 'spectral',
  },
  'fashion_wgan_gp': both(learning_rate=1e-4, b1=0.0, b2=0.9) | {
    'loss.adversarial.name': 'wasserstein',
    'loss.lambda_gp': 10.0,
    'loss.n_critic': 5,
  },
  'fashion_rpgan_dcgan': both(b1=0.0) | {
    'loss.adversarial.name': 'relativistic',
    'model.discriminator.normalization': 'none',
  },
  'mnist_cgan': both(learning_rate=2e-4, b1=0.0, b2=0.9) | {
    'loss.adversarial.name': 'hinge',
    'model.conditioning': 'batch_norm_projection',
    'model.discriminator.normalization': 'spectral',
  },
  'fashion_r3gan_resnet': both(learning_rate=2e-4, b1=0.0, b2=0.9) | {
    'loss.adversarial.name': 'relativistic',
    'model.generator.group_width': 16,
  },
  'facades_pix2pix': both(learning_rate=2e-4, b1=0.5) | {
    'data.batch_size': 1,
    'data.direction': 'b2a',
    'data.load_size': 286,
    'data.crop_size': 256,
    'data.flip': True,
    'model.generator.width': 64,
    'model.discriminator.width': 64,
    'model.discriminator.patch_size': 70,
    'model.test_statistics': 'instance',
    'model.test_dropout': True,
    'loss.adversarial.name': 'non_saturating',
    'loss.lambda_adversarial': 1.0,
    'loss.lambda_discriminator': 0.5,
    'loss.lambda_l1': 100.0,
    'train.num_epochs': 200,
  },
  'facades_cyclegan': CYCLEGAN,
  'facades_cut': CUT | {
    'loss.lambda_nce': 10.0,
    'loss.nce_identity': False,
    'loss.flip_equivariance': True,
    'train.num_epochs': 200,
  },
  'horse2zebra_cut': CUT | {
    'data.load_size': 286,
    'data.crop_size': 256,
    'model.generator.width': 64,
    'model.generator.num_blocks': 9,
    'model.discriminator.width': 64,
    'model.discriminator.patch_size': 70,
    'loss.lambda_nce': 1.0,
    'loss.nce_identity': True,
    'loss.flip_equivariance': False,
    'train.num_epochs': 400,
  },
  'horse2zebra_cyclegan': CYCLEGAN | {
    'data.load_size': 286,
    'data.crop_size': 256,
    'model.generator.width': 64,
    'model.generator.num_blocks': 9,
    'model.discriminator.width': 64,
    'model.discriminator.patch_size': 70,
  },
}  # fmt: skip


@pytest.mark.parametrize('name', SPECIFIED)
def test_a_config_has_the_values_that_it_repeats(name):
  values = dict(flatten(load_config(str(FILES[0].parent / f'{name}.py'))))
  for key, value in SPECIFIED[name].items():
    assert values[key] == value, key


@pytest.mark.parametrize('name', objectives.LOSSES)
@pytest.mark.parametrize(
  'path',
  [p for p in FILES if 'adversarial' in load_config(str(p)).get('loss', {})],
  ids=lambda path: path.stem,
)
def test_an_adversarial_loss_is_changed_by_its_name(path, name):
  config = load_config(str(path))
  check(changed(config, {'loss.adversarial.name': name}))


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
    'augment.policy',
    'augment.probability',
    'augment.schedule.name',
    'model.discriminator.dropout_rate',  # each is chosen on validation data
  }
  assert ours.train == baseline.train


@pytest.mark.systems
@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_smoke_trains_resumes_evaluates_and_samples(
  path, tmp_path, monkeypatch
):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))  # no data are needed

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
  sessions = json.loads((workdir / 'environment.json').read_text())['sessions']
  assert [s['from_step'] for s in sessions] == [0, num_steps - 4]

  scores = scoring.evaluate(workdir, num_samples=5)
  assert scores['step'] == num_steps
  assert ('test_error' in result) == (
    build(config).system.classifier is not None
  )
  if 'test_error' in result:
    assert scores['error'] == result['test_error']
  if 'samples_std' in result:
    spec = build(config).data.spec
    assert 0 <= scores['samples_std'] < 0.5
    if spec.image_shape != POINT:
      assert scores['data_to_train'] > 0.5
    made = samples.sample(workdir, num=3, seed=1)['samples']
    assert made.shape == (3, *spec.native_size, spec.image_shape[2])
  for name in ('l1_b2a', 'cycle_a', 'cycle_b'):
    assert scores.get(name) == result.get(f'test_{name}')
  translates = build(config).system.translator is not None
  assert translates or scores.keys() & {'error', 'samples_std'}

  if translates:
    photo = tmp_path / 'photo.png'
    Image.new('RGB', (23, 17), 'red').save(photo)
    made = tmp_path / 'made'
    assert translate_files(workdir, photo, made) == (1, [])
    assert Image.open(made / 'photo.png').size == (23, 17)
  for pool in restore.load_run(workdir).state.extra.values():
    # The pool is full long before the last step, and has replaced images.
    assert pool.filled == config.model.pool_size < num_steps - 4
