import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gan_jax.ops import convolution
from gan_jax.ops.convolution import conv_transpose

KERNELS_AND_STRIDES = pytest.mark.parametrize(
  ('size', 'stride'),
  [(k, s) for k in range(2, 8) for s in range(1, 4) if s <= k],
)


def reference(x, kernel, stride):
  return lax.conv_transpose(
    x,
    kernel,
    (stride, stride),
    'SAME',
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def arrays(image_size, kernel_size, dtype='float64'):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *image_size, 3))
  kernel = rng.normal(size=(*kernel_size, 3, 4))
  return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


def assert_close(actual, expected):
  """To 1e-12 of the largest element: sums of hundreds of terms of that size."""
  assert actual.shape == expected.shape
  scale = np.abs(expected).max()
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * scale)


def value_and_gradients(f, stride, x, kernel):
  @jax.jit
  def run(x, kernel):
    y, vjp = jax.vjp(lambda x, kernel: f(x, kernel, stride), x, kernel)
    cotangent = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    return y, *vjp(cotangent)

  return run(x, kernel)


def assert_equals_lax(image_size, kernel_size, stride):
  with jax.enable_x64(True):
    x, kernel = arrays(image_size, kernel_size)
    actual = value_and_gradients(conv_transpose, stride, x, kernel)
    expected = value_and_gradients(reference, stride, x, kernel)
  assert actual[0].shape == (2, *(stride * n for n in image_size), 4)
  for a, e in zip(actual, expected, strict=True):
    assert_close(a, e)


@KERNELS_AND_STRIDES
def test_equals_lax_in_value_and_gradients(size, stride):
  assert_equals_lax((5, 4), (size, size), stride)


@pytest.mark.parametrize(
  ('image_size', 'kernel_size'), [((1, 3), (5, 5)), ((3, 5), (3, 6))]
)
def test_equals_lax_for_odd_shapes(image_size, kernel_size):
  assert_equals_lax(image_size, kernel_size, 2)


@pytest.mark.parametrize(('size', 'stride'), [(3, 1), (4, 2), (5, 2), (4, 3)])
def test_equals_flax(size, stride):
  with jax.enable_x64(True):
    x, kernel = arrays((5, 3), (size, size))
    layer = nn.ConvTranspose(
      4, (size, size), (stride, stride), use_bias=False, param_dtype='float64'
    )
    expected = layer.apply({'params': {'kernel': kernel}}, x)
    assert_close(conv_transpose(x, kernel, stride), expected)


@pytest.mark.parametrize(
  ('function', 'dilated'),
  [(conv_transpose, False), (reference, True)],
  ids=['conv_transpose', 'reference'],
)
def test_cpu_program_dilates_no_input(function, dilated):
  x, kernel = arrays((8, 8), (5, 5), 'float32')
  compiled = jax.jit(function, static_argnums=2).lower(x, kernel, 2).compile()
  program = compiled.as_text()
  assert ' convolution(' in program
  assert ('lhs_dilate=' in program) == dilated


@pytest.mark.parametrize(
  ('platform', 'convolutions', 'dilation'),
  [('cuda', 1, '[2, 2]'), ('tpu', 1, '[2, 2]'), ('cpu', 4, '[1, 1]')],
)
def test_lowering_is_the_platforms(platform, convolutions, dilation):
  x, kernel = arrays((4, 4), (5, 5), 'float32')
  traced = jax.jit(conv_transpose, static_argnums=2).trace(x, kernel, 2)
  program = traced.lower(lowering_platforms=(platform,)).as_text()
  lines = [li for li in program.splitlines() if 'stablehlo.convolution' in li]
  assert len(lines) == convolutions
  assert all(f'lhs_dilate = {dilation}' in line for line in lines)


@KERNELS_AND_STRIDES
def test_every_tap_belongs_to_one_phase(size, stride):
  taps = [
    tap
    for phase_taps, _ in convolution._phases(size, stride)
    for tap in range(size)[phase_taps]
  ]
  assert sorted(taps) == list(range(size))
