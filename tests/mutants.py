"""Mutation testing: how many small mistakes in gan_jax the fast tests notice.

  python -m tests.mutants --num=40 --seed=0

Draws mutations of the source, evenly from all folders: a flipped sign or
comparison, an off-by-one, two arguments exchanged, a statement dropped. Each is
applied to a copy of the repository, where the tests of its file run first, and
then, if they pass, the whole fast tier. Survivors are listed; a person must
judge whether one is equivalent to the code and cannot be noticed.
"""

import argparse
import ast
import collections
import copy
import dataclasses
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent import futures

ROOT = pathlib.Path(__file__).parents[1]
FAST = ['-m', 'not systems and not slow']
SECONDS = 1800  # longer than any tier takes; then the mutant hangs

_OPERATORS = {
  ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip
_COMPARISONS = {
  ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
  ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
  ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Mutant:
  """A node of a file's syntax tree and its replacement."""

  path: pathlib.Path  # within the repository
  kind: str
  node: ast.AST
  new: ast.AST

  def source(self) -> str:
    """Returns the file's text with the mutation applied."""
    lines = (ROOT / self.path).read_bytes().splitlines(keepends=True)
    node = self.node
    text = ast.unparse(self.new)
    if not isinstance(node, ast.stmt):
      text = f'({text})'
    head = lines[node.lineno - 1][: node.col_offset]
    tail = lines[node.end_lineno - 1][node.end_col_offset :]
    lines[node.lineno - 1 : node.end_lineno] = [head + text.encode() + tail]
    return b''.join(lines).decode()

  def __str__(self) -> str:
    old, new = (
      ' '.join(ast.unparse(x).split())[:70] for x in (self.node, self.new)
    )
    return f'{self.path}:{self.node.lineno}: {self.kind}: {old}  ->  {new}'


def _changed(node: ast.AST, **fields) -> ast.AST:
  new = copy.deepcopy(node)
  for name, value in fields.items():
    setattr(new, name, value)
  return new


def _of_node(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
  """Yields the mutations of one node, by kind."""
  if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
    yield 'sign', _changed(node, op=_OPERATORS[type(node.op)]())
  if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
    yield 'sign', node.operand
  if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
    ops = [_COMPARISONS[type(node.ops[0])](), *node.ops[1:]]
    yield 'comparison', _changed(node, ops=ops)
  if isinstance(node, ast.Constant) and type(node.value) is int:
    yield 'off by one', _changed(node, value=node.value + 1)
  if isinstance(node, ast.Call) and len(node.args) > 1:
    first, second, *rest = node.args
    starred = any(isinstance(x, ast.Starred) for x in (first, second))
    if not starred and ast.dump(first) != ast.dump(second):
      yield 'arguments', _changed(node, args=[second, first, *rest])
  if isinstance(node, (ast.Assign, ast.AugAssign)) or (
    isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
  ):
    yield 'dropped', ast.Pass()


def _within(node: ast.AST) -> Iterator[ast.AST]:
  """Yields all nodes except those of f-strings, which have no positions."""
  yield node
  for child in ast.iter_child_nodes(node):
    if not isinstance(child, ast.JoinedStr):
      yield from _within(child)


def candidates(path: pathlib.Path) -> list[Mutant]:
  """Lists all mutations of the functions in a file."""
  tree = ast.parse((ROOT / path).read_text())
  found = []
  for function in ast.walk(tree):
    if isinstance(function, (ast.FunctionDef, ast.ClassDef)):
      for statement in function.body:
        for node in _within(statement):
          found += [
            Mutant(path, kind, node, new) for kind, new in _of_node(node)
          ]
  unique = {(str(m), m.node.col_offset): m for m in found}  # nested functions
  return list(unique.values())


def draw(num: int, seed: int) -> list[Mutant]:
  """Draws mutations evenly from all folders and kinds."""
  rng = random.Random(seed)
  folders = collections.defaultdict(list)
  for path in sorted((ROOT / 'gan_jax').rglob('*.py')):
    path = path.relative_to(ROOT)
    if not path.name.startswith('torch_'):  # oracles: not run by the fast tier
      folders[path.parent].append(path)
  drawn = []
  while len(drawn) < num:
    for paths in folders.values():
      by_kind = collections.defaultdict(list)
      for mutant in (m for path in paths for m in candidates(path)):
        by_kind[mutant.kind].append(mutant)
      if by_kind:
        drawn.append(rng.choice(by_kind[rng.choice(sorted(by_kind))]))
  return drawn[:num]


def tests_of(path: pathlib.Path) -> list[str]:
  """Finds the test files of a file, by their name or their imports."""
  name = path.stem if path.stem != '__init__' else path.parent.name
  module = '.'.join(path.with_suffix('').parts).removesuffix('.__init__')
  found = []
  for test in sorted((ROOT / 'tests').rglob('test_*.py')):
    text = test.read_text()
    named = test.stem == f'test_{name}'
    imported = f'{module} import' in text or f'import {module}' in text
    if named or imported:
      found.append(str(test.relative_to(ROOT)))
  return found


def _passes(folder: pathlib.Path, arguments: list[str]) -> bool:
  environment = os.environ | {
    'JAX_COMPILATION_CACHE_DIR': str(ROOT / '.cache/jax'),
    'PYTHONDONTWRITEBYTECODE': '1',
  }
  command = [
    sys.executable, '-m', 'pytest', '-q', '-x', '-p', 'no:cacheprovider',
    '-o', 'cpu_seconds=inf', *FAST, *arguments,
  ]  # fmt: skip
  try:
    done = subprocess.run(
      command, cwd=folder, env=environment, capture_output=True, timeout=SECONDS
    )
  except subprocess.TimeoutExpired:
    return False
  return done.returncode in (0, 5)  # 5: no test was selected


def _tracked() -> list[str]:
  """Copies the repository's files."""
  listed = subprocess.check_output(['git', 'ls-files', '-z'], cwd=ROOT)
  return listed.decode().rstrip('\0').split('\0')


def survives(mutant: Mutant) -> bool:
  """Returns whether no fast test notices the mutation."""
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name) / 'copy'
    for path in _tracked():
      (folder / path).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(ROOT / path, folder / path)
    (folder / mutant.path).write_text(mutant.source())
    own = tests_of(mutant.path)
    doctests = [str(mutant.path)]
    return _passes(folder, own + doctests) and _passes(folder, [])


def main() -> None:
  """Prints each mutant with its outcome, and the share that was noticed."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--num', type=int, default=40)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--jobs', type=int, default=2)
  parser.add_argument('--dry_run', action='store_true')
  args = parser.parse_args()
  mutants = draw(args.num, args.seed)
  if args.dry_run:
    print(*mutants, sep='\n')
    return
  with futures.ThreadPoolExecutor(args.jobs) as pool:
    ends = []
    for mutant, survived in zip(
      mutants, pool.map(survives, mutants), strict=True
    ):
      ends.append(survived)
      print('SURVIVED' if survived else 'noticed ', mutant, flush=True)
  print(f'{len(ends) - sum(ends)} of {len(ends)} were noticed')


if __name__ == '__main__':
  main()
