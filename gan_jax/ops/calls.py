"""Parts of a program that XLA compiles separately."""

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata


def as_call(fn: Callable[..., Any]) -> Callable[..., Any]:
  """Keeps `fn` as a call of a separate computation in the compiled program.

  Whenever XLA's CPU runtime compiles or loads a computation, it compares its
  operations pairwise; it does not fuse them with those outside. Inside a call
  they run one after the other. See docs/performance.md.
  """
  jitted = jax.jit(fn)

  def call(*args: Any) -> Any:
    with set_xla_metadata(inlineable='false'):
      return jitted(*args)

  return call
