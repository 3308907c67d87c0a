import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.ema import (
  debiased_share,
  half_life_share,
  power_share,
  warmup_share,
)

STEPS = np.unique(np.geomspace(1, 1e7, 200).astype(int)) - 1
WRAP = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])


def half_life(step, *, batch_size=8, half_life=64, ramp_up=None):
  return half_life_share(
    step, batch_size=batch_size, half_life=half_life, ramp_up=ramp_up
  )


SCHEDULES = [
  functools.partial(debiased_share, decay=0.999),
  functools.partial(warmup_share, decay=0.999),
  functools.partial(half_life, half_life=1e4),
  functools.partial(half_life, half_life=1e5, ramp_up=0.05),
  functools.partial(power_share, gamma=0.0),
  functools.partial(power_share, gamma=6.94),
]
EACH = pytest.mark.parametrize('schedule', SCHEDULES)


def averages(schedule, values, start):
  average, seen = start, []
  for step, value in enumerate(values):
    average = optax.incremental_update(value, average, schedule(step))
    seen.append(average)
  return np.array(seen)


def test_by_hand():
  np.testing.assert_allclose(
    debiased_share(jnp.arange(3), 0.5), [1, 2 / 3, 4 / 7], rtol=2e-7
  )
  np.testing.assert_allclose(
    warmup_share(jnp.array([0, 1, 8, 80, 81]), 0.9),
    [9 / 10, 9 / 11, 9 / 18, 0.1, 0.1],
    rtol=2e-7,
  )
  # A step is 1/8 of the half-life; the ramp-up's are 0, 16, 32, ... images.
  np.testing.assert_allclose(half_life(7), 1 - 2 ** (-1 / 8), rtol=4e-7)
  np.testing.assert_allclose(
    half_life(jnp.array([0, 1, 2, 4, 5]), ramp_up=2.0),
    1 - 2.0 ** -np.array([np.inf, 1 / 2, 1 / 4, 1 / 8, 1 / 8]),
    rtol=4e-7,
  )
  np.testing.assert_allclose(
    power_share(jnp.arange(3), 1.0), [1, 3 / 4, 5 / 9], rtol=4e-7
  )


@pytest.mark.parametrize('decay', [0.0, 0.5, 0.999, 0.9999])
def test_the_debiased_share_is_this_expression_to_the_bit(decay):
  """A resumed run continues with exactly the same numbers."""
  share = jax.jit(lambda step: debiased_share(step, decay))
  inline = jax.jit(lambda step: (1.0 - decay) / (1.0 - decay ** (step + 1)))
  for step in (0, 1, 2, 5, 100, 12345, 10**7):
    step = jnp.int32(step)
    np.testing.assert_array_equal(share(step), inline(step))


@WRAP
def test_the_debiased_share_at_the_last_step_that_an_int32_counts(wrap):
  share = wrap(lambda step: debiased_share(step, 0.999))
  np.testing.assert_allclose(share(jnp.int32(2**31 - 1)), 0.001, rtol=1e-6)


@pytest.mark.parametrize('decay', [0.5, 0.999, 0.9999])
def test_the_debiased_share_in_float64(decay):
  expected = (1 - decay) / (1 - decay ** (STEPS + 1.0))
  share = debiased_share(jnp.asarray(STEPS), decay)
  np.testing.assert_allclose(share, expected, rtol=1e-7 / (1 - decay))


# In float32, 1 - decay would have a relative error of 6e-8 / share: one half
# here, where shares fall to 1e-7. With expm1 and log1p it is a few units in the
# last place.
@pytest.mark.parametrize('gamma', [0.0, 1.0, 6.94, 16.97])
def test_the_power_share_in_float64(gamma):
  expected = -np.expm1((gamma + 1) * np.log1p(-1 / (STEPS[1:] + 1.0)))
  share = jax.jit(lambda step: power_share(step, gamma))(jnp.asarray(STEPS))
  assert share.dtype == 'float32'
  assert share[0] == 1.0
  np.testing.assert_allclose(share[1:], expected, rtol=5e-7)


@pytest.mark.parametrize('ramp_up', [0.05, 1.0])
def test_the_half_life_share_in_float64(ramp_up):
  batch_size, images = 64, 10**10
  seen = batch_size * STEPS[1:].astype(float)
  expected = -np.expm1(
    -np.log(2) * batch_size / np.minimum(images, ramp_up * seen)
  )
  share = jax.jit(
    lambda step: half_life(
      step, batch_size=batch_size, half_life=images, ramp_up=ramp_up
    )
  )(jnp.asarray(STEPS))
  assert share[0] == 1.0
  np.testing.assert_allclose(share[1:], expected, rtol=5e-7)


@pytest.mark.parametrize('decay', [0.99, 0.999999])
def test_the_warmup_share_in_float64(decay):
  share = warmup_share(jnp.asarray(STEPS), decay)
  expected = np.maximum(1 - decay, 9 / (10.0 + STEPS))
  np.testing.assert_allclose(share, expected, rtol=3e-7)


