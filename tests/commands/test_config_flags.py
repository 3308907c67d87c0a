"""Configs on the command line: from files, from runs, with overrides."""

import hashlib
import json
import shutil

import pytest

from gan_jax.commands.cli.config_page import page
from gan_jax.systems import SYSTEMS
from tests.conftest import ROOT, call

pytestmark = pytest.mark.systems

TOY = (
  '--config=tests/toy.py:smoke',
  '--config.data.num_labels=10',
  '--config.data.num_validation=10',
)
SCHEDULE = 'config.optimizer.generator.schedule'


def read(path):
  return json.loads(path.read_text())


@pytest.fixture(scope='module')
def trained_once(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('toy') / 'run'
  done = call('train', *TOY, f'--workdir={workdir}')
  assert 'on random images in place of digits' in done.stdout
  return workdir


@pytest.fixture
def run(trained_once, tmp_path):
  """Copies that run, so that a test may change it."""
  return shutil.copytree(trained_once, tmp_path / 'run')


def test_a_run_goes_on_by_its_own_config(command, refused, run, tmp_path):
  out = command('train', f'--workdir={run}').stdout
  assert 'is finished: 8 steps' in out
  out = command('train', f'--workdir={run}', '--config.train.num_steps=10')
  assert 'resuming' in out.stdout
  assert read(run / 'result.json')['steps'] == 10
  refused(
    'config.seed: 0 -> 1. Choose another --workdir; --workdir alone continues',
    'train', f'--workdir={run}', '--config.seed=1',
  )  # fmt: skip
  refused('give --config=FILE', 'train', f'--workdir={tmp_path}/none')
  assert not (tmp_path / 'none').exists()


@pytest.mark.parametrize('name', ['', '/config.json'])
def test_a_run_is_a_config(command, run, tmp_path, name):
  again = tmp_path / 'again'
  command('train', f'--config={run}{name}', f'--workdir={again}')
  old, new = (read(x / 'result.json') for x in (run, again))
  assert old['sha256'] == new['sha256']
  assert old['config_sha256'] == new['config_sha256']
  assert (run / 'config.json').read_bytes() == (
    (again / 'config.json').read_bytes()
  )
  other = tmp_path / 'other'
  command(
    'train', f'--config={run}{name}', '--config.seed=4', f'--workdir={other}'
  )
  assert read(other / 'config.json')['seed'] == 4
  assert read(other / 'result.json')['sha256'] != old['sha256']


def test_an_edited_config_leaves_a_trace(command, run):
  path = run / 'config.json'
  path.write_text(path.read_text().replace('0.001', '0.002'))
  args = 'train', f'--workdir={run}', '--config.train.num_steps=10'
  done = command(*args)
  assert f'note: {path} was edited since the run was last started' in (
    done.stderr
  )
  out = command('verify', f'--workdir={run}', status=1).stdout
  assert 'config.json is not the file that the run recorded when it was' in out
  again = command(*args[:2], '--config.train.num_steps=12')
  assert 'was edited' not in again.stderr


def test_a_dry_run_refuses_what_training_refuses(refused):
  for override, message in (
    ('eval.metrics=foo', 'foo'),
    ('checkpoint.best_metric=foo', 'choose one of: validation_error'),
  ):
    refused(message, 'train', *TOY, '--dry_run', f'--config.{override}')


def test_the_configs_hash_is_that_of_the_file(run):
  sha256 = hashlib.sha256((run / 'config.json').read_bytes()).hexdigest()
  assert read(run / 'result.json')['config_sha256'] == sha256
  (session,) = read(run / 'environment.json')['sessions']
  assert session['config_sha256'] == sha256


def test_a_run_of_0_1_0_is_a_config_too(command, run, tmp_path):
  """Its config has no format, and lacks the keys that came later."""
  old = shutil.copytree(run, tmp_path / 'old')
  config = read(old / 'config.json')
  del config['format'], config['data']['made_up']
  (old / 'config.json').write_text(json.dumps(config))
  out = command('train', f'--config={old}', '--dry_run').stdout
  assert '"made_up": false' in out
  assert 'digits, 8x8x1, 1247 train' in out


@pytest.mark.parametrize('flip', [False, True])
def test_names_and_keys_in_any_order(command, flip):
  overrides = [
    f'--{SCHEDULE}.name=linear',
    f'--{SCHEDULE}.length=10',
  ]
  out = command(
    'train', *TOY, '--dry_run', *(overrides[::-1] if flip else overrides)
  ).stdout
  stated, _, rest = out.partition('\nConfig\n')
  assert stated.startswith('Differs from the defaults\n')
  assert "optimizer.generator.schedule.name = 'linear'  (default 'con" in stated
  assert 'optimizer.generator.schedule.length = 10  (def' in stated
  assert 'hold' not in stated
  assert '"hold": 100' in rest


def test_what_a_name_drops(command, refused):
  """A note if the config file set the key, an error if the command line did."""
  args = (
    'train', '--config=configs/mnist_gan.py:smoke', '--dry_run',
    '--config.loss.adversarial.name=hinge',
  )  # fmt: skip
  done = command(*args)
  assert done.stderr == (
    'note: config.loss.adversarial.label_smoothing = 0.1 is dropped: '
    'config.loss.adversarial.name=hinge has no such key\n'
  )
  refused(
    'label_smoothing is a key of config.loss.adversarial.name=minimax or',
    *args, '--config.loss.adversarial.label_smoothing=0.2',
  )  # fmt: skip


def test_a_sweep_over_names(command, tmp_path):
  out = command(
    'sweep', *TOY, f'--workdir={tmp_path}/sweep', '--seeds=0',
    '--vary=optimizer.generator.schedule.name=linear',
    '--vary=optimizer.generator.schedule.length=5,10',
  ).stdout  # fmt: skip
  assert '2/2' in out
  runs = sorted(x for x in (tmp_path / 'sweep').iterdir() if x.is_dir())
  decays = {
    read(x / 'config.json')['optimizer']['generator']['schedule']['length']
    for x in runs
  }
  assert decays == {5, 10}


@pytest.mark.parametrize(
  ('args', 'key', 'value'),
  [
    (('--config.log.tensorboard=true',), 'log.tensorboard = True', False),
    (('--config.log.tensorboard',), 'log.tensorboard = True', False),
    (('--noconfig.data.made_up',), 'data.made_up = True', False),
    (('--config.seed', '5'), 'seed = 5  (default 0)', True),
    (('--config.log.grid=(2,3)',), 'log.grid = (2, 3)', True),
    (('--config.train.num_epochs=3',), 'train.num_epochs = 3', True),
    (('--config.train.num_epochs=3',), 'train.num_steps', False),
  ],
)
def test_forms_of_overrides(command, args, key, value):
  digits = '--config.data.num_labels=10', '--config.data.num_validation=10'
  out = command('train', TOY[0], *digits, '--dry_run', *args).stdout
  stated = out.partition('\nConfig\n')[0]
  assert (key in stated) == value


def test_the_page_of_keys_is_current(command, monkeypatch):
  monkeypatch.delitem(SYSTEMS, 'toy')
  written = (ROOT / 'docs/config.md').read_text()
  assert page() == written, 'run: gan-jax config > docs/config.md'
  assert command('config').stdout == written


def test_the_keys_of_a_system(command, refused):
  out = command('config', 'pix2pix').stdout
  direction = 'direction of the translation; one of: a2b'
  assert f"data.direction = 'b2a'\n    {direction}" in out
  assert 'length = 100  (of linear, cosine)\n' in out
  assert 'z_dim' not in out
  refused("unknown system 'dcgan'; choose one of", 'config', 'dcgan')
  refused('name one system, or none', 'config', 'gan', 'ssgan')
  assert 'gan-jax config SYSTEM' in command('train', '--help').stdout


def test_a_run_from_another(command, refused, run, tmp_path):
  """The plan and the run list what is taken; then the other can be deleted."""
  other = tmp_path / 'other'
  args = (*TOY, '--config.model.z_dim=7', f'--workdir={other}')
  start = f'--init_from={run}@6:all,ema'
  out = command('train', *args, start, '--dry_run').stdout
  assert f'starting from {run}@6:all,ema: 4 arrays taken, 1 initialised' in out
  assert 'generator/params/Dense_0/kernel float32[7, 64] (there fl' in out
  assert not other.exists()
  out = command('train', *args, start).stdout
  assert 'starting from' in out
  shutil.rmtree(run)
  command('verify', f'--workdir={other}')
  out = command('train', f'--workdir={other}', '--config.train.num_steps=10')
  assert 'resuming' in out.stdout
  command('verify', f'--workdir={other}')
  refused(
    'is not a run directory: no config.json',
    'train', *TOY, start, f'--workdir={tmp_path}/third',
  )  # fmt: skip
  refused(
    'give OLD=NEW, where OLD is a regular expression',
    'train', *TOY, f'--init_from={other}', '--init_rename=nothing=x',
    f'--workdir={tmp_path}/third',
  )  # fmt: skip
  assert not (tmp_path / 'third/config.json').exists()


@pytest.mark.parametrize(
  ('flag', 'message'),
  [
    ('augment.policy=colour', r'some of color,translation,cutout, each once'),
    ('augment.probability=1.5', 'a finite number in [0.0, 1.0], not 1.5'),
    ('optimizer.generator.freeze=conv(', 'a regular expression'),
    ('optimizer.generator.freeze=conv9', 'that no parameter matches; they are'),
    ('data.classes=10', 'None or a tuple of integers >= 0, not 10'),
    ('loss.g_batch=new', 'one of: shared, fresh'),
    ('optimizer.generator.ema.decay=0.9', '.ema.name=debiased or warmup, not'),
    ('optimizer.generator.ema_decay=0.9', 'unknown config key config.opt'),
    ('init.source=nowhere', 'nowhere is not a run directory'),
  ],
)
def test_options_that_cannot_be(refused, flag, message, tmp_path):
  refused(
    message, 'train', '--config=configs/mnist_gan.py:smoke',
    f'--config.{flag}', f'--workdir={tmp_path}/run',
  )  # fmt: skip
  assert not (tmp_path / 'run/config.json').exists()
