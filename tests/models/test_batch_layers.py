import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax import penalties
from gan_jax.models.batch_layers import (
  MinibatchDiscrimination,
  VirtualBatchNorm,
)
from tests.models.keys import KEY

DTYPES = pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
WRAP = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])


def normal(*shape, seed=0, dtype='float32'):
  x = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(x, dtype)


# Under jit: eagerly, each operation would be compiled separately.
@functools.partial(jax.jit, static_argnames='axis_name')
def discriminate(kernel, x, axis_name=None):
  layer = MinibatchDiscrimination(*kernel.shape[1:], axis_name)
  return layer.apply({'params': {'kernel': kernel}}, x)


@functools.partial(jax.jit, static_argnames='epsilon')
def normalise(x, reference, scale=1.0, bias=0.0, epsilon=1e-5):
  shape, dtype = x.shape[-1:], jnp.promote_types(x.dtype, 'float32')
  params = {
    'scale': jnp.broadcast_to(jnp.asarray(scale, dtype), shape),
    'bias': jnp.broadcast_to(jnp.asarray(bias, dtype), shape),
  }
  layer = VirtualBatchNorm(epsilon)
  return layer.apply({'params': params}, x, reference)


def test_discrimination_by_hand():
  kernel = jnp.array([[[1.0, 2.0], [0.0, 1.0]]])  # M_1 = (f, 2f), M_2 = (0, f)
  x = jnp.array([[0.0], [1.0], [-0.5]])
  one, two = np.exp(-3.0 * np.array([1.0, 0.5, 1.5])), np.exp([-1, -0.5, -1.5])
  expected = [
    [0.0, 1 + one[0] + one[1], 1 + two[0] + two[1]],
    [1.0, 1 + one[0] + one[2], 1 + two[0] + two[2]],
    [-0.5, 1 + one[1] + one[2], 1 + two[1] + two[2]],
  ]
  assert_allclose(discriminate(kernel, x), expected, rtol=1e-6)


def test_discrimination_matches_numpy_in_float64():
  with jax.enable_x64(True):
    x = normal(5, 4, dtype='float64')
    kernel = normal(4, 3, 2, seed=1, dtype='float64')
    out = discriminate(kernel, x)
  rows = np.einsum('if,fbc->ibc', x, kernel)
  expected = np.zeros((5, 3))
  for i, j in np.ndindex(5, 5):
    expected[i] += np.exp(-np.linalg.norm(rows[i] - rows[j], ord=1, axis=-1))
  assert_allclose(out, np.hstack([x, expected]), rtol=1e-13)


def test_discrimination_of_equal_and_of_distant_rows():
  kernel = normal(4, 3, 2)
  same = jnp.tile(normal(1, 4, seed=1), (6, 1))
  assert_array_equal(discriminate(kernel, same)[:, 4:], np.full((6, 3), 6.0))
  distant = 1e4 * normal(6, 4)
  assert_array_equal(discriminate(kernel, distant)[:, 4:], np.ones((6, 3)))


def test_discrimination_follows_the_order_of_the_rows():
  kernel, x = normal(4, 3, 2), normal(6, 4, seed=1)
  order = np.random.default_rng(2).permutation(6)
  assert_allclose(
    discriminate(kernel, x[order]), discriminate(kernel, x)[order], rtol=1e-6
  )


def test_discrimination_knows_distances_only():
  kernel, x = normal(4, 3, 2), normal(6, 4, seed=1)
  closeness = discriminate(kernel, x)[:, 4:]
  assert_allclose(discriminate(kernel, x + 1.0)[:, 4:], closeness, rtol=1e-5)


def test_discrimination_gradient_is_finite_difference():
  with jax.enable_x64(True):
    arguments = (
      normal(3, 2, 2, dtype='float64'),
      normal(4, 3, seed=1, dtype='float64'),
    )
    check_grads(
      discriminate, arguments, 1, 'rev', eps=1e-6, atol=1e-8, rtol=1e-8
    )  # central differences: errors of about 1e-10 here


