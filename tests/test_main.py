"""The program gan-jax and the other ways to start a command."""

import os
import pathlib
import subprocess
import sys

import pytest

from gan_jax import __main__ as program
from gan_jax import __version__
from tests.conftest import ROOT, SMOKE

LAUNCHERS = [
  path.stem
  for path in sorted((ROOT / 'experiments').glob('*.py'))
  if path.stem not in ('plot_losses', 'ring')
]


def test_every_command_has_a_launcher_and_a_line(capsys):
  assert program.names() == LAUNCHERS
  assert program.main(['--help']) == 0
  listed = capsys.readouterr().out
  for name in program.names():
    assert f'\n  {name} ' in listed
  assert max(map(len, listed.splitlines())) <= 96


def test_an_unknown_command_is_answered_with_the_known_ones(capsys):
  assert program.main(['trian']) == 2
  assert capsys.readouterr().err.startswith(
    "error: unknown command 'trian'; choose one of: compare,"
  )


def test_no_command_is_answered_with_them_too(capsys):
  assert program.main([]) == 2
  assert 'train' in capsys.readouterr().out


def test_the_version(capsys):
  assert program.main(['--version']) == 0
  assert capsys.readouterr().out == f'{__version__}\n'


def start(*args, cwd):
  return subprocess.run(
    [sys.executable, *map(str, args)],
    cwd=cwd,
    env=os.environ | {'PYTHONPATH': str(ROOT)},
    capture_output=True,
    text=True,
  )


MAIN = ('-m', 'gan_jax')


@pytest.mark.systems
@pytest.mark.parametrize(
  ('args', 'status', 'said'),
  [
    ((*MAIN, 'train', '--help'), 0, '--workdir'),
    (('-m', 'experiments.train', '--help'), 0, '--workdir'),
    ((ROOT / 'experiments/train.py', '--help'), 0, '--workdir'),
    ((*MAIN, 'evaluate', '--workdir=.'), 2, 'is not a run directory'),
    (
      (*MAIN, 'train', f'--config={ROOT}/{SMOKE[9:]}', '--workdir=run',
       '--config.optimizer.discriminator.learning_rate=1e30'),
      1, 'd_loss is',
    ),
  ],
)  # fmt: skip
def test_a_process_ends_with_the_status(tmp_path, args, status, said):
  """It can be started from any folder, not only from the repository's root."""
  done = start(*args, cwd=tmp_path)
  assert done.returncode == status, done.stderr
  assert said in done.stdout + done.stderr
  assert 'Traceback' not in done.stderr
  made = [path.name for path in pathlib.Path(tmp_path).iterdir()]
  assert made == (['run'] if status == 1 else [])
