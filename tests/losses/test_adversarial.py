import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.losses import (
  non_saturating_discriminator_loss,
  non_saturating_generator_loss,
)
from tests.losses import oracle

BOTH = pytest.mark.parametrize(
  'loss', [non_saturating_discriminator_loss, non_saturating_generator_loss]
)
DTYPES = pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
SCALES = pytest.mark.parametrize('scale', [1.0, 30.0, 1e3, 1e4])
SMOOTHINGS = pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.49])


def logits_like(scale, dtype, *, seed=0, size=8):
  x = np.random.default_rng(seed).uniform(-scale, scale, size)
  x[:2] = -scale, scale
  return jnp.asarray(x, dtype)


def real_and_fake(row):
  return oracle.real_and_fake(row, extra_class=True)


def binary(logits):
  """[B] logits of "real" as [B, 2] logits of (real, fake)."""
  logits = np.asarray(logits, np.float64)
  return np.stack([logits, np.zeros_like(logits)], axis=-1)


def test_discriminator_by_hand():
  loss = non_saturating_discriminator_loss(
    jnp.array([2.0, -1.0]), jnp.array([-1.0, 3.0])
  )
  by_hand = [0.126928 + 0.313262, 1.313262 + 3.048587]
  np.testing.assert_allclose(loss, by_hand, rtol=2e-6)


def test_smoothed_discriminator_by_hand():
  loss = non_saturating_discriminator_loss(
    jnp.array([2.0]), jnp.array([-1.0]), label_smoothing=0.1
  )
  by_hand = 0.9 * 0.126928 + 0.1 * 2.126928 + 0.313262
  np.testing.assert_allclose(loss, [by_hand], rtol=2e-6)


def test_generator_by_hand():
  loss = non_saturating_generator_loss(
    jnp.array([9.0, 9.0]), jnp.array([2.0, -1.0])
  )
  np.testing.assert_allclose(loss, [0.126928, 1.313262], rtol=2e-6)


@SMOOTHINGS
def test_discriminator_at_zero_logits_is_two_log_two(smoothing):
  zero = jnp.zeros(3)
  loss = non_saturating_discriminator_loss(
    zero, zero, label_smoothing=smoothing
  )
  np.testing.assert_allclose(loss, np.full(3, 2 * np.log(2)), rtol=2e-7)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@SCALES
@SMOOTHINGS
def test_discriminator_matches_oracle(scale, smoothing, dtype):
  with jax.enable_x64(True):
    real, fake = (logits_like(scale, dtype, seed=seed) for seed in (0, 1))

    def total(real, fake):
      return non_saturating_discriminator_loss(
        real, fake, label_smoothing=smoothing
      ).sum()

    loss = non_saturating_discriminator_loss(
      real, fake, label_smoothing=smoothing
    )
    gradients = jax.grad(total, (0, 1))(real, fake)

  def on_real(row):
    return oracle.called_real(*real_and_fake(row), smoothing)

  def on_fake(row):
    return oracle.called_real(*real_and_fake(row), 1.0)

  value = oracle.evaluate(on_real, binary(real))
  value += oracle.evaluate(on_fake, binary(fake))
  oracle.assert_close(loss, value, [real, fake])
  for part, x, gradient in zip(
    (on_real, on_fake), (real, fake), gradients, strict=True
  ):
    expected = oracle.gradient(part, binary(x))[:, 0]
    oracle.assert_close(gradient, expected, x)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@SCALES
def test_generator_matches_oracle(scale, dtype):
  with jax.enable_x64(True):
    fake = logits_like(scale, dtype)
    loss = non_saturating_generator_loss(fake, fake)
    real_gradient, fake_gradient = jax.grad(
      lambda real, fake: non_saturating_generator_loss(real, fake).sum(), (0, 1)
    )(fake, fake)

  def on_fake(row):
    return oracle.called_real(*real_and_fake(row), 0.0)

  oracle.assert_close(loss, oracle.evaluate(on_fake, binary(fake)), fake)
  expected = oracle.gradient(on_fake, binary(fake))[:, 0]
  oracle.assert_close(fake_gradient, expected, fake)
  assert not real_gradient.any()


