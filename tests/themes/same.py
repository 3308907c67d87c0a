"""Assertions that a config's results do not depend on how it is run."""

import jax
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.runs.program import advance, build, init_state


def states(config, dataset, num_steps, start=0, state=None):
  """Returns the states after each step, and their metrics."""
  program = build(config, dataset)
  state = init_state(program) if state is None else state
  found = []
  for step, state, metrics in advance(program, state, start):  # noqa: B020
    found.append(jax.device_get((state, metrics)))
    if step == num_steps:
      return found


def assert_resumes_to_the_bit(config, dataset, num_steps=3, start=1):
  """Resumes from the host's copy of a state, which must hold everything."""
  whole = states(config, dataset, num_steps)
  state = whole[start - 1][0]
  rest = states(config, dataset, num_steps, start=start, state=state)
  jax.tree.map(assert_array_equal, rest, whole[start:])
  return whole


def assert_bfloat16_is_near_float32(config, dataset, num_steps=1):
  """Losses agree up to rounding; the state is float32 throughout."""
  exact = states(config, dataset, num_steps)[-1]
  config.dtype = 'bfloat16'
  state, metrics = states(config, dataset, num_steps)[-1]
  assert {str(x.dtype) for x in jax.tree.leaves(state)} <= {'float32', 'int32'}
  for name in ('d_loss', 'g_loss'):
    assert_allclose(metrics[name], exact[1][name], rtol=0.05, atol=0.02)
    assert metrics[name] != exact[1][name]
