"""Output and exit statuses of the commands."""

import json
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SMOKE


@pytest.mark.systems
def test_a_run_leaves_what_it_should(trained):
  names = {path.name for path in trained.iterdir()}
  assert names >= {
    'checkpoints',
    'config.json',
    'data.json',
    'environment.json',
    'metrics.jsonl',
    'report.html',
    'result.json',
    'samples',
    'tensorboard',
  }
  session = json.loads((trained / 'environment.json').read_text())['sessions'][
    0
  ]
  assert session['packages']['jax']
  assert session['device_kind'] == 'cpu'
  grid = np.asarray(Image.open(trained / 'samples/samples_00000008.png'))
  assert grid.shape == (5 * 65 + 1, 10 * 65 + 1, 3)
  lines = map(json.loads, (trained / 'metrics.jsonl').read_text().splitlines())
  reports = [line for line in lines if 'd_loss' in line]
  assert [line['step'] for line in reports] == [2, 4, 6, 8]
  assert reports[0].keys() >= {
    'g_loss',
    'labelled_accuracy',
    'validation_error',
    'step_seconds',
    'epoch_seconds',
  }


@pytest.mark.systems
@pytest.mark.parametrize(
  ('config', 'second'),
  [('mnist_gan', 'sample'), ('digits_supervised', 'evaluate')],
)
def test_the_commands_that_a_training_ends_with_can_be_run(
  command, tmp_path, config, second
):
  out = command(
    'train', f'--config=configs/{config}.py:smoke',
    f'--workdir={tmp_path}/a run',
  ).stdout  # fmt: skip
  *_, places, _, report, other = out.splitlines()
  assert places == (
    f'report: {tmp_path}/a run/report.html; pictures: {tmp_path}/a run/samples/'
  )
  for line, name in ((report, 'report'), (other, second)):
    program, *words = shlex.split(line, comments=True)
    assert program.endswith('gan-jax')
    assert words[0] == name
    command(*words)
  assert (tmp_path / 'a run/more.png').exists() == (second == 'sample')


@pytest.mark.systems
def test_a_training_that_is_shorter_than_a_report_ends_well(command, tmp_path):
  out = command(
    'train', SMOKE, '--config.train.num_steps=2',
    '--config.log.report_every_steps=4', f'--workdir={tmp_path}',
  ).stdout  # fmt: skip
  assert 'no report was due; pictures: ' in out
  assert json.loads((tmp_path / 'result.json').read_text())['steps'] == 2


@pytest.mark.systems
def test_the_other_commands_read_a_moved_run(command, trained, tmp_path):
  moved = shutil.copytree(trained, tmp_path / 'a b' / 'moved')
  out = command('evaluate', f'--workdir={moved}').stdout
  result = json.loads((trained / 'result.json').read_text())
  assert json.loads(out)['error'] == result['test_error']
  picture = tmp_path / 'samples.png'
  command(
    'sample', f'--workdir={moved}', '--num=6', '--columns=3', '--seed=7',
    f'--output={picture}',
  )  # fmt: skip
  assert np.asarray(Image.open(picture)).shape == (2 * 65 + 1, 3 * 65 + 1, 3)
  curves = tmp_path / 'curves.png'
  command('plot', f'--workdir={moved}', f'--output={curves}')
  assert Image.open(curves).format == 'PNG'
  verdict = command('verify', f'--workdir={moved}').stdout
  assert verdict.strip() == 'identical at steps 2, 4, 6, 8'


@pytest.mark.systems
def test_verify_exits_with_1_if_something_differs(command, trained, tmp_path):
  copy = shutil.copytree(trained, tmp_path / 'run')
  path = copy / 'config.json'
  path.write_text(path.read_text().replace('0.99\n', '0.9900001\n', 1)
                  .replace('0.99,', '0.9900001,', 1))  # fmt: skip
  assert '0.9900001' in path.read_text()
  out = command('verify', f'--workdir={copy}', status=1).stdout
  assert out.startswith('different: step 2: the state differs')


def test_a_dry_run_shows_the_plan_and_makes_nothing(command, tmp_path):
  out = command('train', SMOKE, f'--workdir={tmp_path}/x', '--dry_run').stdout
  assert '"size_mult": 2' in out
  assert 'deconv1' in out
  assert 'conv7' in out
  assert 'Total Parameters' in out
  assert 'steps: 8' in out
  assert 'made-up, 8x8x1, 200 train, 20 validation, 30 test; 20 labels' in out
  assert list(tmp_path.iterdir()) == []


