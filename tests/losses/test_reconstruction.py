import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.losses import l1_loss


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
