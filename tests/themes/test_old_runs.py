"""Runs of version 0.1.0, which every later version must be able to use.

tests/old_runs holds them: smoke runs of eight steps, without their images,
curves and earlier checkpoints.
"""

import json
import os
import pathlib
import re
import shutil
import tarfile

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from gan_jax.core.errors import InputError
from gan_jax.runs import restore
from gan_jax.runs.checkpoint import Checkpoints
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.fingerprint import fingerprints
from gan_jax.training.verify import verify

STORED = pathlib.Path(__file__).parents[1] / 'old_runs'
NAMES = ('digits_ssgan', 'facades_cyclegan', 'mnist_gan', 'mnist_ssgan')
NEEDS = {'mnist': 'mnist/3.0.1', 'cycle_gan/facades': 'cycle_gan/facades/3.0.0'}


@pytest.fixture(params=NAMES)
def run(request, tmp_path):
  with tarfile.open(STORED / f'{request.param}_0.1.0.tar.xz') as archive:
    archive.extractall(tmp_path, filter='data')
  return tmp_path / request.param


@pytest.fixture
def run_with_data(run):
  """A run whose data are available; the digits always are."""
  name = RunDirectory(run).read_config().data.name
  base = pathlib.Path(os.environ.get('TFDS_DATA_DIR', 'unset'))
  if name in NEEDS and not (base / NEEDS[name]).is_dir():
    pytest.skip(f'TFDS_DATA_DIR holds no prepared {name}')
  if 'cyclegan' in run.name:  # a batch of one, and two devices here
    path = run / 'config.json'
    path.write_text(path.read_text().replace('"auto"', '"jit"'))
  return run


def read(path):
  return json.loads(path.read_text())


def test_the_checkpoints_are_what_was_recorded(run):
  """They match to the bit on any machine, since nothing is computed."""
  opened = restore.load_run(run)
  assert opened.step == 8
  hashes = fingerprints(jax.device_get(opened.state))
  recorded = RunDirectory(run).record().hashes
  assert hashes == read(run / 'result.json')['sha256']
  assert hashes['state'] == recorded[8]
  for step in Checkpoints(run / 'checkpoints').steps():
    state = restore.load_run(run, str(step)).state
    assert fingerprints(jax.device_get(state))['state'] == recorded[step]


def test_samples_and_translations(run, command, tmp_path):
  if 'cyclegan' in run.name:
    Image.new('RGB', (20, 24), 'red').save(tmp_path / 'photo.png')
    out = tmp_path / 'made'
    command(
      'translate', f'--workdir={run}', f'--input={tmp_path}/photo.png',
      f'--output={out}', '--direction=a2b',
    )  # fmt: skip
    assert Image.open(out / 'photo.png').size == (20, 24)
  else:
    out = tmp_path / 'grid.png'
    command('sample', f'--workdir={run}', f'--output={out}', '--num=4')
    assert np.asarray(Image.open(out)).std() > 0


@pytest.mark.systems
def test_scores_and_reports(run_with_data, command, tmp_path):
  run, result = run_with_data, read(run_with_data / 'result.json')
  scores = json.loads(command('evaluate', f'--workdir={run}').stdout)
  assert scores['step'] == 8
  for name in ('l1_b2a', 'cycle_a', 'cycle_b'):
    if name in scores:
      assert_allclose(scores[name], result[f'test_{name}'], rtol=1e-3)
  if 'error' in scores:  # a rounding may turn a decision
    assert abs(scores['error'] - result['test_error']) < 0.01
  command('report', f'--workdir={run}', f'--output={tmp_path}/report.html')
  page = (tmp_path / 'report.html').read_text()
  assert 'Translations' in page or 'Between samples' in page
  assert f'gan-jax train --config={run} --workdir={run}-again' in page


@pytest.mark.systems
def test_it_goes_on(run_with_data, command):
  """It resumes at step 6 if there is a checkpoint, else at 8."""
  run = run_with_data
  recorded = {
    line['step']: line for line in RunDirectory(run).lines() if 'epoch' in line
  }
  if (run / 'checkpoints/6').exists():
    shutil.rmtree(run / 'checkpoints/8')
    command('train', f'--workdir={run}')
    again = {x['step']: x for x in RunDirectory(run).lines() if 'epoch' in x}[8]
    for name in recorded[8].keys() - {'step_seconds', 'epoch_seconds'}:
      assert_allclose(again[name], recorded[8][name], rtol=1e-3, err_msg=name)
  command('train', f'--workdir={run}', '--config.train.num_steps=10')
  assert read(run / 'result.json')['steps'] == 10
  assert read(run / 'config.json')['format'] >= 2
  sessions = RunDirectory(run).sessions()
  assert 'config_sha256' in sessions[-1]
  opened = restore.load_run(run)
  assert (
    fingerprints(jax.device_get(opened.state))['state']
    == RunDirectory(run).record().hashes[10]
  )


@pytest.mark.systems
def test_it_is_verified(run_with_data):
  """It is identical, or the differences of the environment are named."""
  verdict = verify(run_with_data)
  if verdict.finding is not None:
    assert re.match(r'step \d: ', verdict.finding)
    # At least the code differs; another processor is also named.
    assert any(cause.startswith('code_sha256') for cause in verdict.causes)


@pytest.mark.parametrize('run', ['digits_ssgan'], indirect=True)
@pytest.mark.systems
def test_a_leaf_changed_by_a_thousandth_is_caught(run):
  """The changed state is saved with its own hashes, hence not as damaged."""
  opened = restore.load_run(run)
  params = opened.state.generator.params
  leaves, tree = jax.tree.flatten(params)
  leaves[0] = leaves[0] * 1.001
  state = opened.state.replace(
    generator=opened.state.generator.replace(
      params=jax.tree.unflatten(tree, leaves)
    )
  )
  shutil.rmtree(run / 'checkpoints')
  saver = Checkpoints(run / 'checkpoints')
  saver.save(state, {})
  saver.close()
  finding = verify(run).finding
  assert 'step 8: the checkpoint is not the one that was recorded' in finding


def test_a_newer_run_names_both_versions(run):
  for name in ('config.json', 'data.json'):
    path = run / name
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text) | {'format': 1000}))
    with pytest.raises(InputError, match=rf'{name} is of format 1000, which'):
      restore.load_run(run)
    path.write_text(text)
  path = run / 'result.json'
  result = read(path)
  path.write_text(json.dumps(result | {'config': {'format': 1000}}))
  with pytest.raises(InputError, match=r'result\.json is of format 1000'):
    RunDirectory(run).read_result()
