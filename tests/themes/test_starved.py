"""Real training processes with too few resources, or just enough."""

import os
import pathlib
import resource
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow

NUM_SAVES = int(os.environ.get('GAN_JAX_NUM_SAVES', '200'))
NUM_RUNS = int(os.environ.get('GAN_JAX_NUM_RUNS', '15'))


def train(workdir, *args, config='tests/toy.py', **limits):
  """Starts training with lower limits, e.g. NOFILE=40."""

  def lower():
    for name, limit in limits.items():
      resource.setrlimit(getattr(resource, f'RLIMIT_{name}'), (limit, limit))

  return subprocess.Popen(
    [sys.executable, '-m', 'tests.train', f'--config={config}',
     f'--workdir={workdir}', *args],
    cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    env=os.environ | {'JAX_ENABLE_COMPILATION_CACHE': 'false'},
    preexec_fn=lower,
  )  # fmt: skip


@pytest.mark.parametrize(
  ('limits', 'message'),
  [
    ({'FSIZE': 1000}, 'File too large; raise the limit on file sizes'),
    ({'NOFILE': 36}, 'Too many open files; raise the limit on open files'),
  ],
)
def test_what_is_too_little_is_told_in_a_line(tmp_path, limits, message):
  """It is not reported as a device out of memory."""
  workdir = tmp_path / 'run'
  process = train(workdir, '--config.train.num_steps=1000', **limits)
  _, err = process.communicate(timeout=120)
  assert process.returncode == 2
  assert err.count('\n') == 1
  assert err.startswith(f'error: {workdir}')
  assert message in err


def held(process):
  """Counts the threads and open files of a process; None once it has ended."""
  try:
    folder = pathlib.Path(f'/proc/{process.pid}')
    return len(os.listdir(folder / 'task')), len(os.listdir(folder / 'fd'))
  except OSError:
    return None


def tenth_and_last(process, count, total):
  """Returns a process's counts after ten saves or runs, and near the end."""
  tenth = last = None
  while process.poll() is None:
    now, number = held(process), count()
    if now is not None and 10 <= number < total:
      tenth, last = tenth or now, now
    time.sleep(0.005)
  _, err = process.communicate()
  assert process.returncode == 0, err
  assert count() == total
  return tenth, last


def test_many_saves_hold_on_to_nothing(tmp_path, capsys):
  metrics = tmp_path / 'run/metrics.jsonl'
  process = train(
    metrics.parent,
    '--config.parallel=jit',
    '--config.log.tensorboard=False',
    f'--config.train.num_steps={NUM_SAVES}',
    '--config.checkpoint.save_every_steps=1',
    config='configs/mnist_gan.py:smoke',
    NOFILE=128,
  )
  tenth, last = tenth_and_last(
    process,
    lambda: metrics.exists() and metrics.read_text().count('sha256'),
    NUM_SAVES,
  )
  with capsys.disabled():
    print(f'\n{NUM_SAVES} saves; threads, files: {tenth} after 10, {last}')
  assert abs(last[0] - tenth[0]) <= 10
  assert abs(last[1] - tenth[1]) <= 10


def test_many_runs_of_a_sweep_hold_on_to_nothing(tmp_path, capsys):
  process = train(
    tmp_path,
    f'--seeds=0-{NUM_RUNS - 1}',
    NOFILE=128,
  )
  tenth, last = tenth_and_last(
    process, lambda: len(list(tmp_path.glob('*/result.json'))), NUM_RUNS
  )
  with capsys.disabled():
    print(f'\n{NUM_RUNS} runs; threads, files: {tenth} after 10, {last}')
  assert abs(last[0] - tenth[0]) <= 10
  assert abs(last[1] - tenth[1]) <= 10
