"""The script that uses the losses without the rest of the package."""

import ast
import pathlib
import subprocess
import sys

import pytest

from experiments import ring

pytestmark = pytest.mark.systems

ROOT = pathlib.Path(__file__).parents[2]
SOURCE = pathlib.Path(ring.__file__).read_text()


def test_it_finds_all_modes():
  modes, share = ring.main(seed=0, num_steps=1000)
  assert modes == 8
  assert share > 0.7  # 0.83 to 0.84 for the seeds 0 to 4


def test_it_does_not_find_them_without_training():
  modes, share = ring.main(seed=0, num_steps=1)
  assert modes < 4
  assert share < 0.2


def test_it_takes_only_losses_and_penalties_from_us():
  ours = set()
  for node in ast.walk(ast.parse(SOURCE)):
    if isinstance(node, ast.Import):
      ours |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      ours |= {f'{node.module}.{alias.name}' for alias in node.names}
  ours = {name for name in ours if name.startswith(('gan_jax', 'experiments'))}
  assert ours == {'gan_jax.losses', 'gan_jax.penalties'}


def test_it_is_short():
  assert sum(bool(line.strip()) for line in SOURCE.splitlines()) <= 50


def test_it_needs_no_installation():
  """`python experiments/ring.py` puts its folder, not the root, on the path."""
  code = (
    "import sys; sys.path[0] = 'experiments'; import ring; print(ring.main)"
  )
  done = subprocess.run(
    [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