def test_discrimination_gradient_of_equal_rows_is_zero():
  gradient = jax.grad(lambda x: discriminate(normal(3, 2, 2), x)[:, 3:].sum())
  assert_array_equal(gradient(jnp.ones((4, 3))), np.zeros((4, 3)))


def test_discrimination_starts_with_rows_as_large_as_the_features():
  layer = MinibatchDiscrimination(30, 20)
  out, variables = layer.init_with_output(KEY, jnp.ones((2, 50)))
  assert out.shape == (2, 80)
  kernel = variables['params'].pop('kernel')
  assert kernel.shape == (50, 30, 20)
  assert not variables['params']
  # From 30,000 weights, the standard deviation is known to 0.4 %.
  assert_allclose(kernel.std() * np.sqrt(50), 1.0, atol=0.02)


def test_discrimination_can_be_initialised_without_the_axis():
  x = normal(4, 3)
  with_axis = MinibatchDiscrimination(2, 5, 'batch').init(KEY, x)
  without = MinibatchDiscrimination(2, 5).init(KEY, x)
  jax.tree.map(assert_array_equal, with_axis, without)


@DTYPES
def test_discrimination_keeps_the_dtype(dtype):
  with jax.enable_x64(True):
    x = normal(4, 3, dtype=dtype)
    kernel = normal(3, 2, 2, seed=1)
    out = discriminate(kernel, x)
    gradient = jax.grad(lambda x: discriminate(kernel, x).sum())(x)
    assert out.dtype == gradient.dtype == dtype


def test_discrimination_of_bfloat16_is_computed_in_float32():
  x, kernel = normal(6, 5, dtype='bfloat16'), normal(5, 3, 2, seed=1) / 4
  wide = discriminate(kernel, x.astype('float32'))
  assert_array_equal(discriminate(kernel, x), wide.astype('bfloat16'))


def test_discrimination_under_jit_and_vmap():
  kernel, x = normal(4, 3, 2), normal(2, 6, 4, seed=1)
  expected = jnp.stack([discriminate(kernel, batch) for batch in x])
  mapped = jax.jit(jax.vmap(discriminate, in_axes=(None, 0)))(kernel, x)
  assert_allclose(mapped, expected, rtol=1e-6)


@WRAP
@pytest.mark.parametrize(
  ('x', 'error', 'message'),
  [
    (np.zeros((2, 3), 'i'), TypeError, 'features must be floating'),
    (np.zeros((0, 3), 'f'), ValueError, 'features must not be empty'),
    (np.zeros((2, 0), 'f'), ValueError, 'features must not be empty'),
    (np.zeros(3, 'f'), ValueError, r'features must be \[B, F\]'),
    (np.zeros((2, 3, 1), 'f'), ValueError, r'features must be \[B, F\]'),
  ],
)
def test_bad_features_fail_while_tracing(wrap, x, error, message):
  with pytest.raises(error, match=message):
    wrap(functools.partial(discriminate, normal(3, 2, 2)))(x)


@pytest.mark.parametrize('counts', [(0, 3), (3, 0)])
def test_no_kernel_fails(counts):
  layer = MinibatchDiscrimination(*counts)
  with pytest.raises(
    ValueError, match='num_kernels and kernel_dim must be pos'
  ):
    layer.init(KEY, jnp.zeros((2, 3)))


