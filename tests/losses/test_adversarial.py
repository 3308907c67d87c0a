import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.losses import (
  hinge_discriminator_loss,
  hinge_generator_loss,
  least_squares_discriminator_loss,
  least_squares_generator_loss,
  minimax_discriminator_loss,
  minimax_generator_loss,
  non_saturating_discriminator_loss,
  non_saturating_generator_loss,
  relativistic_average_discriminator_loss,
  relativistic_average_generator_loss,
  relativistic_discriminator_loss,
  relativistic_generator_loss,
  wasserstein_discriminator_loss,
  wasserstein_generator_loss,
)
from tests.losses import oracle

LOG2 = np.log(2)

# The oracle of each element-wise loss of (D(x), D(G(z))), and its value at 0.
ELEMENTWISE = {
  minimax_discriminator_loss: (oracle.cross_entropy, 2 * LOG2),
  minimax_generator_loss: (oracle.minimax_generator, -LOG2),
  non_saturating_discriminator_loss: (oracle.cross_entropy, 2 * LOG2),
  non_saturating_generator_loss: (oracle.non_saturating_generator, LOG2),
  least_squares_discriminator_loss: (oracle.least_squares_discriminator, 0.5),
  least_squares_generator_loss: (oracle.least_squares_generator, 0.5),
  hinge_discriminator_loss: (oracle.hinge_discriminator, 2.0),
  hinge_generator_loss: (oracle.minus_score, 0.0),
  wasserstein_discriminator_loss: (oracle.critic, 0.0),
  wasserstein_generator_loss: (oracle.minus_score, 0.0),
  relativistic_discriminator_loss: (oracle.relativistic_discriminator, LOG2),
  relativistic_generator_loss: (oracle.relativistic_generator, LOG2),
}
AVERAGES = (
  relativistic_average_discriminator_loss,
  relativistic_average_generator_loss,
)
EACH = pytest.mark.parametrize('loss', ELEMENTWISE)
AVERAGE = pytest.mark.parametrize('loss', AVERAGES)
ALL = pytest.mark.parametrize('loss', [*ELEMENTWISE, *AVERAGES])
SMOOTHED = pytest.mark.parametrize(
  'loss', [minimax_discriminator_loss, non_saturating_discriminator_loss]
)
DTYPES = pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
# 1 is left out: the hinge has its kinks there.
SCALES = pytest.mark.parametrize('scale', [3.0, 30.0, 1e3, 1e4])
SMOOTHINGS = pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.49])
WRAP = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])


def logits_like(scale, dtype, *, seed=0, size=8):
  x = np.random.default_rng(seed).uniform(-scale, scale, size)
  x[:2] = -scale, scale
  return jnp.asarray(x, dtype)


def real_and_fake(scale, dtype='float32'):
  return logits_like(scale, dtype), logits_like(scale, dtype, seed=1)


def value_and_gradients(loss, real, fake):
  """Returns the values per element, and the gradients of their sum."""
  gradient = jax.grad(lambda *logits: loss(*logits).sum(), (0, 1))
  return loss(real, fake), gradient(real, fake)


def assert_matches(loss, expected, scale, dtype):
  """Compares `loss` with the oracle's loss of a row (D(x), D(G(z)))."""
  with jax.enable_x64(True):
    real, fake = real_and_fake(scale, dtype)
    value, gradients = value_and_gradients(loss, real, fake)
  rows = np.stack([np.asarray(x, np.float64) for x in (real, fake)], axis=-1)
  oracle.assert_close(value, oracle.evaluate(expected, rows), rows)
  for gradient, by_oracle in zip(
    gradients, oracle.gradient(expected, rows).T, strict=True
  ):
    # A gradient inherits the logits' own rounding too, but only where it is
    # not constant: softplus is linear for large logits.
    oracle.assert_close(gradient, by_oracle, rows.clip(-40.0, 40.0))


