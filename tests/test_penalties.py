import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.penalties import (
  consistency_penalty,
  dragan_penalty,
  gradient_penalty,
  lecam_penalty,
  r1_penalty,
  r2_penalty,
)

ZERO_CENTRED = pytest.mark.parametrize('penalty', [r1_penalty, r2_penalty])
WRAP = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])


def between(d_fn, x):
  """The gradient penalty as a function of one batch, at x itself."""
  return gradient_penalty(d_fn, x, x, jnp.full(len(x), 0.5, x.dtype))


def around(d_fn, x):
  """DRAGAN's penalty as a function of one batch, at x itself."""
  return dragan_penalty(d_fn, x, jnp.zeros_like(x))


def doubled(d_fn, x):
  """The consistency penalty with an augmentation that doubles x."""
  return consistency_penalty(d_fn, x, 2.0 * x)


ON_TARGET = pytest.mark.parametrize('penalty', [between, around])
SLOPES = [r1_penalty, r2_penalty, between, around]
EACH = pytest.mark.parametrize('penalty', SLOPES)
ALL = pytest.mark.parametrize('penalty', [*SLOPES, doubled])


def normal(*shape, seed=0, dtype='float32'):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def linear(weight):
  return lambda x: x @ weight + 7.0


def quadratic(a):
  """Computes a ||x||^2 / 2, whose gradient at x is a x."""
  return lambda x: 0.5 * a * jnp.square(x).reshape(len(x), -1).sum(axis=1)


def mlp(params):
  w1, w2 = params
  return lambda x: jnp.tanh(x @ w1) @ w2


@ZERO_CENTRED
def test_a_linear_discriminator_costs_half_its_squared_norm(penalty):
  weight = jnp.array([3.0, 4.0])
  value = penalty(linear(weight), normal(5, 2))
  np.testing.assert_allclose(value, [12.5] * 5, rtol=2e-7)


@ZERO_CENTRED
def test_a_quadratic_discriminator_costs_its_rows_squared_norms(penalty):
  x = normal(5, 4, 3, 2)
  value = penalty(quadratic(3.0), x)
  expected = 0.5 * 9.0 * np.square(x).sum(axis=(1, 2, 3))
  np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize(('target', 'by_hand'), [(1.0, 16), (0.0, 25), (7, 4)])
def test_the_norm_of_a_linear_critic_by_hand(target, by_hand):
  real, fake = normal(2, 5, 2)
  value = gradient_penalty(
    linear(jnp.array([3.0, 4.0])), real, fake, jnp.zeros(5), target=target
  )
  np.testing.assert_allclose(value, [by_hand] * 5, rtol=1e-6)


def test_the_slope_is_taken_between_data_and_samples():
  real, fake = normal(2, 3, 2, 2)
  epsilon = jnp.array([0.0, 0.25, 1.0])
  value = gradient_penalty(quadratic(1.0), real, fake, epsilon)
  points = fake[0], 0.25 * real[1] + 0.75 * fake[1], real[2]
  norms = np.array([np.linalg.norm(np.ravel(point)) for point in points])
  np.testing.assert_allclose(value, (norms - 1) ** 2, rtol=1e-6)


@pytest.mark.parametrize(('target', 'by_hand'), [(1.0, 16), (0.0, 25), (7, 4)])
def test_the_norm_of_a_linear_discriminator_by_hand(target, by_hand):
  real, delta = normal(2, 5, 2)
  value = dragan_penalty(
    linear(jnp.array([3.0, 4.0])), real, delta, target=target
  )
  np.testing.assert_allclose(value, [by_hand] * 5, rtol=1e-6)


def test_the_slope_is_taken_at_the_perturbed_data():
  real, delta = normal(2, 3, 2, 2)
  value = dragan_penalty(quadratic(2.0), real, delta)
  norms = 2 * np.linalg.norm(np.reshape(real + delta, (3, 4)), axis=1)
  np.testing.assert_allclose(value, (norms - 1) ** 2, rtol=1e-6)


