import contextlib
import pathlib
import re

import pytest

from gan_jax.__main__ import names as commands
from gan_jax.runs.checkpoint import Checkpoints
from gan_jax.runs.fingerprint import fingerprints
from gan_jax.runs.program import state_template
from gan_jax.systems import check

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()


EXAMPLES = re.findall(r'```python\n(.*?)```', README, re.DOTALL)


def run(code):
  names = {}
  exec(compile(code, 'README.md', 'exec'), names)
  return names


def test_the_losses_run(capsys):
  run(EXAMPLES[0])
  out = capsys.readouterr().out
  assert 'nan' not in out
  assert 'inf' not in out
  assert len(out.splitlines()) == 3


@pytest.mark.systems
def test_a_loop_of_ones_own(capsys, tmp_path):
  (tmp_path / 'configs').symlink_to(ROOT / 'configs')
  with contextlib.chdir(tmp_path):
    names = run(EXAMPLES[1])
  assert len(capsys.readouterr().out.splitlines()) == 3
  restored = Checkpoints(tmp_path / 'mine').restore(
    3, state_template(names['program'])
  )
  assert fingerprints(restored.state) == fingerprints(names['state'])


def test_a_config():
  config = run(EXAMPLES[2])['get_config']()
  check(config)
  assert config.loss.adversarial.name == 'hinge'
  assert len(EXAMPLES) == 3


@pytest.mark.parametrize('path', sorted(set(
  re.findall(r'(?:configs/\w+\.py|docs/[\w.-]+\w|gan_jax/\w+/)', README)
)))  # fmt: skip
def test_what_the_readme_names_exists(path):
  assert (ROOT / path).exists()


@pytest.mark.parametrize('name', sorted(set(
  re.findall(r'gan-jax ([a-z_]+)', README)
)))  # fmt: skip
def test_the_commands_exist(name):
  assert name in commands()