@pytest.mark.parametrize('how', ['pmap', 'unchecked', 'checked'])
def test_discrimination_on_two_devices_matches_one(how):
  kernel, x = normal(4, 3, 2), normal(6, 4, seed=1)
  weight = normal(7, seed=2)

  def loss(kernel, x, axis_name=None):
    out = discriminate(kernel, jnp.tanh(x), axis_name)
    return jnp.square(out @ weight).mean(), out

  def replica(kernel, x):
    if how == 'checked':
      kernel = jax.lax.pcast(kernel, 'batch', to='varying')
    gradient, out = jax.grad(loss, has_aux=True)(kernel, x, 'batch')
    return out, jax.lax.pmean(gradient, 'batch')

  gradient, out = jax.grad(loss, has_aux=True)(kernel, x)
  devices = jax.devices()[:2]
  if how == 'pmap':
    split = jax.pmap(
      replica, axis_name='batch', in_axes=(None, 0), devices=devices
    )
    halves, gradients = split(kernel, x.reshape(2, 3, 4))
    assert_array_equal(gradients[0], gradients[1])
    out_2, gradient_2 = halves.reshape(6, 7), gradients[0]
  else:
    mesh = jax.make_mesh((2,), ('batch',), axis_types=(AxisType.Auto,))
    split = jax.shard_map(
      replica,
      mesh=mesh,
      in_specs=(P(), P('batch')),
      out_specs=(P('batch'), P()),
      check_vma=how == 'checked',
    )
    out_2, gradient_2 = jax.jit(split)(kernel, x)
  assert_allclose(out_2, out, rtol=1e-6)
  assert_allclose(gradient_2, gradient, rtol=1e-5, atol=1e-6)


def test_virtual_batch_norm_by_hand():
  # R = 3, mean 1, mean square 5/3: with x = 5, mean 2, mean square 7.5.
  reference = jnp.array([[0.0], [1.0], [2.0]])
  y, z = normalise(jnp.array([[5.0], [1.0]]), reference, 2.0, 0.5, epsilon=0.25)
  # x = 1 is the reference's mean: mean 1, mean square 1.5.
  expected = [[0.5 + 2 * 3 / np.sqrt(3.5 + 0.25)], [0.5]]
  assert_allclose(y, expected, rtol=1e-6)
  third = 2 / np.sqrt(2 / 3 + 0.25)
  assert_allclose(z, [[0.5 - third], [0.5], [0.5 + third]], rtol=1e-6)


@pytest.mark.parametrize('space', [(), (3,), (2, 3)])
def test_virtual_batch_norm_is_the_batch_norm_of_the_reference_and_the_row(
  space,
):
  """An example weighs as much as one of the reference batch."""
  with jax.enable_x64(True):
    x = 3 + 2 * normal(4, *space, 5, dtype='float64')
    reference = normal(6, *space, 5, seed=1, dtype='float64')
    scale, bias = normal(2, 5, seed=2, dtype='float64')
    y, z = normalise(x, reference, scale, bias)
  x, reference, scale, bias = map(np.asarray, (x, reference, scale, bias))
  for i in range(4):
    both = np.concatenate([reference, x[i : i + 1]])
    axes = tuple(range(both.ndim - 1))
    row = (x[i] - both.mean(axes)) / np.sqrt(both.var(axes) + 1e-5)
    assert_allclose(y[i], scale * row + bias, rtol=1e-12)
  axes = tuple(range(z.ndim - 1))
  own = (reference - reference.mean(axes)) / np.sqrt(reference.var(axes) + 1e-5)
  assert_allclose(z, scale * own + bias, rtol=1e-12, atol=1e-13)


def test_a_row_depends_on_itself_and_the_reference_only():
  reference, rows = normal(6, 2, 2, 3), normal(4, 2, 2, 3, seed=1)
  others = rows.at[1:].multiply(5.0)
  alone, z = normalise(rows[:1], reference)
  for batch in (rows, others):
    y, z_beside = normalise(batch, reference)
    assert_allclose(y[:1], alone, rtol=1e-6, atol=1e-7)
    assert_array_equal(z_beside, z)
  norm = nn.BatchNorm(use_running_average=False)
  y, variables = norm.init_with_output(KEY, rows)
  y_others, _ = norm.apply(variables, others, mutable='batch_stats')
  assert abs(y - y_others)[0].max() > 0.1


def test_virtual_batch_norm_may_stand_under_a_gradient_penalty():
  reference, rows, weight = normal(6, 3), normal(4, 3, seed=1), normal(3)

  def d_fn(x):
    return jnp.tanh(normalise(x, reference)[0]) @ weight

  penalty = jax.jit(functools.partial(penalties.r1_penalty, d_fn))
  together = penalty(rows)
  alone = [penalty(row[None])[0] for row in rows]
  assert_allclose(together, alone, rtol=1e-6)


