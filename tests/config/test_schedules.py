import math

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict
from numpy.testing import assert_allclose

from gan_jax.config import Units, make_schedule, real, schedule
from gan_jax.config.table import complete

UNITS = Units(steps_per_epoch=10, batch_size=4)


def make(value=1.0, **group):
  """Builds the schedule of a group with these values, the rest by default."""
  table = schedule('s', 'a number', 0.0, real(0.0))
  whole = complete(table, {f's.{k}': v for k, v in group.items()})
  return make_schedule(
    ConfigDict({k.removeprefix('s.'): v for k, v in whole.items()}),
    value,
    UNITS,
  )


@pytest.mark.parametrize(
  ('unit', 'steps'), [('steps', 1), ('epochs', 10), ('images', 1 / 4)]
)
@pytest.mark.parametrize('name', ['linear', 'cosine'])
def test_from_the_value_to_the_final_one(name, unit, steps):
  """It holds for 4 units, then changes over 8: a quarter, half, all of it."""
  value = make(
    3.0, name=name, unit=unit, hold=8, length=16, final=1.0, warmup=0
  )
  shares = {'linear': (0.75, 0.5), 'cosine': ((1 + math.sqrt(0.5)) / 2, 0.5)}
  quarter, half = shares[name]
  for at, share in (
    (0, 1),
    (8, 1),
    (12, quarter),
    (16, half),
    (24, 0),
    (99, 0),
  ):
    got = value(jnp.int32(at * steps))
    assert_allclose(got, 1.0 + 2.0 * share, rtol=1e-6)


@pytest.mark.parametrize('name', ['linear', 'cosine', 'exponential'])
def test_a_warm_up_comes_before_all_else(name):
  keys = {'name': name, 'unit': 'steps'}
  lengths = {'every': 5} if name == 'exponential' else {'hold': 3, 'length': 7}
  cold = make(2.0, **keys, **lengths)
  warm = make(2.0, **keys, **lengths, warmup=4)
  for step in range(4):
    assert_allclose(warm(step), 2.0 * step / 4, rtol=1e-6)
  for step in range(20):
    assert_allclose(warm(4 + step), cold(step), rtol=1e-6, atol=1e-7)


def test_a_number_may_rise_from_nothing():
  """R3GAN's EMA half-life and ADA's probability do."""
  value = make(0.0, name='cosine', unit='images', hold=0, length=16, final=5.0)
  assert_allclose([value(i) for i in (0, 2, 4, 8)], [0, 2.5, 5, 5], atol=1e-6)


def test_a_constant_is_the_number_itself():
  """Then a constant schedule compiles to the same program as no schedule."""
  assert make(0.3)(jnp.int32(7)) == 0.3
  assert isinstance(make(0.3)(jnp.int32(7)), float)


def test_it_can_be_compiled():
  value = make(1.0, name='linear', unit='steps', hold=0, length=4)
  assert_allclose(jax.jit(value)(jnp.int32(1)), 0.75, rtol=1e-6)


def test_durations_beyond_any_run():
  """A step is an int32."""
  value = make(1.0, name='linear', unit='images', hold=10**15, length=10**15)
  assert jax.jit(value)(jnp.int32(2**30 - 1)) == 1.0


def test_few_images_are_a_step():
  assert UNITS.steps(1, 'images') == 1
  assert UNITS.steps(0, 'images') == 0
  assert UNITS.steps(10, 'images') == 2
