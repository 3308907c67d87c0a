"""Kills of real training processes; `python -m tests.kills` has more."""

import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests import kills
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(('system', 'rounds'), [('toy', 8), ('gan', 4)])
def test_a_run_that_is_killed_equals_an_undisturbed_one(
  tmp_path, system, rounds
):
  row = kills.kill_system(system, rounds, tmp_path, seed=0)
  assert sum(row['kills'].values()) == rounds
  assert row['again'] <= kills.SAVE_EVERY


def wait_for(condition, process, seconds=120):
  """Polls until `condition()`, as often as it can."""
  deadline = time.monotonic() + seconds
  while not condition():
    assert process.poll() is None, process.communicate()
    assert time.monotonic() < deadline, 'waited in vain'


def committed(workdir):
  folder = workdir / 'checkpoints'
  return [int(p.name) for p in folder.glob('*') if p.name.isdigit()]


@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(tmp_path, signum):
  workdir = tmp_path / 'run'
  process = subprocess.Popen(
    [sys.executable, '-m', 'tests.train', '--config=tests/toy.py',
     f'--workdir={workdir}', '--config.train.num_steps=1000000'],
    cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
  )  # fmt: skip
  wait_for(lambda: committed(workdir), process)
  process.send_signal(signum)
  _, err = process.communicate(timeout=60)
  assert process.returncode == 128 + signum, err
  assert 'Traceback' not in err
  name, step = signal.Signals(signum).name, max(committed(workdir))
  assert f'{name} received: saving and stopping' in err
  assert f'stopped by {name} at step {step}, which is saved' in err
  assert not list(workdir.rglob('*tmp*'))


def test_a_fine_tuned_run_outlives_its_source(tmp_path):
  """It is killed, resumed and verified after its source run is removed."""

  def command(*args):
    return [sys.executable, '-m', 'gan_jax', *map(str, args)]

  def run(*args):
    done = subprocess.run(
      command(*args), cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

  config = '--config=configs/mnist_gan.py:smoke'
  source, workdir = tmp_path / 'source', tmp_path / 'run'
  run('train', config, f'--workdir={source}')
  process = subprocess.Popen(
    command(
      'train', config, f'--init_from={source}:all', f'--workdir={workdir}',
      '--config.optimizer.discriminator.freeze=dense1/',
      '--config.train.num_steps=1000000',
      '--config.checkpoint.save_every_steps=50',
    ),
    cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
  )  # fmt: skip
  wait_for(lambda: committed(workdir), process)
  process.kill()
  process.communicate()
  shutil.rmtree(source)
  steps = max(committed(workdir)) + 100
  out = run(
    'train', f'--workdir={workdir}', f'--config.train.num_steps={steps}'
  )
  assert 'resuming' in out
  assert 'identical' in run('verify', f'--workdir={workdir}')