@pytest.mark.parametrize(
  ('loss', 'by_hand'),
  [
    (minimax_discriminator_loss, [0.126928 + 0.313262, 1.313262 + 3.048587]),
    (minimax_generator_loss, [-0.313262, -3.048587]),
    (
      non_saturating_discriminator_loss,
      [0.126928 + 0.313262, 1.313262 + 3.048587],
    ),
    (non_saturating_generator_loss, [1.313262, 0.048587]),
    (least_squares_discriminator_loss, [0.5 + 0.5, 2.0 + 4.5]),
    (least_squares_generator_loss, [2.0, 2.0]),
    (hinge_discriminator_loss, [0.0, 2.0 + 4.0]),
    (hinge_generator_loss, [1.0, -3.0]),
    (wasserstein_discriminator_loss, [-3.0, 4.0]),
    (wasserstein_generator_loss, [1.0, -3.0]),
    (relativistic_discriminator_loss, [0.048587, 4.018150]),
    (relativistic_generator_loss, [3.048587, 0.018150]),
    # The means are 0.5 on data and 1 on samples.
    (
      relativistic_average_discriminator_loss,
      [0.313262 + 0.201413, 2.126928 + 2.578890],
    ),
    (
      relativistic_average_generator_loss,
      [1.313262 + 1.701413, 0.126928 + 0.078890],
    ),
  ],
)
def test_by_hand(loss, by_hand):
  value = loss(jnp.array([2.0, -1.0]), jnp.array([-1.0, 3.0]))
  np.testing.assert_allclose(value, by_hand, rtol=1e-5)


@SMOOTHED
def test_smoothed_discriminator_by_hand(loss):
  value = loss(jnp.array([2.0]), jnp.array([-1.0]), label_smoothing=0.1)
  by_hand = 0.9 * 0.126928 + 0.1 * 2.126928 + 0.313262
  np.testing.assert_allclose(value, [by_hand], rtol=2e-6)


@EACH
def test_value_at_zero_logits(loss):
  zero, (_, expected) = jnp.zeros(3), ELEMENTWISE[loss]
  np.testing.assert_allclose(loss(zero, zero), [expected] * 3, rtol=2e-7)


@AVERAGE
def test_average_at_zero_logits_is_two_log_two(loss):
  zero = jnp.zeros(3)
  np.testing.assert_allclose(loss(zero, zero), [2 * LOG2] * 3, rtol=2e-7)


@SMOOTHED
@SMOOTHINGS
def test_smoothing_changes_nothing_at_zero_logits(loss, smoothing):
  zero = jnp.zeros(3)
  value = loss(zero, zero, label_smoothing=smoothing)
  np.testing.assert_allclose(value, [2 * LOG2] * 3, rtol=2e-7)


@DTYPES
@SCALES
@EACH
def test_matches_oracle(loss, scale, dtype):
  assert_matches(loss, ELEMENTWISE[loss][0], scale, dtype)


@DTYPES
@SCALES
@pytest.mark.parametrize('smoothing', [0.1, 0.49])
@SMOOTHED
def test_smoothed_discriminator_matches_oracle(loss, smoothing, scale, dtype):
  assert_matches(
    functools.partial(loss, label_smoothing=smoothing),
    lambda row: oracle.cross_entropy(row, smoothing),
    scale,
    dtype,
  )


@DTYPES
@SCALES
@AVERAGE
def test_average_matches_oracle(loss, scale, dtype):
  with jax.enable_x64(True):
    real, fake = real_and_fake(scale, dtype)
    value, gradients = value_and_gradients(loss, real, fake)

  def losses(row):
    discriminator = loss is relativistic_average_discriminator_loss
    return oracle.relativistic_average(row[:8], row[8:], discriminator)

  batch = np.concatenate([np.asarray(x, np.float64) for x in (real, fake)])
  by_oracle = [
    oracle.evaluate(lambda row, i=i: losses(row)[i], batch[None])[0]
    for i in range(8)
  ]
  oracle.assert_close(value, np.array(by_oracle), batch)
  by_oracle = oracle.gradient(lambda row: oracle.mp.fsum(losses(row)), [batch])
  oracle.assert_close(np.concatenate(gradients), by_oracle[0], batch)


@ALL
def test_gradient_is_finite_difference(loss):
  with jax.enable_x64(True):
    check_grads(
      loss,
      real_and_fake(3.0, 'float64'),
      order=1,
      eps=1e-5,
      atol=1e-8,
      rtol=1e-8,
    )


@SMOOTHED
@pytest.mark.parametrize('smoothing', [0.01, 0.1, 0.4])
def test_smoothed_optimum_on_real_examples(loss, smoothing):
  def on_real(real):
    return loss(real, jnp.zeros_like(real), label_smoothing=smoothing)

  with jax.enable_x64(True):
    optimum = jnp.float64(np.log((1 - smoothing) / smoothing))
    np.testing.assert_allclose(jax.grad(on_real)(optimum), 0.0, atol=1e-15)
    assert on_real(optimum) < min(
      on_real(optimum - 0.01), on_real(optimum + 0.01)
    )


