import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.losses import cycle_consistency_loss, identity_loss, l1_loss
from tests.losses import replicas

TWO_DOMAINS = pytest.mark.parametrize(
  'loss', [cycle_consistency_loss, identity_loss]
)


def images(*shape, seed=0, dtype='float32'):
  x = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(x, dtype)


def test_by_hand():
  output = jnp.array([[1.0, -1.0, 0.25], [0.0, 1.0, -0.5]])
  target = jnp.array([[0.5, 1.0, 0.25], [0.0, -1.0, 0.75]])
  assert_array_equal(l1_loss(output, target), [[0.5, 2, 0], [0, 2, 1.25]])


def test_matches_numpy_in_float64():
  with jax.enable_x64(True):
    output = images(2, 4, 3, 1, dtype='float64')
    target = images(2, 4, 3, 1, seed=1, dtype='float64')
    loss = l1_loss(output, target)
  expected = np.maximum(output, target) - np.minimum(output, target)
  assert_allclose(loss, expected, rtol=1e-15)


def test_the_gradient_is_the_side_on_which_the_output_lies():
  output, target = jnp.array([3.0, -2.0, 0.5]), jnp.array([1.0, -1.9, -0.5])
  of_output, of_target = jax.grad(
    lambda *pair: l1_loss(*pair).sum(), argnums=(0, 1)
  )(output, target)
  assert_array_equal(of_output, [1, -1, 1])
  assert_array_equal(of_target, [-1, 1, -1])


def test_extreme_pixels_are_finite():
  value, gradient = jax.value_and_grad(l1_loss)(
    jnp.float32(3e38), jnp.float32(-3e37)
  )
  assert_allclose(value, 3.3e38, rtol=1e-6)
  assert gradient == 1


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_dtype_is_kept(dtype):
  with jax.enable_x64(True):
    output = images(2, 3, dtype=dtype)
    target = images(2, 3, seed=1, dtype=dtype)
    value = l1_loss(output, target)
    gradient = jax.grad(lambda x: l1_loss(x, target).sum())(output)
    assert value.dtype == gradient.dtype == dtype


def test_bfloat16_is_computed_in_float32():
  output = images(8, 3, dtype='bfloat16')
  target = images(8, 3, seed=1, dtype='bfloat16')
  wide = l1_loss(output.astype('float32'), target.astype('float32'))
  assert_array_equal(l1_loss(output, target), wide.astype('bfloat16'))
  (difference,) = (
    equation
    for equation in jax.make_jaxpr(l1_loss)(output, target).eqns
    if equation.primitive.name == 'sub'
  )
  assert difference.outvars[0].aval.dtype == 'float32'


def test_jit_and_vmap_change_nothing():
  output, target = images(2, 4, 3), images(2, 4, 3, seed=1)
  expected = l1_loss(output, target)
  assert_array_equal(jax.jit(l1_loss)(output, target), expected)
  assert_array_equal(jax.vmap(l1_loss)(output, target), expected)


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])
@pytest.mark.parametrize(
  ('output', 'target', 'error', 'message'),
  [
    (np.zeros((2, 3), 'f'), np.zeros((2, 1), 'f'), ValueError, 'same shape'),
    (np.zeros((2, 1), 'f'), np.zeros(2, 'f'), ValueError, 'same shape'),
    (np.zeros((0, 3), 'f'), np.zeros((0, 3), 'f'), ValueError, 'output must'),
    (np.zeros((2, 3), 'i'), np.zeros((2, 3), 'f'), TypeError, 'output must be'),
    (np.zeros((2, 3), 'f'), np.zeros((2, 3), 'B'), TypeError, 'target must be'),
  ],
)
def test_bad_images_fail_while_tracing(wrap, output, target, error, message):
  with pytest.raises(error, match=message):
    wrap(l1_loss)(output, target)


def two_domains(dtype='float32'):
  """Returns images of two domains of different sizes, each with a variant."""
  return (
    images(4, 3, 2, dtype=dtype),
    images(4, 3, 2, seed=1, dtype=dtype),
    images(2, 5, dtype=dtype),
    images(2, 5, seed=1, dtype=dtype),
  )


