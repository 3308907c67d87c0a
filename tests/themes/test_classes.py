"""A class-conditional run, in the commands that generate or score images."""

import json

import numpy as np
import pytest

from gan_jax.commands import cli
from tests.conftest import call

pytestmark = pytest.mark.systems

CONFIG = (
  '--config=configs/mnist_gan.py:smoke',
  '--config.data.name=digits',
  '--config.data.made_up=False',
  '--config.data.num_validation=250',
  '--config.parallel=jit',
  '--config.model.conditioning=concat_projection',
)


def done(name, *args):
  result = call(name, *args)
  assert result.returncode == 0, result.stderr
  return result.stdout


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  path = tmp_path_factory.mktemp('classes') / 'run'
  done('train', *CONFIG, f'--workdir={path}')
  return path


@pytest.fixture(scope='module')
def evaluated(workdir):
  return json.loads(
    done(
      'evaluate',
      f'--workdir={workdir}',
      '--labels=2,5',
      '--num_samples=40',
      '--metrics=class_kid',
      '--extractor=random',
    )
  )


def test_scores_are_of_the_classes_asked_for(evaluated):
  names = {name for name in evaluated['samples'] if name.startswith('class_')}
  assert names == {'class_kid', 'class_kid_2', 'class_kid_5'}
  parts = [evaluated['samples'][f'class_kid_{k}'] for k in (2, 5)]
  assert evaluated['samples']['class_kid'] == pytest.approx(np.mean(parts))


def test_the_deviation_within_classes_is_no_larger_than_over_all(evaluated):
  within = evaluated['samples_std_within_classes']
  assert 0.0 < within <= evaluated['samples_std']
  assert 0.0 < evaluated['data_std_within_classes'] <= evaluated['data_std']


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (('--labels=0-10',), 'the classes of .* are 0..9'),
    (
      ('--num_samples=30', '--metrics=class_kid', '--extractor=random'),
      'class_kid needs 20 images of each class .* take more',
    ),
    (
      ('--metrics=class_accuracy', '--extractor=random'),
      'class_accuracy needs a classifier',
    ),
  ],
)
def test_what_cannot_be_scored_is_refused(workdir, flags, message):
  result = call('evaluate', f'--workdir={workdir}', *flags)
  assert result.returncode == 2
  with pytest.raises(cli.InputError, match=message):
    raise cli.InputError(result.stderr)


def test_the_report_looks_at_each_class(workdir):
  done('report', str(workdir))
  page = (workdir / 'report.html').read_text()
  assert 'Class by class' in page
  found = json.loads((workdir / 'report' / 'insights.json').read_text())
  (of,) = found['classes']['samples'].values()
  assert [each['label'] for each in of] == [str(k) for k in range(10)]
  assert all(each['std'] > 0.0 for each in of)
  assert (workdir / 'report' / 'classes_samples.png').is_file()


def test_seeds_together_are_the_runs_alone(workdir, tmp_path):
  done('sweep', *CONFIG, '--seeds=0-1', '--mode=vmap', f'--workdir={tmp_path}')
  lane = tmp_path / 'seed=0' / 'metrics.jsonl'
  rows = [
    list(map(json.loads, path.read_text().splitlines()))
    for path in (lane, workdir / 'metrics.jsonl')
  ]
  losses = [[x['d_loss'] for x in lines if 'd_loss' in x] for lines in rows]
  np.testing.assert_allclose(*losses, rtol=1e-4)


def test_it_verifies(workdir):
  assert 'identical' in done('verify', f'--workdir={workdir}')