@pytest.mark.parametrize(
  ('loss', 'real', 'fake'),
  [
    (least_squares_discriminator_loss, 1.0, 0.0),
    (hinge_discriminator_loss, 1.0, -1.0),  # on the margins
    (hinge_discriminator_loss, 1e4, -1e4),
  ],
)
def test_a_perfect_discriminator_costs_nothing(loss, real, fake):
  value, gradients = value_and_gradients(
    loss, jnp.full(2, real), jnp.full(2, fake)
  )
  np.testing.assert_array_equal(value, [0.0, 0.0])
  np.testing.assert_array_equal(gradients, np.zeros((2, 2)))


@pytest.mark.parametrize(
  ('loss', 'gradient'),
  [
    (minimax_generator_loss, 0.0),
    (non_saturating_generator_loss, -1.0),
    (hinge_generator_loss, -1.0),
    (wasserstein_generator_loss, -1.0),
    (relativistic_generator_loss, -1.0),
    (relativistic_average_generator_loss, -2.0),
    (least_squares_generator_loss, -1e4 - 1.0),
  ],
)
def test_what_a_hopeless_generator_learns(loss, gradient):
  """Only the minimax loss saturates."""
  real, fake = jnp.full(2, 1e4), jnp.full(2, -1e4)
  _, (_, of_fake) = value_and_gradients(loss, real, fake)
  np.testing.assert_allclose(of_fake, [gradient] * 2, rtol=2e-7)


@pytest.mark.parametrize(
  ('discriminator_loss', 'generator_loss'),
  [
    (minimax_discriminator_loss, minimax_generator_loss),
    (wasserstein_discriminator_loss, wasserstein_generator_loss),
  ],
)
def test_a_zero_sum_game(discriminator_loss, generator_loss):
  """On samples, the two players' gradients are opposite."""
  logits = real_and_fake(9.0)
  _, (_, loss) = value_and_gradients(discriminator_loss, *logits)
  _, (_, gain) = value_and_gradients(generator_loss, *logits)
  np.testing.assert_array_equal(loss, -gain)


@pytest.mark.parametrize(
  ('discriminator_loss', 'generator_loss'),
  [
    (relativistic_discriminator_loss, relativistic_generator_loss),
    AVERAGES,
  ],
)
def test_a_symmetric_game(discriminator_loss, generator_loss):
  real, fake = real_and_fake(9.0)
  np.testing.assert_allclose(
    generator_loss(real, fake), discriminator_loss(fake, real), rtol=3e-7
  )


@pytest.mark.parametrize(
  'loss',
  [relativistic_discriminator_loss, relativistic_generator_loss, *AVERAGES],
)
def test_relativistic_losses_know_differences_only(loss):
  real, fake = (jnp.round(x * 8) / 8 for x in real_and_fake(9.0))
  shifted = loss(real + 64.0, fake + 64.0)  # exact in float32, as the sums are
  np.testing.assert_allclose(shifted, loss(real, fake), rtol=3e-7)


@pytest.mark.parametrize(
  ('average', 'pairs'),
  [
    (AVERAGES[0], relativistic_discriminator_loss),
    (AVERAGES[1], relativistic_generator_loss),
  ],
)
def test_the_average_of_equal_logits_is_twice_the_pairs(average, pairs):
  real, fake = jnp.full(4, 1.5), jnp.full(4, -0.25)
  expected = 2 * pairs(real, fake)
  np.testing.assert_allclose(average(real, fake), expected, rtol=3e-7)


@ALL
def test_extreme_logits_are_finite(loss):
  extreme = jnp.array([1e4, -1e4, 1e4, -1e4])
  other = jnp.array([1e4, 1e4, -1e4, -1e4])
  value, gradients = value_and_gradients(loss, extreme, other)
  assert np.isfinite(value).all()
  assert np.isfinite(gradients).all()


@ALL
@DTYPES
def test_dtype_is_kept(loss, dtype):
  with jax.enable_x64(True):
    real, fake = real_and_fake(3.0, dtype)
    value, gradients = value_and_gradients(loss, real, fake)
    assert {x.dtype.name for x in (value, *gradients)} == {dtype}


@ALL
def test_bfloat16_is_computed_in_float32(loss):
  real, fake = real_and_fake(9.0, 'bfloat16')
  narrow = value_and_gradients(loss, real, fake)
  wide = value_and_gradients(
    loss, real.astype('float32'), fake.astype('float32')
  )
  jax.tree.map(
    lambda narrow, wide: np.testing.assert_array_equal(
      narrow, wide.astype('bfloat16')
    ),
    narrow,
    wide,
  )


@EACH
@pytest.mark.parametrize('shape', [(), (8,), (2, 2, 2)])
def test_shape_is_the_logits_shape(loss, shape):
  x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
  assert loss(*x).shape == shape
  flat = loss(*x.reshape(2, -1))
  np.testing.assert_array_equal(loss(*x).reshape(-1), flat)