@pytest.mark.systems
def test_a_line_for_each_damaged_checkpoint_and_nothing_else(
  command, trained, tmp_path
):
  copy = shutil.copytree(trained, tmp_path / 'run')
  for path in (copy / 'checkpoints/8').rglob('*'):
    if path.is_file() and path.parent.name == 'd':
      data = bytearray(path.read_bytes())
      data[len(data) // 2] ^= 1
      path.write_bytes(bytes(data))
  done = command('evaluate', f'--workdir={copy}')
  assert json.loads(done.stdout)['step'] == 6
  assert done.stderr.count('\n') == 1
  assert 'checkpoints/8' in done.stderr


@pytest.mark.systems
def test_comparison_makes_a_table_and_does_not_repeat_itself(command, tmp_path):
  args = (
    '--configs=configs/digits_ssgan.py:smoke,'
    'configs/digits_supervised.py:smoke',
    '--label_seeds=0-1',
    f'--workdir={tmp_path}',
  )
  first = command('compare', *args).stdout
  table = (tmp_path / 'table.md').read_text()
  assert table in first
  rows = [line.split('|') for line in table.splitlines()[2:]]
  assert [row[1].strip() for row in rows] == [
    'digits_ssgan',
    'digits_supervised',
  ]
  assert all(row[2].strip() == '2' for row in rows)
  again = command('compare', *args).stdout
  assert again.count('is finished') == 4
  assert (tmp_path / 'table.md').read_text() == table


@pytest.mark.parametrize('name', [
  'train', 'evaluate', 'sample', 'translate', 'verify', 'compare', 'plot',
  'report', 'sweep', 'export',
])  # fmt: skip
def test_help_names_the_flags(command, name):
  out = command(name, '--help').stdout
  assert out.startswith(f'usage: gan-jax {name} [--FLAG=VALUE ...]')
  assert '--workdir' in out


@pytest.mark.parametrize(
  ('args', 'message'),
  [
    (('--config.sead=1',), 'unknown config key config.sead; did you mean'),
    (('--config.optimizer.generator.learning_rat=1',), 'config.optimizer.gen'),
    (
      ('--config.seed=x',),
      "config.seed must be an integer 0..4294967295, not 'x'",
    ),
    (('--config.seed=-1',), 'config.seed must be an integer'),
    (('--config.system=gan',), 'ssgan and cannot become gan, which has other'),
    (('--config.data.name=cifar',), "unknown data set 'cifar'; choose one of"),
    (('--config.loss.feature_matching=l1',), 'must be one of: absolute, sq'),
    (('--config.data.num_labels=15',), 'multiple of 10'),
    (('--config.data.num_labels=2000',), 'more than the 200 training images'),
    (('--config.data.batch_size=2000',), 'more than the 200 training images'),
    (('--config.data.image_size=20',), 'the generator takes square images'),
    (('--config.model.generator.base_size=3',), 'base_size'),
    (('--config.model.discriminator.strides=(2,2,2)',), 'leaves no pixel'),
    (('--config.train.num_steps=0',), 'set one of config.train.num_steps'),
    (
      ('--config.data.name=npz', '--config.data.data_dir=~no such user/x'),
      'names a home folder that does not exist',
    ),
    (('--wokdir=x',), "Unknown command line flag 'wokdir'"),
    (('somewhere',), "unexpected argument 'somewhere'"),
    (('--config=configs/digits.py',), "no config file 'configs/digits.py'"),
    (('--config=configs/digits_ssgan.py:big',), "unknown argument 'big'"),
    (('--config=README.md',), 'README.md'),
  ],
)
def test_bad_input_is_one_line_and_makes_nothing(
  refused, tmp_path, args, message
):
  workdir = tmp_path / 'run'
  refused(message, 'train', SMOKE, f'--workdir={workdir}', *args)
  assert not workdir.exists()


@pytest.mark.parametrize(
  ('name', 'args', 'message'),
  [
    ('train', (SMOKE,), 'give --workdir=DIR'),
    ('train', ('--workdir=x',), 'give --config=FILE'),
    ('evaluate', (), '--workdir'),
    ('evaluate', ('--workdir=configs',), 'is not a run directory'),
    ('evaluate', ('--real=configs',), 'both --real and --fake'),
    ('evaluate', ('--real=a', '--fake=b'), 'give --metrics'),
    ('evaluate', ('--real=a', '--fake=b', '--metrics=is'), "metric 'is'"),
    ('report', ('--workdir=configs',), 'is not a run directory'),
    ('sample', ('--workdir=configs', '--output=x.jpg'), 'ends in .png'),
    ('plot', ('--workdir=nowhere', '--output=x.png'), 'is not a run directory'),
    ('plot', ('--workdir=x', '--output=x.jpg'), 'ends in .png'),
    ('verify', ('--workdir=nowhere',), 'is not a run directory'),
    ('compare', ('--workdir=x', '--configs=x', '--label_seeds=a'), '--label'),
    (
      'compare',
      ('--workdir=x', '--configs=x', '--label_seeds=0-9999999'),
      'a m',
    ),
    (
      'compare',
      ('--workdir=x', '--configs=configs/mnist_gan.py:smoke'),
      'not class',
    ),
    ('compare', ('--workdir=x', '--configs=x', '--label_seeds=1,1'), 'twice'),
    ('compare', ('--workdir=x', '--configs=x', '--label_seeds=5-3'), 'backw'),
    ('sample', ('--workdir=x', '--output=x.png', f'--seed={2**63}'), '--seed'),
    ('train', (SMOKE, '--workdir=gs://b/run'), 'gs://b/run is not a folder of'),
    ('compile', (SMOKE, '--topology=v9:2x2'), 'known are: v4:2x2x1'),
    ('compile', (SMOKE, '--image_shape=8,16,1'), 'square images'),
    ('compile', (SMOKE, '--output=no/such.json'), 'no such folder'),
    ('compile', (SMOKE, '--image_shape=8,8'), 'want three numbers'),
    ('benchmark', ('--systems=vae',), "unknown system 'vae'; choose one of"),
  ],
)
def test_other_bad_input(refused, name, args, message):
  refused(message, name, *args)


@pytest.mark.systems
def test_benchmark_times_our_step(command, tmp_path):
  output = tmp_path / 'benchmark.json'
  done = command(
    'benchmark', '--systems=digits_ssgan', '--peers=none', '--rounds=2',
    '--seconds=0', f'--output={output}',
  )  # fmt: skip
  table = done.stdout.splitlines()
  assert [line.split(' | ')[1] for line in table[2:]] == [
    'jax',
    'floor, plain products',
    'floor, our products',
  ]
  figures = json.loads(output.read_text())['systems']['digits_ssgan']['jax']
  assert len(figures['step_per_round']) == 2
  assert min(figures['step_per_round']) > 0
  assert figures['first_step_cold'] > figures['first_step_warm'] > 0
  assert figures['peak_resident_bytes'] > figures['live_bytes'] > 0
  assert 1e9 < figures['flops'] < 1e10
