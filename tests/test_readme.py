import pathlib
import re

import pytest

from gan_jax.__main__ import names

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()


def test_the_python_example_runs(capsys):
  (code,) = re.findall(r'```python\n(.*?)```', README, re.DOTALL)
  exec(compile(code, 'README.md', 'exec'), {})
  out = capsys.readouterr().out
  assert 'nan' not in out
  assert 'inf' not in out
  assert len(out.splitlines()) == 3


@pytest.mark.parametrize('path', sorted(set(
  re.findall(r'(?:configs/\w+\.py|docs/[\w.]+|gan_jax/\w+/)', README)
)))  # fmt: skip
def test_what_the_readme_names_exists(path):
  assert (ROOT / path).exists()


@pytest.mark.parametrize('name', sorted(set(
  re.findall(r'gan-jax ([a-z_]+)', README)
)))  # fmt: skip
def test_the_commands_exist(name):
  assert name in names()
