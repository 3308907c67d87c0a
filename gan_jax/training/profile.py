"""Profiler traces of a few training steps."""

import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from gan_jax.core.errors import InputError


class ProfiledSteps(NamedTuple):
  """Range of training steps to trace, counted from 1, and the trace's folder.

  The folder gets plugins/profile/TIME/ with an .xplane.pb file for TensorBoard
  and perfetto_trace.json.gz for https://ui.perfetto.dev.
  """

  first: int
  last: int
  folder: pathlib.Path

  def check(self, start: int, num_steps: int) -> None:
    """Raises InputError unless a run that resumes at `start` trains them."""
    if not start < self.first <= self.last <= num_steps:
      raise InputError(
        f'--profile_steps={self.first}-{self.last}: the run trains steps '
        f'{start + 1}-{num_steps}; choose among them'
      )


def parse_steps(text: str, folder: pathlib.Path) -> ProfiledSteps:
  """Parses a range of steps, e.g. 10-15.

  Raises:
    InputError: it is not a range.
  """
  match = re.fullmatch(r'(\d+)-(\d+)', text)
  if not match:
    raise InputError(f'--profile_steps={text}: want a range such as 10-15')
  return ProfiledSteps(int(match[1]), int(match[2]), folder)


def profiled(
  dispatches: Iterator[tuple[int, Any, Any]],
  steps: ProfiledSteps,
  start: int,
  steps_per_dispatch: int,
) -> Iterator[tuple[int, Any, Any]]:
  """Yields all dispatches and traces those that contain the steps.

  Args:
    dispatches: step, state and metrics after each dispatch.
    steps: the steps to trace.
    start: the step before the first dispatch.
    steps_per_dispatch: the number of steps in each dispatch.
  """
  done, running = start, False
  try:
    while True:
      if done < steps.first <= done + steps_per_dispatch:
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # every call of Python is too much
        jax.profiler.start_trace(
          steps.folder, create_perfetto_trace=True, profiler_options=options
        )
        running = True
      with jax.profiler.StepTraceAnnotation('train', step_num=done + 1):
        done, state, metrics = next(dispatches)
      if running and done >= steps.last:
        jax.block_until_ready(state)
        running = False
        jax.profiler.stop_trace()
        print(f'profile of steps {steps.first}-{steps.last}: {steps.folder}',
              file=sys.stderr, flush=True)  # fmt: skip
      yield done, state, metrics
  finally:
    if running:  # the training ended within the range
      jax.profiler.stop_trace()