def test_the_change_of_a_rows_logits_by_hand():
  """One of two patches changes by 3, the other by -4."""
  images = jnp.array([[1.0, 2.0], [5.0, 6.0]])
  augmented = jnp.array([[4.0, -2.0], [5.0, 6.5]])
  value = consistency_penalty(lambda x: x[:, :, None, None], images, augmented)
  np.testing.assert_allclose(value, [25.0, 0.25], rtol=2e-7)
  value = consistency_penalty(linear(jnp.ones(2)), images, augmented)
  np.testing.assert_allclose(value, [1.0, 0.25], rtol=1e-6)


def test_gradient_of_the_consistency_penalty():
  """Exchanging the two changes nothing: neither side is held fixed."""
  params = normal(3, 4), normal(4, 2, seed=1)
  images, augmented = normal(2, 5, 3, seed=2)

  def gradient(*pair):
    return jax.grad(lambda p: consistency_penalty(mlp(p), *pair).sum())(params)

  def by_hand(params):
    return jnp.square(mlp(params)(images) - mlp(params)(augmented)).sum()

  for pair in ((images, augmented), (augmented, images)):
    for value, expected in zip(
      gradient(*pair), jax.grad(by_hand)(params), strict=True
    ):
      np.testing.assert_allclose(value, expected, rtol=2e-5, atol=1e-5)


def test_no_augmentation_costs_nothing():
  params, x = (normal(3, 4), normal(4, 2, seed=1)), normal(5, 3, seed=2)
  value, gradient = jax.value_and_grad(
    lambda params: consistency_penalty(mlp(params), x, x).sum()
  )(params)
  assert value == 0.0
  assert not any(g.any() for g in gradient)


def test_the_logits_of_a_row_are_added():
  weight, x = normal(6, 4), normal(3, 2, 3)

  def patches(x):
    return (x.reshape(-1, 6) @ weight).reshape(-1, 2, 2, 1)

  square = np.square(weight.sum(axis=1)).sum()
  value = r1_penalty(patches, x)
  np.testing.assert_allclose(value, [0.5 * square] * 3, rtol=1e-6)
  for penalty in (between, around):
    np.testing.assert_allclose(
      penalty(patches, x), [(np.sqrt(square) - 1) ** 2] * 3, rtol=1e-6
    )


@ALL
def test_a_row_costs_the_same_in_any_batch(penalty):
  d_fn, x = mlp((normal(3, 5), normal(5, 1, seed=1))), normal(4, 3, seed=2)
  rows = [penalty(d_fn, row[None])[0] for row in x]
  np.testing.assert_allclose(penalty(d_fn, x), rows, rtol=1e-6)


@ZERO_CENTRED
def test_gradient_of_the_zero_centred_penalties(penalty):
  weight, x = normal(3), normal(5, 3, seed=1)
  gradient = jax.grad(lambda weight: penalty(linear(weight), x).mean())(weight)
  np.testing.assert_allclose(gradient, weight, rtol=1e-6)
  gradient = jax.grad(lambda a: penalty(quadratic(a), x).sum())(3.0)
  np.testing.assert_allclose(gradient, 3.0 * np.square(x).sum(), rtol=1e-6)


@pytest.mark.parametrize(
  'penalty',
  [
    functools.partial(gradient_penalty, epsilon=jnp.zeros(5)),
    lambda d_fn, x, y, **kwargs: dragan_penalty(d_fn, x, y - x, **kwargs),
  ],
)
@pytest.mark.parametrize('target', [1.0, 0.0, 5.0])
def test_gradient_of_the_penalties_with_a_target(penalty, target):
  weight, x = normal(3), normal(5, 3, seed=1)

  def loss(d_fn):
    return penalty(d_fn, x, x, target=target)

  gradient = jax.grad(lambda weight: loss(linear(weight)).mean())(weight)
  norm = np.linalg.norm(weight)
  expected = 2 * (norm - target) * weight / norm
  np.testing.assert_allclose(gradient, expected, rtol=1e-5)

  gradient = jax.grad(lambda a: loss(quadratic(a)).sum())(3.0)
  norms = np.linalg.norm(x, axis=1)
  expected = (2 * (3.0 * norms - target) * norms).sum()
  np.testing.assert_allclose(gradient, expected, rtol=1e-5)


