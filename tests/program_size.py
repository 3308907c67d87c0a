"""Number of operations in a compiled step.

  python -m tests.program_size [SYSTEM ...]

prints those of the benchmark's systems.
"""

import re
import sys
from typing import NamedTuple

from absl import logging

from experiments.benchmark.workloads import WORKLOADS, make_program
from gan_jax.runs.program import Program, compile_step, state_shapes

# Operations that cost nothing when the program runs.
_FREE = {'parameter', 'constant', 'bitcast', 'get-tuple-element', 'tuple'}


class Size(NamedTuple):
  """Numbers of operations that XLA compiles to code or to a library call."""

  top: int  # at the top level, where the CPU runtime compares all pairs
  calls: int  # in calls, loops and branches


def size_of(program: Program) -> Size:
  """Compiles the step and counts its operations."""
  shapes = state_shapes(program.system, program.data.spec)
  batches = [program.sampler()(0)]
  lowered = compile_step(program).lower(shapes, batches, program.key('train'))
  return count(lowered.compile().as_text())


def count(text: str) -> Size:
  """Counts the operations in a compiled program's text."""
  operations, entry = {}, None
  for line in text.splitlines():
    if header := re.match(r'(ENTRY )?%([\w.-]+) \(.*\{$', line):
      current = operations[header[2]] = []
      entry = header[2] if header[1] else entry
    elif found := re.match(r'\s+(?:ROOT )?%[\w.-]+ = .*? ([a-z-]+)\(', line):
      called = re.findall(
        r'(?:to_apply|body|condition)=%([\w.-]+)', line
      ) + re.findall(
        r'%([\w.-]+)',
        ''.join(re.findall(r'branch_computations=\{(.*?)\}', line)),
      )
      current.append((found[1], called))

  def inside(name):
    total = 0
    for kind, called in operations[name]:
      total += kind not in _FREE
      if kind in ('call', 'while', 'conditional'):
        total += sum(map(inside, called))
    return total

  top = sum(kind not in _FREE for kind, _ in operations[entry])
  return Size(top, inside(entry) - top)


def main(names: list[str]) -> None:
  logging.set_verbosity(logging.ERROR)
  for name in names or WORKLOADS:
    print(name, *size_of(make_program(name)), flush=True)


if __name__ == '__main__':
  main(sys.argv[1:])