@AVERAGE
@pytest.mark.parametrize('shape', [(), (5,), (5, 1), (2, 4, 4, 1)])
def test_the_average_is_over_all_elements(loss, shape):
  x = jax.random.normal(jax.random.key(0), (2, *shape))
  assert loss(*x).shape == shape
  flat = loss(*x.reshape(2, -1))
  np.testing.assert_allclose(loss(*x).reshape(-1), flat, rtol=1e-6)


@ALL
def test_jit_vmap_and_scan_change_nothing(loss):
  real, fake = jax.random.normal(jax.random.key(0), (2, 3, 4))

  def scanned(real, fake):
    return jax.lax.scan(lambda _, row: (_, loss(*row)), 0, (real, fake))[1]

  expected = [loss(*row) for row in zip(real, fake, strict=True)]
  for transformed in (jax.vmap(loss), jax.jit(jax.vmap(loss)), scanned):
    value = transformed(real, fake)
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)


@AVERAGE
def test_two_devices_match_one(loss):
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(6, 3)), 'float32')
  z = jnp.asarray(rng.normal(size=(6, 3)) + 0.3, 'float32')
  weight = jnp.asarray(rng.normal(size=(3, 4)), 'float32')

  def total(weight, x, z, axis_name=None):
    values = loss(jnp.tanh(x @ weight), z @ weight, axis_name=axis_name)
    return values.mean(), values

  def replica(weight, x, z):
    gradient, values = jax.grad(total, has_aux=True)(weight, x, z, 'batch')
    return jax.lax.pmean(gradient, 'batch'), values

  expected, expected_values = jax.grad(total, has_aux=True)(weight, x, z)
  gradients, values = jax.pmap(
    replica, axis_name='batch', in_axes=(None, 0, 0), devices=jax.devices()[:2]
  )(weight, x.reshape(2, 3, 3), z.reshape(2, 3, 3))
  np.testing.assert_allclose(values.reshape(6, 4), expected_values, rtol=1e-6)
  for device in range(2):
    np.testing.assert_allclose(
      gradients[device], expected, rtol=1e-6, atol=1e-7
    )


@ALL
@WRAP
@pytest.mark.parametrize(
  ('real', 'fake', 'error', 'message'),
  [
    (np.zeros(4, 'f'), np.zeros((4, 1), 'f'), ValueError, 'same shape'),
    (np.zeros(4, 'f'), np.zeros(1, 'f'), ValueError, r'\(4,\) and \(1,\)'),
    (np.zeros(4, 'i'), np.zeros(4, 'f'), TypeError, 'real_logits .* int32'),
    (np.zeros(4, 'f'), np.zeros(4, 'i'), TypeError, 'fake_logits .* int32'),
  ],
)
def test_bad_logits_fail_while_tracing(loss, wrap, real, fake, error, message):
  with pytest.raises(error, match=message):
    wrap(loss)(real, fake)


@ALL
@WRAP
def test_an_empty_batch_fails_while_tracing(loss, wrap):
  with pytest.raises(ValueError, match=r'must not be empty.*\(0,\)'):
    wrap(loss)(jnp.zeros(0), jnp.zeros(0))


@SMOOTHED
@WRAP
@pytest.mark.parametrize('smoothing', [-0.1, 0.5, float('nan')])
def test_bad_smoothing_fails_while_tracing(loss, wrap, smoothing):
  zero = jnp.zeros(2)
  smoothed = functools.partial(loss, label_smoothing=smoothing)
  with pytest.raises(ValueError, match=rf'label_smoothing .* {smoothing}'):
    wrap(smoothed)(zero, zero)


@SMOOTHED
def test_smoothing_is_one_number(loss):
  def smoothed(smoothing):
    return loss(jnp.zeros(2), jnp.zeros(2), label_smoothing=smoothing)

  assert jax.jit(smoothed)(0.1).shape == (2,)
  with pytest.raises(ValueError, match=r'label_smoothing .* \(2, 1\)'):
    jax.jit(smoothed)(jnp.full((2, 1), 0.1))
  for bad in (None, '0.1', [0.1]):
    with pytest.raises(TypeError, match='label_smoothing must be a number'):
      smoothed(bad)


@ALL
def test_lists_are_arrays(loss):
  np.testing.assert_array_equal(
    loss([1.0, 2.0], [0.5, -1.0]),
    loss(jnp.array([1.0, 2.0]), jnp.array([0.5, -1.0])),
  )