@ALL
def test_gradient_is_finite_difference(penalty):
  with jax.enable_x64(True):
    params = (
      normal(3, 4, dtype='float64'),
      normal(4, 2, seed=1, dtype='float64'),
    )
    x = normal(5, 3, seed=2, dtype='float64')
    check_grads(
      lambda *params: penalty(mlp(params), x),
      params,
      order=2,
      eps=1e-5,
      atol=1e-7,
      rtol=1e-7,
    )


@EACH
@WRAP
@pytest.mark.parametrize('size', [0.0, 1e-20, 1e-22, 1e-25])
def test_a_flat_discriminator_has_a_finite_gradient(penalty, wrap, size):
  """The norm may also be so small that its square rounds to 0."""
  weight, x = jnp.full(3, size), normal(5, 3)

  @wrap
  def value_and_gradient(weight):
    return jax.value_and_grad(lambda weight: penalty(linear(weight), x).mean())(
      weight
    )

  value, gradient = value_and_gradient(weight)
  np.testing.assert_allclose(
    value, float(penalty in (between, around)), atol=1e-15
  )
  np.testing.assert_allclose(gradient, np.zeros(3), atol=1e-15)


@ON_TARGET
def test_a_flat_row_leaves_the_others_gradient(penalty):
  x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
  value, gradient = jax.value_and_grad(
    lambda a: penalty(quadratic(a), x).sum()
  )(2.0)
  np.testing.assert_allclose(value, 1.0 + 9.0**2, rtol=1e-6)
  np.testing.assert_allclose(gradient, 2 * 9.0 * 5.0, rtol=1e-6)


@ALL
def test_jit_and_vmap_change_nothing(penalty):
  weights, x = normal(2, 3), normal(5, 3, seed=1)

  def gradient(weight):
    return jax.grad(lambda w: penalty(linear(w), x).mean())(weight)

  def value(weight):
    return penalty(linear(weight), x)

  for f in (value, gradient):
    expected = [f(weight) for weight in weights]
    for transformed in (jax.vmap(f), jax.jit(jax.vmap(f))):
      np.testing.assert_allclose(transformed(weights), expected, rtol=1e-5)


@ZERO_CENTRED
def test_descent_in_a_scan(penalty):
  weight, x = normal(3), normal(5, 3, seed=1)

  @jax.jit
  def descend(weight):
    def step(weight, _):
      gradient = jax.grad(lambda w: penalty(linear(w), x).mean())(weight)
      return weight - 0.1 * gradient, None

    return jax.lax.scan(step, weight, length=10)[0]

  np.testing.assert_allclose(descend(weight), weight * 0.9**10, rtol=1e-5)


@ON_TARGET
def test_descent_leads_to_the_target(penalty):
  weight, x = normal(3), normal(5, 3, seed=1)

  def step(weight, _):
    gradient = jax.grad(lambda w: penalty(linear(w), x).mean())(weight)
    return weight - 0.25 * gradient, None

  # Each step halves the distance to the target and keeps the direction.
  found, _ = jax.lax.scan(step, weight, length=30)
  expected = weight / np.linalg.norm(weight)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


@ALL
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_dtype_is_kept(penalty, dtype):
  with jax.enable_x64(True):
    weight, x = normal(3, dtype=dtype), normal(5, 3, dtype=dtype)
    value = penalty(linear(weight), x)
    gradient = jax.grad(lambda w: penalty(linear(w), x).sum())(weight)
    assert value.shape == (5,)
    assert value.dtype == gradient.dtype == dtype


