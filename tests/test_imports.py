"""Structure of the package: imports, file names, docstrings, safety."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = sorted((ROOT / 'gan_jax').rglob('*.py'))
# The rooms from bottom to top. Each imports only from itself and from rooms
# below it; rooms in the same line do not import each other.
ROOMS = (
  ('core',),
  ('config', 'ops', 'losses', 'penalties', 'augment', 'ema', 'image_pool'),
  ('metrics', 'data', 'models'),
  ('systems',),
  ('devices',),
  ('runs',),
  ('evaluation',),
  ('inference', 'tpu', 'reporting'),
  ('training',),
  ('sweep',),
  ('commands',),
)  # fmt: skip
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
MOST_FILES = 14  # of a room


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


def room_of(name):
  """'losses' of 'gan_jax.losses.adversarial'."""
  return name.split('.')[1]


@pytest.mark.parametrize('room', FLOOR)
def test_imports_point_downward(room):
  root = ROOT / 'gan_jax' / room
  for path in (
    root.rglob('*.py') if root.is_dir() else [root.with_suffix('.py')]
  ):
    for other in {room_of(name) for name in ours(path)} - {room}:
      assert FLOOR[other] < FLOOR[room], f'{module_name(path)}: {other}'


def test_every_room_has_its_place():
  inside = {path.relative_to(ROOT / 'gan_jax').parts[0] for path in PACKAGE}
  rooms = {name.removesuffix('.py') for name in inside}
  assert rooms - {'__init__', '__main__'} == set(FLOOR)


def test_no_room_is_crowded():
  for room in FLOOR:
    assert len(list((ROOT / 'gan_jax' / room).glob('*.py'))) <= MOST_FILES, room


def test_no_two_files_share_a_name():
  """Only a command and the module that it calls may share a name."""
  names = [
    path.name
    for path in PACKAGE
    if not path.name.startswith('__') and path.parent.name != 'commands'
  ]
  assert len(names) == len(set(names))


def test_nothing_imports_configs_or_experiments():
  for path in PACKAGE:
    roots = {name.partition('.')[0] for name in imports(path)}
    assert not roots & {'configs', 'experiments', 'tests'}, path
  for path in (ROOT / 'configs').glob('*.py'):
    assert imports(path) - ours(path) == set(), path  # nothing else
    assert {name.split('.')[1] for name in ours(path)} == {'systems'}, path


def test_one_file_says_pmap():
  said = [module_name(p) for p in PACKAGE if 'jax.pmap' in p.read_text()]
  assert said == ['gan_jax.devices.parallel']


def test_nothing_is_unpickled_or_executed():
  """The user's config file is executed, but nothing in a run directory is."""
  for path in PACKAGE:
    names = imports(path) & {'pickle', 'cloudpickle', 'dill', 'marshal'}
    assert not names, path
    runs = 'runpy' in imports(path)
    assert runs == (module_name(path) == 'gan_jax.config.values')
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


def test_a_function_is_a_screen():
  for path in PACKAGE:
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.FunctionDef):
        lines = node.end_lineno - node.lineno + 1
        assert lines <= 70, f'{path}: {node.name} has {lines} lines'


_NO_TERM = re.compile(
  '(As|Beside|By|For|From|How|If|Likewise|Of|That|Those|What|When|Where|'
  'Whether|Which|Who|With)\\b'
)


def test_a_docstring_begins_with_its_term_or_a_verb():
  for path in [*PACKAGE, *(ROOT / 'experiments').rglob('*.py')]:
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
        text = ast.get_docstring(node) or ''
        assert not _NO_TERM.match(text), f'{path}: {text.splitlines()[0]}'
