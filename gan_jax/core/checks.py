"""Argument checks that run while tracing and name the argument."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.core.types import Array


def floating(name: str, x: Array) -> Array:
  """Returns `x` in at least float32; refuses dtypes that are not floating."""
  x = jnp.asarray(x)
  if not jnp.issubdtype(x.dtype, jnp.floating):
    raise TypeError(f'{name} must be floating point, got {x.dtype}')
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def result_type(*arrays: Array) -> jnp.dtype:
  """Returns the dtype of a loss: that of its floating-point inputs."""
  return jnp.result_type(*map(jnp.asarray, arrays))


def not_empty(name: str, x: Array) -> None:
  """Refuses arrays without elements, whose mean would be NaN."""
  if x.size == 0:
    raise ValueError(f'{name} must not be empty, got shape {x.shape}')


def same_shape(name: str, x: Array, other_name: str, other: Array) -> None:
  """Refuses shapes that would broadcast silently, such as [B] and [B, 1]."""
  if x.shape != other.shape:
    raise ValueError(
      f'{name} and {other_name} must have the same shape, '
      f'got {x.shape} and {other.shape}'
    )


def logits(
  real_logits: Array, fake_logits: Array
) -> tuple[Array, Array, jnp.dtype]:
  """Returns both logits in at least float32, and the dtype of their loss."""
  dtype = result_type(real_logits, fake_logits)
  real = floating('real_logits', real_logits)
  fake = floating('fake_logits', fake_logits)
  same_shape('real_logits', real, 'fake_logits', fake)
  not_empty('real_logits', real)
  return real, fake, dtype


def number(name: str, value: float) -> None:
  """Refuses anything but a scalar number, concrete or traced."""
  if not isinstance(value, (int, float, jax.Array, np.ndarray, np.generic)):
    raise TypeError(f'{name} must be a number, got {value!r}')
  if jnp.shape(value) != ():
    raise ValueError(f'{name} must be a scalar, got shape {jnp.shape(value)}')


def in_range(name: str, value: float, low: float, high: float) -> None:
  """Checks low <= value < high, unless the number is traced."""
  number(name, value)
  if not isinstance(value, jax.core.Tracer) and not low <= value < high:
    raise ValueError(f'{name} must lie in [{low}, {high}), got {value}')


def positive(name: str, value: float) -> None:
  """Checks 0 < value < inf, unless the number is traced."""
  number(name, value)
  if not isinstance(value, jax.core.Tracer) and not 0.0 < value < math.inf:
    raise ValueError(f'{name} must lie in (0, inf), got {value}')