def test_virtual_batch_norm_of_a_large_mean():
  """The mean squares retain no digit of the variance here."""
  x, reference = normal(4, 3), normal(6, 3, seed=1)
  expected = normalise(x, reference)
  # In float32, 1e4 + x is x to within 5e-4.
  for out, exact in zip(
    normalise(x + 1e4, reference + 1e4), expected, strict=True
  ):
    assert_allclose(out, exact, atol=4e-3)


def test_virtual_batch_norm_of_constants_is_finite():
  ones = jnp.ones((2, 3))
  y, vjp = jax.vjp(normalise, ones, ones)
  for x in (*y, *vjp(y)):
    assert_array_equal(x, np.zeros((2, 3)))


def test_virtual_batch_norm_gradient_is_finite_difference():
  with jax.enable_x64(True):
    arguments = (
      normal(2, 2, 3, dtype='float64'),
      normal(4, 2, 3, seed=1, dtype='float64'),
      *normal(2, 3, seed=2, dtype='float64'),
    )
    check_grads(
      normalise, arguments, 1, 'rev', eps=1e-6, atol=1e-8, rtol=1e-8
    )  # central differences: errors of about 1e-10 here


def test_virtual_batch_norm_starts_without_scale_and_shift():
  x, reference = normal(2, 4, 3), normal(5, 4, 3)
  out, variables = VirtualBatchNorm().init_with_output(KEY, x, reference)
  assert set(variables) == {'params'}
  for actual, expected in zip(out, normalise(x, reference), strict=True):
    assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)
  shapes = jax.tree.map(jnp.shape, variables['params'])
  assert shapes == {'scale': (3,), 'bias': (3,)}


@DTYPES
def test_virtual_batch_norm_keeps_the_dtypes(dtype):
  with jax.enable_x64(True):
    x, reference = normal(2, 3, dtype=dtype), normal(4, 3)
    y, z = normalise(x, reference)
    gradient = jax.grad(lambda x: normalise(x, reference)[0].sum())(x)
    assert (y.dtype, z.dtype, gradient.dtype) == (dtype, 'float32', dtype)


def test_virtual_batch_norm_of_bfloat16_is_computed_in_float32():
  narrow = normal(4, 3, dtype='bfloat16'), normal(6, 3, dtype='bfloat16')
  wide = normalise(*(x.astype('float32') for x in narrow))
  for out, exact in zip(normalise(*narrow), wide, strict=True):
    assert_array_equal(out, exact.astype('bfloat16'))


def test_virtual_batch_norm_under_jit_and_vmap():
  x, reference = normal(2, 4, 3), normal(6, 3, seed=1)
  expected = jnp.stack([normalise(batch, reference)[0] for batch in x])
  mapped = jax.jit(jax.vmap(normalise, in_axes=(0, None)))(x, reference)[0]
  assert_allclose(mapped, expected, rtol=1e-6, atol=1e-7)


@WRAP
@pytest.mark.parametrize(
  ('x', 'reference', 'error', 'message'),
  [
    (np.zeros((2, 3), 'i'), np.zeros((2, 3), 'f'), TypeError, 'x must be fl'),
    (np.zeros((2, 3), 'f'), np.zeros((2, 3), 'i'), TypeError, 'reference m'),
    (np.zeros((0, 3), 'f'), np.zeros((2, 3), 'f'), ValueError, 'x must not be'),
    (np.zeros((2, 3), 'f'), np.zeros((0, 3), 'f'), ValueError, 'reference m'),
    (np.zeros((2, 3), 'f'), np.zeros((2, 1), 'f'), ValueError, 'agree in all'),
    (np.zeros((2, 3), 'f'), np.zeros((2, 4, 3), 'f'), ValueError, 'agree in'),
    (np.zeros(3, 'f'), np.zeros(3, 'f'), ValueError, r'must be \[B, ..., C\]'),
  ],
)  # fmt: skip
def test_bad_inputs_fail_while_tracing(wrap, x, reference, error, message):
  with pytest.raises(error, match=message):
    wrap(VirtualBatchNorm().init)(KEY, x, reference)
