"""Imports point downward, and nothing in a run directory is executed."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = sorted((ROOT / 'gan_jax').rglob('*.py'))
LEAVES = {
  'gan_jax.core.checks', 'gan_jax.core.collectives', 'gan_jax.core.errors', 'gan_jax.core.files',
  'gan_jax.core.memory', 'gan_jax.core.os_errors', 'gan_jax.core.rng', 'gan_jax.core.types',
}  # fmt: skip


def module_name(path):
  return '.'.join(path.relative_to(ROOT).with_suffix('').parts)


def imports(path):
  """Names of all imported modules; `from a import b` gives a and a.b."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      names |= {node.module, *(f'{node.module}.{a.name}' for a in node.names)}
  return names


def ours(path):
  return {name for name in imports(path) if name.startswith('gan_jax.')}


@pytest.mark.parametrize(
  ('folder', 'allowed'),
  [
    ('losses', ('gan_jax.losses',)),
    ('penalties.py', ()),
    ('augment.py', ()),
    ('ema.py', ()),
    ('ops', ('gan_jax.ops',)),
    ('models', ('gan_jax.models', 'gan_jax.ops')),
    ('data', ('gan_jax.data', 'gan_jax.config')),
    ('evaluation', ('gan_jax.evaluation', 'gan_jax.data', 'gan_jax.models',
                    'gan_jax.systems.state')),
    ('reporting', ('gan_jax.reporting', 'gan_jax.losses', 'gan_jax.data')),
  ],
)  # fmt: skip
def test_imports_point_downward(folder, allowed):
  root = ROOT / 'gan_jax' / folder
  for path in root.rglob('*.py') if root.is_dir() else [root]:
    for name in ours(path):
      leaf = any(name == x or name.startswith(f'{x}.') for x in LEAVES)
      assert leaf or name.startswith(allowed), f'{module_name(path)}: {name}'


@pytest.mark.parametrize('name', ['state', 'update'])
def test_the_state_and_its_update_know_no_system(name):
  names = ours(ROOT / f'gan_jax/training/{name}.py')
  assert not any(name.startswith('gan_jax.systems') for name in names)


def test_nothing_imports_configs_or_experiments():
  for path in PACKAGE:
    roots = {name.partition('.')[0] for name in imports(path)}
    assert not roots & {'configs', 'experiments', 'tests'}, path
  for path in (ROOT / 'configs').glob('*.py'):
    assert not ours(path), path


def test_one_file_says_pmap():
  said = [module_name(p) for p in PACKAGE if 'jax.pmap' in p.read_text()]
  assert said == ['gan_jax.devices.parallel']


def test_nothing_is_unpickled_or_executed():
  """A config file given by the user is run; nothing in a run directory is."""
  for path in PACKAGE:
    names = imports(path) & {'pickle', 'cloudpickle', 'dill', 'marshal'}
    assert not names, path
    runs = 'runpy' in imports(path)
    assert runs == (module_name(path) == 'gan_jax.config')
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        assert node.func.id not in {'eval', 'exec', 'compile', '__import__'}


def test_the_losses_bring_nothing_heavy():
  heavy = ('tensorflow_datasets', 'orbax', 'absl', 'ml_collections', 'sklearn',
           'PIL', 'tensorboardX', 'flax')  # fmt: skip
  code = (
    'import sys, jax; before = set(sys.modules); import gan_jax.losses; '
    'print(*{m.partition(".")[0] for m in set(sys.modules) - before})'
  )
  out = subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
  ).stdout.split()
  assert 'gan_jax' in out
  assert not set(out) & set(heavy)
