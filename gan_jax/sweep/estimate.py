"""Duration of a sweep, from a few timed steps of each combination."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from gan_jax.runs.program import Program, advance, init_state
from gan_jax.sweep.plan import Run, short_names

NUM_STEPS = 200


class Estimate(NamedTuple):
  """Estimated duration of the runs of one combination of values."""

  cell: Mapping[str, Any]  # the varied keys, and their values here
  steps: int  # of a run
  seconds: float  # per step
  num_runs: int
  num_fitting: int  # runs that fit into the budget, with all runs before them

  @property
  def hours(self) -> float:
    """Hours of one run's steps, without reports and checkpoints."""
    return self.steps * self.seconds / 3600


def time_steps(program: Program, num_steps: int = NUM_STEPS) -> float:
  """Trains for some steps after compilation; returns the seconds per step."""
  chunk = program.plan.steps_per_dispatch
  start = time.perf_counter()
  for step, state, _ in advance(program, init_state(program), 0):
    if step == chunk:  # compiled, and warm
      jax.block_until_ready(state)
      start = time.perf_counter()
    elif step >= num_steps + chunk:
      jax.block_until_ready(state)
      return (time.perf_counter() - start) / (step - chunk)


def estimate(
  timed: Sequence[tuple[Sequence[Run], Program, float]],
  budget: float | None = None,
) -> list[Estimate]:
  """Estimates the duration of all runs.

  Args:
    timed: for each combination, in the order of training: its runs, one's
      program, and the seconds per step.
    budget: hours for all runs together; None: unlimited.
  """
  estimates, left = [], budget
  for runs, program, seconds in timed:
    found = Estimate(
      short_names(runs[0].cell),
      program.plan.num_steps,
      seconds,
      len(runs),
      len(runs),
    )
    if left is not None:
      fitting = min(len(runs), int(left / found.hours))
      # What comes after a run that does not fit is cut, too.
      left = left - fitting * found.hours if fitting == len(runs) else 0.0
      found = found._replace(num_fitting=fitting)
    estimates.append(found)
  return estimates


def to_markdown(estimates: Sequence[Estimate]) -> str:
  """Formats estimates as a table, with the sum of hours."""
  head = [*estimates[0].cell, 'steps', 's/step', 'hours/run', 'runs', 'hours']
  lines = [head, ['---'] * len(head)]
  for each in estimates:
    cut = each.num_runs - each.num_fitting
    lines.append([
      *map(str, each.cell.values()),
      f'{each.steps:,}',
      f'{each.seconds:.4f}',
      f'{each.hours:.2f}',
      f'{each.num_fitting}' + (f', {cut} cut' if cut else ''),
      f'{each.num_fitting * each.hours:.2f}',
    ])  # fmt: skip
  total = sum(each.num_fitting * each.hours for each in estimates)
  table = ''.join(f'| {" | ".join(line)} |\n' for line in lines)
  return f'{table}\n{total:.1f} hours, without reports and checkpoints\n'
