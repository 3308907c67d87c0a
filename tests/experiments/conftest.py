import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SMOKE = '--config=configs/digits_ssgan.py:smoke'


@pytest.fixture
def command():
  """Runs `python -m experiments.NAME ARGS` as a user would."""

  def run(name, *args, status=0):
    done = subprocess.run(
      [sys.executable, '-m', f'experiments.{name}', *map(str, args)],
      cwd=ROOT,
      capture_output=True,
      text=True,
      timeout=300,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert 'Traceback' not in done.stderr
    return done

  return run


@pytest.fixture(scope='session')
def trained_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('trained') / 'run'


@pytest.fixture
def trained(command, trained_dir):
  """A finished smoke run, made once by the command itself."""
  if not trained_dir.exists():
    command('train', SMOKE, f'--workdir={trained_dir}')
  return trained_dir