@pytest.mark.parametrize(
  'schedule',
  [
    functools.partial(debiased_share, decay=0.75),
    functools.partial(half_life, ramp_up=0.5),
    functools.partial(power_share, gamma=0.0),
    functools.partial(power_share, gamma=3.5),
  ],
)
def test_the_start_has_no_share_in_the_average(schedule):
  assert schedule(0) == 1.0
  values = np.arange(1.0, 6.0, dtype='float32')
  np.testing.assert_array_equal(
    averages(schedule, values, jnp.float32(1e6)),
    averages(schedule, values, jnp.float32(-1e6)),
  )


def test_the_power_of_zero_is_the_plain_mean():
  values = np.random.default_rng(0).normal(size=50).astype('float32')
  seen = averages(lambda step: power_share(step, 0.0), values, jnp.float32(7.0))
  means = np.cumsum(values.astype('float64')) / np.arange(1, 51)
  np.testing.assert_allclose(seen, means, atol=5e-7)


def test_the_power_weighs_by_time():
  """The first t of T values have (t/T)^(gamma + 1) of the weight."""
  gamma, last = 2.5, 40
  seen = [
    averages(
      lambda step: power_share(step, gamma),
      (np.arange(1, last + 1) <= t).astype('float32'),
      jnp.float32(0.0),
    )[-1]
    for t in (1, 10, 25, 40)
  ]
  expected = (np.array([1, 10, 25, 40]) / last) ** (gamma + 1)
  np.testing.assert_allclose(seen, expected, rtol=5e-6)


def test_a_weight_halves_with_every_half_life():
  values = np.zeros(30, 'float32')
  values[0] = 1.0
  seen = averages(
    lambda step: half_life(step, batch_size=10, half_life=100),
    values,
    jnp.float32(0.0),
  )
  np.testing.assert_allclose(seen[20] / seen[0], 0.25, rtol=2e-6)


def test_the_half_life_counts_images_not_updates():
  few = half_life(jnp.arange(8) * 4, batch_size=16, half_life=200, ramp_up=0.5)
  many = half_life(jnp.arange(8), batch_size=64, half_life=200, ramp_up=0.5)
  np.testing.assert_allclose((1 - few[1:]) ** 4, 1 - many[1:], rtol=1e-5)


@EACH
def test_shares_fall_from_one_at_most(schedule):
  shares = np.asarray(schedule(jnp.asarray(STEPS)))
  assert (np.diff(shares) <= 0.0).all()
  assert shares[-1] > 0.0
  # The debiased share may be rounded up; the others start at 1 or less.
  assert shares[0] <= (1.0 + 2e-5 if schedule is SCHEDULES[0] else 1.0)


@EACH
def test_jit_and_vmap_change_nothing(schedule):
  steps = jnp.array([0, 1, 7, 1000])
  expected = [schedule(int(step)) for step in steps]
  assert expected[0].dtype == 'float32'
  # The first debiased shares of a decay of 0.999 lose four digits.
  for transformed in (jax.vmap(schedule), jax.jit(jax.vmap(schedule))):
    np.testing.assert_allclose(transformed(steps), expected, rtol=2e-4)


@EACH
def test_shares_in_a_scan_of_training_steps(schedule):
  def step(count, _):
    return count + 1, schedule(count)

  _, shares = jax.lax.scan(step, jnp.int32(0), length=5)
  expected = schedule(jnp.arange(5))
  np.testing.assert_allclose(shares, expected, rtol=2e-4)


@EACH
@WRAP
def test_a_step_that_is_no_integer_fails_while_tracing(wrap, schedule):
  with pytest.raises(TypeError, match='step must be an integer, got float32'):
    wrap(schedule)(jnp.float32(1.0))


@EACH
@pytest.mark.parametrize('step', [-1, np.array([3, -1])])
def test_negative_steps_fail(schedule, step):
  with pytest.raises(ValueError, match='step must be >= 0'):
    schedule(step)


def test_a_half_life_may_be_traced():
  share = jax.jit(lambda h: half_life_share(0, batch_size=8, half_life=h))
  np.testing.assert_allclose(share(8.0), 0.5, rtol=2e-7)


@pytest.mark.parametrize('schedule', [debiased_share, warmup_share])
@pytest.mark.parametrize('decay', [-0.1, 1.0, float('nan')])
def test_bad_decays_fail(schedule, decay):
  with pytest.raises(ValueError, match=rf'decay .* \[0.0, 1.0\), got {decay}'):
    schedule(jnp.int32(0), decay)


@pytest.mark.parametrize('gamma', [-0.5, float('inf'), float('nan')])
def test_bad_powers_fail(gamma):
  with pytest.raises(ValueError, match=f'gamma .* got {gamma}'):
    power_share(jnp.int32(0), gamma)


@pytest.mark.parametrize('name', ['batch_size', 'half_life', 'ramp_up'])
@pytest.mark.parametrize('value', [0, -1.0, float('inf'), float('nan')])
def test_bad_numbers_of_images_fail(name, value):
  with pytest.raises(ValueError, match=rf'{name} .* \(0, inf\), got {value}'):
    half_life(jnp.int32(0), **{name: value})