@SMOOTHINGS
def test_discriminator_gradient_is_finite_difference(smoothing):
  with jax.enable_x64(True):
    check_grads(
      lambda real, fake: non_saturating_discriminator_loss(
        real, fake, label_smoothing=smoothing
      ),
      (logits_like(3.0, 'float64'), logits_like(3.0, 'float64', seed=1)),
      order=1,
      eps=1e-5,
      atol=1e-8,
      rtol=1e-8,
    )


def test_generator_gradient_is_finite_difference():
  with jax.enable_x64(True):
    x = logits_like(3.0, 'float64')
    check_grads(
      lambda fake: non_saturating_generator_loss(x, fake),
      (x,),
      order=1,
      eps=1e-5,
      atol=1e-8,
      rtol=1e-8,
    )


@pytest.mark.parametrize('smoothing', [0.01, 0.1, 0.4])
def test_smoothed_optimum_on_real_examples(smoothing):
  def loss(real):
    return non_saturating_discriminator_loss(
      real, jnp.zeros_like(real), label_smoothing=smoothing
    )

  with jax.enable_x64(True):
    optimum = jnp.float64(np.log((1 - smoothing) / smoothing))
    np.testing.assert_allclose(jax.grad(loss)(optimum), 0.0, atol=1e-15)
    assert loss(optimum) < min(loss(optimum - 0.01), loss(optimum + 0.01))


@BOTH
def test_extreme_logits_are_finite(loss):
  extreme = jnp.array([1e4, -1e4, 1e4, -1e4])
  other = jnp.array([1e4, 1e4, -1e4, -1e4])
  value, gradients = jax.value_and_grad(
    lambda real, fake: loss(real, fake).sum(), (0, 1)
  )(extreme, other)
  assert np.isfinite(value)
  assert np.isfinite(gradients).all()


@BOTH
@DTYPES
def test_dtype_is_kept(loss, dtype):
  with jax.enable_x64(True):
    x = logits_like(3.0, dtype)
    value, gradient = jax.value_and_grad(lambda x: loss(x, x).sum())(x)
    assert loss(x, x).dtype == value.dtype == gradient.dtype == dtype


@BOTH
def test_bfloat16_is_computed_in_float32(loss):
  real, fake = (logits_like(9.0, 'bfloat16', seed=s) for s in (0, 1))
  wide = loss(real.astype('float32'), fake.astype('float32'))
  np.testing.assert_array_equal(loss(real, fake), wide.astype('bfloat16'))


@BOTH
@pytest.mark.parametrize('shape', [(), (5,), (5, 1), (2, 4, 4, 1), (0,)])
def test_shape_is_the_logits_shape(loss, shape):
  x = jax.random.normal(jax.random.key(0), (2, *shape))
  assert loss(*x).shape == shape
  flat = loss(*x.reshape(2, -1))
  np.testing.assert_array_equal(loss(*x).reshape(-1), flat)


@BOTH
def test_jit_and_vmap_change_nothing(loss):
  real, fake = jax.random.normal(jax.random.key(0), (2, 3, 4))
  expected = loss(real, fake)
  for transformed in (jax.jit(loss), jax.vmap(loss)):
    np.testing.assert_allclose(transformed(real, fake), expected, rtol=3e-7)


@BOTH
@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])
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


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])
@pytest.mark.parametrize('smoothing', [-0.1, 0.5, float('nan')])
def test_bad_smoothing_fails_while_tracing(wrap, smoothing):
  zero = jnp.zeros(2)

  def loss(x):
    return non_saturating_discriminator_loss(x, x, label_smoothing=smoothing)

  with pytest.raises(ValueError, match=rf'label_smoothing .* {smoothing}'):
    wrap(loss)(zero)