@EACH
def test_squares_of_bfloat16_are_added_in_float32(penalty):
  """In bfloat16, the running sum would stay far below the exact one."""
  weight = jnp.full(301, 1 / 16, 'bfloat16').at[0].set(1.0)
  value = penalty(lambda x: x @ weight, jnp.zeros((1, 301), 'bfloat16'))
  square = 1 + 300 / 256
  by_hand = (
    (square**0.5 - 1) ** 2 if penalty in (between, around) else square / 2
  )
  expected = jnp.asarray([by_hand], 'bfloat16')
  np.testing.assert_array_equal(value, expected)


def test_changes_of_bfloat16_are_squared_and_added_in_float32():
  images = jnp.zeros((1, 301), 'bfloat16')
  augmented = jnp.full((1, 301), 1 / 16, 'bfloat16').at[0, 0].set(1.0)
  value = consistency_penalty(lambda x: x, images, augmented)
  np.testing.assert_array_equal(value, jnp.asarray([1 + 300 / 256], 'bfloat16'))


@WRAP
@pytest.mark.parametrize('shape', [(0, 3), (3, 0)])
@pytest.mark.parametrize(
  ('penalty', 'name'),
  [
    (r1_penalty, 'real'),
    (r2_penalty, 'fake'),
    (between, 'real'),
    (around, 'real'),
    (doubled, 'images'),
  ],
)
def test_an_empty_batch_fails_while_tracing(wrap, penalty, name, shape):
  with pytest.raises(ValueError, match=f'{name} must not be empty'):
    wrap(functools.partial(penalty, quadratic(1.0)))(jnp.zeros(shape))


@WRAP
@pytest.mark.parametrize(
  ('name', 'penalty'),
  [
    ('real', r1_penalty),
    ('fake', r2_penalty),
    ('real', around),
    ('images', doubled),
  ],
)
@pytest.mark.parametrize(
  ('d_fn', 'x', 'error', 'message'),
  [
    (quadratic(1.0), np.zeros((4, 2), 'i'), TypeError, '{} .* int32'),
    (quadratic(1.0), np.float32(1.0), ValueError, r'{} must be \[B, ...\]'),
    (jnp.sum, np.zeros((4, 2), 'f'), ValueError, r'd_fn .*\(4, 2\) and \(\)'),
    (lambda x: x[None], np.zeros((4, 2), 'f'), ValueError, r'\(1, 4, 2\)'),
    (lambda x: x.astype(int), np.zeros((4, 2), 'f'), TypeError, 'd_fn.* int'),
    (lambda x: (x, x), np.zeros((2, 2), 'f'), TypeError, 'd_fn .* got tuple'),
  ],
)
def test_bad_arguments_fail_while_tracing(
  wrap, name, penalty, d_fn, x, error, message
):
  with pytest.raises(error, match=message.format(name)):
    wrap(functools.partial(penalty, d_fn))(x)


@WRAP
@pytest.mark.parametrize(
  ('real', 'fake', 'epsilon', 'error', 'message'),
  [
    ((4, 2), np.zeros((4, 1), 'f'), (4,), ValueError, 'same shape'),
    ((4, 2), np.zeros((2, 2), 'f'), (4,), ValueError, r'\(4, 2\) and \(2, 2\)'),
    ((4, 2), np.zeros((4, 2), 'i'), (4,), TypeError, 'fake .* int32'),
    ((4, 2), np.zeros((4, 2), 'f'), (4, 1), ValueError, r'epsilon .*\(4, 1\)'),
    ((4, 2), np.zeros((4, 2), 'f'), (), ValueError, r'epsilon must be \[B\]'),
    ((), np.float32(0.0), (), ValueError, 'real must be'),
  ],
)
def test_bad_pairs_fail(wrap, real, fake, epsilon, error, message):
  penalty = functools.partial(gradient_penalty, quadratic(1.0))
  with pytest.raises(error, match=message):
    wrap(penalty)(jnp.zeros(real), fake, jnp.zeros(epsilon))


