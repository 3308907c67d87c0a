"""The real training process, killed."""

import json
import random
import signal
import time

import pytest

LENGTH = ('--config.train.num_steps=100', '--config.parallel=jit',
          '--config.log.report_every_steps=10')  # fmt: skip


def wait_for(condition, process, seconds=120):
  """Polls until `condition()`, as often as it can."""
  deadline = time.monotonic() + seconds
  while time.monotonic() < deadline:
    value = condition()
    if value:
      return value
    assert process.poll() is None, process.communicate()
  raise AssertionError('waited in vain')


def committed(workdir):
  folder = workdir / 'checkpoints'
  if not folder.is_dir():
    return set()
  return {int(p.name) for p in folder.iterdir() if p.name.isdigit()}


def temporaries(workdir):
  folder = workdir / 'checkpoints'
  return list(folder.glob('*tmp*')) if folder.is_dir() else []


def kill_at_a_random_moment(process, workdir, rng):
  before = committed(workdir)
  wait_for(lambda: committed(workdir) - before, process)
  time.sleep(rng.uniform(0, 1.5))
  process.send_signal(signal.SIGKILL)
  process.wait()


def kill_between_begin_and_commit(process, workdir, rng):
  before = committed(workdir)
  wait_for(lambda: committed(workdir) - before, process)
  wait_for(lambda: temporaries(workdir), process)
  process.send_signal(signal.SIGKILL)
  process.wait()
  return bool(temporaries(workdir))


@pytest.mark.slow
def test_a_run_killed_four_times_equals_an_undisturbed_one(
  command, start, tmp_path, capsys
):
  config = '--config=configs/digits_ssgan.py:smoke'
  undisturbed = tmp_path / 'undisturbed'
  command('train', config, f'--workdir={undisturbed}', *LENGTH)

  seed = random.SystemRandom().randrange(2**32)
  rng = random.Random(seed)
  workdir = tmp_path / 'killed'
  kills = []
  for _ in range(3):
    process = start(workdir, *LENGTH)
    kill_at_a_random_moment(process, workdir, rng)
    kills.append(max(committed(workdir)))
  for _ in range(5):
    process = start(workdir, *LENGTH)
    in_between = kill_between_begin_and_commit(process, workdir, rng)
    kills.append(max(committed(workdir)))
    if in_between:
      break
  with capsys.disabled():
    print(f'\nkilled after the checkpoints of steps {kills}; seed {seed}')
  assert in_between, 'no kill hit a save between its begin and its commit'
  assert max(kills) < 100
  command('train', config, f'--workdir={workdir}', *LENGTH)

  want = json.loads((undisturbed / 'result.json').read_text())
  have = json.loads((workdir / 'result.json').read_text())
  for key in ('sha256', 'data_sha256', 'test_error', 'validation_error'):
    assert have[key] == want[key]
  assert not temporaries(workdir)
  lines = [
    [
      {k: v for k, v in json.loads(line).items() if not k.endswith('_seconds')}
      for line in (path / 'metrics.jsonl').read_text().splitlines()
    ]
    for path in (workdir, undisturbed)
  ]
  assert lines[0] == lines[1]


@pytest.mark.slow
@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(start, tmp_path, signum):
  workdir = tmp_path / 'run'
  process = start(
    workdir, '--config.train.num_steps=100000', '--config.parallel=jit'
  )
  wait_for(lambda: committed(workdir), process)
  process.send_signal(signum)
  _, err = process.communicate(timeout=60)
  assert process.returncode == 128 + signum, err
  assert 'Traceback' not in err
  name = signal.Signals(signum).name
  step = max(committed(workdir))
  assert f'stopped by {name} at step {step}, which is saved' in err
  assert not temporaries(workdir)