@TWO_DOMAINS
def test_two_domains_by_hand(loss):
  a, b = jnp.array([[1.0, -1.0], [0.0, 0.5]]), jnp.array([[0.25]])
  like_a = jnp.array([[0.0, 1.0], [0.0, 1.5]])
  value = loss(a, like_a, b, jnp.array([[1.0]]))
  assert value.shape == ()
  assert value == 1.0 + 0.75
  assert loss(a, a, b, b) == 0.0


@TWO_DOMAINS
def test_two_domains_match_numpy_in_float64(loss):
  with jax.enable_x64(True):
    a, like_a, b, like_b = two_domains('float64')
    value = loss(a, like_a, b, like_b)
  of_a = np.maximum(a, like_a) - np.minimum(a, like_a)
  of_b = np.maximum(b, like_b) - np.minimum(b, like_b)
  assert_allclose(value, np.sum(of_a) / 24 + np.sum(of_b) / 10, rtol=1e-14)


@TWO_DOMAINS
def test_gradient_of_two_domains_is_finite_difference(loss):
  with jax.enable_x64(True):
    check_grads(
      loss, two_domains('float64'), order=1, eps=1e-5, atol=1e-9, rtol=1e-9
    )


@TWO_DOMAINS
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_dtype_of_two_domains_is_kept(loss, dtype):
  with jax.enable_x64(True):
    value, gradients = jax.value_and_grad(loss, (0, 1, 2, 3))(
      *two_domains(dtype)
    )
    assert {x.dtype.name for x in (value, *gradients)} == {dtype}


@TWO_DOMAINS
def test_two_domains_in_bfloat16_are_computed_in_float32(loss):
  narrow = two_domains('bfloat16')
  wide = loss(*(x.astype('float32') for x in narrow))
  assert loss(*narrow) == wide.astype('bfloat16')
  # In bfloat16, whose numbers near 256 are 2 apart, the sum would be 256.
  a, b, zero = (jnp.array([[x]], 'bfloat16') for x in (256.0, 1.5, 0.0))
  assert loss(a, zero, b, zero) == 258.0


@TWO_DOMAINS
def test_jit_and_vmap_do_not_change_two_domains(loss):
  batches = tuple(jnp.stack([x, 2 * x]) for x in two_domains())
  expected = loss(*two_domains())
  values = jax.jit(jax.vmap(loss))(*batches)
  assert_allclose(values, [expected, 2 * expected], rtol=1e-6)


@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])
@pytest.mark.parametrize(
  ('loss', 'names'),
  [
    (cycle_consistency_loss, ('a', 'a2b2a', 'b', 'b2a2b')),
    (identity_loss, ('a', 'a_by_b2a', 'b', 'b_by_a2b')),
  ],
)
@pytest.mark.parametrize('place', range(4))
def test_bad_images_of_two_domains_fail_while_tracing(wrap, loss, names, place):
  good = [np.zeros(shape, 'f') for shape in ((4, 3), (4, 3), (2, 5), (2, 5))]
  other = place ^ 1  # the argument with which it is compared

  def with_bad(image):
    return {
      name: image if i == place else x
      for i, (name, x) in enumerate(zip(names, good, strict=True))
    }

  with pytest.raises(TypeError, match=f'{names[place]} must be floating'):
    wrap(loss)(**with_bad(np.zeros(good[place].shape, 'i')))
  pair = f'{names[max(place, other)]} and {names[min(place, other)]}'
  with pytest.raises(ValueError, match=f'{pair} must have the same shape'):
    wrap(loss)(**with_bad(np.zeros(good[place].shape[:1], 'f')))


@TWO_DOMAINS
@pytest.mark.parametrize('domain', range(2))
def test_empty_images_of_two_domains_are_refused(loss, domain):
  arguments = [np.zeros((2, 3), 'f')] * 4
  arguments[2 * domain : 2 * domain + 2] = [np.zeros((0, 3), 'f')] * 2
  with pytest.raises(ValueError, match='must not be empty'):
    loss(*arguments)


@replicas.MODES
@TWO_DOMAINS
def test_two_domains_on_two_devices_match_one(loss, mode):
  replicas.assert_two_devices_match_one(
    mode,
    lambda weight, a, b, axis_name: loss(
      a, a @ weight, b, jnp.tanh(b @ weight), axis_name=axis_name
    ),
    images(3, 3, seed=2),
    images(6, 3),
    images(2, 4, 3, seed=1),
  )