@WRAP
@pytest.mark.parametrize(
  ('penalty', 'names'),
  [
    (dragan_penalty, ('real', 'perturbation')),
    (consistency_penalty, ('images', 'augmented')),
  ],
)
@pytest.mark.parametrize(
  ('other', 'error', 'message'),
  [
    (
      np.zeros((4, 1), 'f'),
      ValueError,
      r'{0} and {1} .* \(4, 2\) and \(4, 1\)',
    ),
    (np.zeros((4, 2), 'i'), TypeError, '{1} .* int32'),
    (np.float32(0.0), ValueError, r'{1} must be \[B, ...\]'),
    (np.zeros((0, 2), 'f'), ValueError, '{1} must not be empty'),
  ],
)
def test_bad_second_inputs_fail(wrap, penalty, names, other, error, message):
  with pytest.raises(error, match=message.format(*names)):
    wrap(functools.partial(penalty, quadratic(1.0)))(jnp.zeros((4, 2)), other)


@WRAP
def test_an_integer_epsilon_fails_while_tracing(wrap):
  penalty = functools.partial(gradient_penalty, quadratic(1.0))
  x = jnp.zeros((4, 2))
  with pytest.raises(TypeError, match=r'epsilon .* int32'):
    wrap(penalty)(x, x, jnp.zeros(4, int))


@WRAP
@pytest.mark.parametrize(
  'penalty',
  [functools.partial(gradient_penalty, epsilon=jnp.zeros(4)), dragan_penalty],
)
@pytest.mark.parametrize('target', [-1.0, float('nan'), float('inf')])
def test_bad_targets_fail_while_tracing(wrap, penalty, target):
  penalty = functools.partial(penalty, quadratic(1.0), target=target)
  x = jnp.zeros((4, 2))
  with pytest.raises(ValueError, match=rf'target .* {target}'):
    wrap(penalty)(x, x)


def test_lecam_in_float64():
  rng = np.random.default_rng(0)
  real, fake = rng.normal(scale=3.0, size=(2, 50)).astype('float32')
  for a, b in ((0.5, -0.25), (-1.0, 2.0), (0.0, 0.0)):
    want = (
      np.maximum(real.astype('float64') - b, 0) ** 2
      + np.maximum(a - fake.astype('float64'), 0) ** 2
    )
    np.testing.assert_allclose(
      lecam_penalty(real, fake, a, b), want, rtol=1e-6, atol=1e-7
    )


def test_lecam_pulls_logits_to_the_others_average_only():
  """The gradient is 2 (D - anchor) where a logit exceeds the anchor, else 0."""

  def total(real, fake):
    return lecam_penalty(real, fake, 1.0, -1.0).sum()

  real, fake = jnp.array([2.0, -3.0, -1.0]), jnp.array([-2.0, 3.0, 1.0])
  on_real, on_fake = jax.grad(total, argnums=(0, 1))(real, fake)
  np.testing.assert_allclose(on_real, [6.0, 0.0, 0.0])
  np.testing.assert_allclose(on_fake, [-6.0, 0.0, 0.0])
  check_grads(total, (real[:2], fake[:2]), order=2, eps=1e-2, rtol=1e-2)


@WRAP
def test_lecam_refuses(wrap):
  x = jnp.zeros(3)
  penalty = wrap(lambda *args: lecam_penalty(*args))
  with pytest.raises(ValueError, match='same shape'):
    penalty(x, jnp.zeros((3, 1)), 0.0, 0.0)
  with pytest.raises(TypeError, match='real_logits must be floating'):
    penalty(jnp.zeros(3, int), x, 0.0, 0.0)
  with pytest.raises(ValueError, match='real_average must be a scalar'):
    penalty(x, x, jnp.zeros(3), 0.0)
  assert lecam_penalty(x.astype('bfloat16'), x, 0.0, 0.0).dtype == 'float32'
  half = x.astype('bfloat16')
  assert lecam_penalty(half, half, 0.0, 0.0).dtype == 'bfloat16'
