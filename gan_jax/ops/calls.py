"""Parts of a program that XLA compiles on their own."""

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata


def as_call(fn: Callable[..., Any]) -> Callable[..., Any]:
  """`fn`, kept as a call of a computation of its own in the compiled program.

  XLA's CPU runtime compares the operations of a computation pairwise, each time
  that it compiles or loads one, and merges none of them with those outside.
  Inside a call they run one after the other. See docs/performance.md.
  """
  jitted = jax.jit(fn)

  def call(*args: Any) -> Any:
    with set_xla_metadata(inlineable='false'):
      return jitted(*args)

  return call
