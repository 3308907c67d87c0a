"""Schedules of config values over the training steps.

A scheduled value `x` has a group `x_schedule` (the learning rate's is
`schedule`), which defines how it changes to a final value.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.config.ranges import Check, integer, one_of, real
from gan_jax.config.table import Table, Variants, key

# (training step) -> value; a constant schedule returns a Python number.
Schedule = Callable[[jax.Array | int], jax.Array | float]

_UNIT = key(
  'epochs',
  one_of('steps', 'epochs', 'images'),
  'unit of warmup, hold, length and every; a step counts as batch_size images',
  since=3,
)
_WARMUP = key(
  0, integer(0), 'duration of the linear rise from 0 to the value', since=3
)


class Units(NamedTuple):
  """Conversion of a schedule's units of time to steps."""

  steps_per_epoch: int
  batch_size: int  # images of one update of D, over all devices

  def steps(self, number: int, unit: str) -> int:
    """Converts a duration in `unit` to steps, rounded; at least one if not 0.

    The result is at most 2^30, which no run reaches and int32 steps can hold.
    """
    if unit == 'epochs':
      number *= self.steps_per_epoch
    if unit == 'images':
      number = max(round(number / self.batch_size), int(number > 0))
    return min(number, 2**30)


def schedule(
  path: str, of: str, final: float, check: Check, *, since: int = 3
) -> Table:
  """Returns the row of a schedule's config group.

  Args:
    path: the group's path.
    of: name of the scheduled value, for docs/config.md.
    final: default of the final value.
    check: range check of the final value.
    since: the format of config.json that introduced the group.
  """
  decay = {
    'unit': _UNIT,
    'warmup': _WARMUP,
    'hold': key(100, integer(0), 'duration of the initial value', since=3),
    'length': key(100, integer(1), 'duration of the change', since=3),
    'final': key(final, check, 'value after the change', since=3),
  }
  exponential = {
    'unit': _UNIT,
    'warmup': _WARMUP,
    'every': key(1, integer(1), 'interval between decays', since=3),
    'decay_rate': key(0.9, real(1e-9, 1.0), 'factor of each decay'),
  }
  choices = {
    'constant': {},
    'exponential': exponential,
    'linear': decay,
    'cosine': decay,
  }
  return {path: Variants('constant', choices, f'schedule of {of}', since)}


def make_schedule(group: Any, value: float, units: Units) -> Schedule:
  """Builds the schedule that a config group describes.

  Args:
    group: the config group, see `schedule`.
    value: the initial value.
    units: conversion of durations to steps.
  """
  if group.name == 'constant':
    return optax.constant_schedule(value)

  def steps(number):
    return units.steps(number, group.unit)

  if group.name == 'exponential':
    change = optax.exponential_decay(
      value, steps(group.every), group.decay_rate, staircase=True
    )
  else:
    hold, length = steps(group.hold), steps(group.length)
    if group.name == 'linear':
      change = optax.linear_schedule(value, group.final, length, hold)
    else:
      share = optax.cosine_decay_schedule(1.0, length)

      def change(step):
        return group.final + (value - group.final) * share(
          jnp.maximum(step - hold, 0)
        )

  if not group.warmup:
    return change
  warmup = steps(group.warmup)
  rise = optax.linear_schedule(0.0, value, warmup)
  return optax.join_schedules([rise, change], [warmup])


def changes(group: Any) -> bool:
  """Tells whether a config group describes a value that changes."""
  return group.name != 'constant'
