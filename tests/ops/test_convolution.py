import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads

from gan_jax.ops import geometry, lowerings
from gan_jax.ops.convolution import conv, conv_transpose
from tests.tiers import in_systems

DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')
# Channels in and out, on both sides of the thresholds between CPU forms.
CHANNELS = [(3, 2), (17, 3), (3, 17), (17, 18)]
PADDINGS = ['SAME', 'VALID', ((1, 2), (0, 3))]


def lax_conv(x, kernel, strides, padding):
  return lax.conv_general_dilated(
    x, kernel, strides, padding, dimension_numbers=DIMENSIONS
  )


def lax_conv_transpose(x, kernel, strides, padding):
  return lax.conv_transpose(
    x, kernel, strides, padding, dimension_numbers=DIMENSIONS
  )


PAIRS = pytest.mark.parametrize(
  ('ours', 'reference'),
  [(conv, lax_conv), (conv_transpose, lax_conv_transpose)],
  ids=['conv', 'conv_transpose'],
)


def arrays(image_size, kernel_size, channels=(3, 4), dtype='float64'):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *image_size, channels[0]))
  kernel = rng.normal(size=(*kernel_size, *channels))
  kernel /= kernel[..., 0].size ** 0.5
  return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


def derivatives(function, strides, padding):
  """Returns value, both gradients, and the gradients of a function of those."""

  def loss(x, kernel):
    return jnp.sin(function(x, kernel, strides, padding)).sum()

  gradients = jax.grad(loss, (0, 1))

  def penalty(x, kernel):
    of_x, of_kernel = gradients(x, kernel)
    return jnp.cos(of_x).sum() + (of_kernel**3).sum()

  return jax.jit(
    lambda x, kernel: (
      function(x, kernel, strides, padding),
      *gradients(x, kernel),
      *jax.grad(penalty, (0, 1))(x, kernel),
    )
  )


def assert_equals(ours, reference, x, kernel, strides, padding, tolerance):
  actual = derivatives(ours, strides, padding)(x, kernel)
  expected = derivatives(reference, strides, padding)(x, kernel)
  for a, e in zip(actual, expected, strict=True):
    assert a.shape == e.shape
    assert a.dtype == e.dtype
    # Errors are relative to the largest element: all are sums of such terms.
    scale = float(jnp.abs(e).max())
    np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * scale)


@PAIRS
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [3, *in_systems(1, 2, 4, 5, 6, 7)])
def test_equals_lax_to_second_order(ours, reference, size, stride):
  with jax.enable_x64(True):
    channels, padding = CHANNELS[(size + stride) % 4], PADDINGS[size % 3]
    x, kernel = arrays((9, 8), (size, size), channels)
    strides = (stride, stride)
    assert_equals(ours, reference, x, kernel, strides, padding, 1e-12)


@PAIRS
@pytest.mark.parametrize(
  ('channels', 'image_size', 'kernel_size', 'strides'),
  [
    ((3, 2), (1, 3), (5, 4), (2, 2)),
    ((17, 18), (5, 6), (3, 4), (2, 1)),  # few pixels
    *in_systems(
      ((17, 3), (7, 5), (3, 3), (1, 1)),
      ((3, 17), (7, 5), (4, 4), (2, 2)),
      ((17, 18), (4, 4), (5, 5), (2, 2)),  # to 2x2
      ((256, 17), (7, 6), (3, 3), (1, 1)),
      ((3, 17), (91, 90), (4, 3), (1, 1)),  # many pixels
      ((17, 18), (10, 9), (3, 4), (2, 1)),
      ((64, 63), (12, 13), (3, 3), (1, 1)),  # minimal filtering
      ((64, 63), (17, 16), (5, 4), (2, 2)),
      ((18, 17), (6, 7), (1, 3), (2, 2)),
      ((3, 17), (6, 7), (1, 1), (2, 2)),
    ),
  ],
)
def test_equals_lax_in_every_form(
  ours, reference, channels, image_size, kernel_size, strides
):
  with jax.enable_x64(True):
    x, kernel = arrays(image_size, kernel_size, channels)
    assert_equals(ours, reference, x, kernel, strides, 'SAME', 1e-12)


@pytest.mark.parametrize('adjoint', [False, True])
@pytest.mark.parametrize(
  ('strides', 'pads'),
  [
    ((2, 1), ((-1, 2), (2, -1))),
    *in_systems(
      ((1, 1), ((1, 1), (1, 2))),  # SAME
      ((2, 2), ((1, 1), (1, 1))),
      ((2, 2), ((2, 1), (0, 3))),
    ),
  ],
)
@pytest.mark.parametrize('form', ['conv', 'conv_transpose', 'kernel_gradient'])
def test_products_of_each_tap_equal_lax(form, pads, strides, adjoint):
  sizes = (3, 4)

  def bound(function):
    return lambda a, b, strides, pads: function(
      a, b, geometry.Geometry(strides, pads, sizes), adjoint
    )

  with jax.enable_x64(True):
    x, b = arrays((7, 6), sizes)
    if form == 'kernel_gradient':
      b = lax_conv(x, b, strides, pads)
    elif adjoint:
      b = b.swapaxes(2, 3)
    taps, plain = (
      bound(getattr(lowerings, f'{prefix}_{form}'))
      for prefix in ('tap', 'default')
    )
    assert_equals(taps, plain, x, b, strides, pads, 1e-12)


@pytest.mark.systems
@PAIRS
@pytest.mark.parametrize('channels', [(3, 17), (17, 18)])
@pytest.mark.parametrize(
  ('dtype', 'tolerance'), [('float32', 3e-6), ('bfloat16', 3e-2)]
)
def test_equals_lax_in_other_precisions(
  ours, reference, channels, dtype, tolerance
):
  x, kernel = arrays((8, 7), (5, 5), channels, dtype)
  assert_equals(ours, reference, x, kernel, (2, 2), 'SAME', tolerance)


@pytest.mark.systems
@PAIRS
def test_gradients_are_those_of_finite_differences(ours, reference):
  del reference
  with jax.enable_x64(True):
    x, kernel = arrays((5, 4), (3, 3), (17, 2))
    check_grads(
      lambda x, kernel: ours(x, kernel, (2, 2), 'SAME'),
      (x, kernel),
      order=2,
      modes=['rev'],
    )


@PAIRS
@pytest.mark.parametrize(
  'channels', [(3, 4), pytest.param((16, 17), marks=pytest.mark.systems)]
)
def test_vmap_over_images_and_kernels(ours, reference, channels):
  def run(function, xs, kernels):
    mapped = jax.vmap(lambda x, k: function(x, k, (2, 2), 'SAME'))
    value = mapped(xs, kernels)
    loss = lambda kernels: jnp.sin(mapped(xs, kernels)).sum()  # noqa: E731
    return value, jax.grad(loss)(kernels)

  with jax.enable_x64(True):
    x, kernel = arrays((4, 4), (3, 3), channels)
    stacks = jnp.stack([x, 2 * x]), jnp.stack([kernel, kernel + 1])
    for a, e in zip(run(ours, *stacks), run(reference, *stacks), strict=True):
      np.testing.assert_allclose(a, e, rtol=1e-12, atol=1e-11)


@PAIRS
@pytest.mark.parametrize(
  ('channels', 'stride'),
  [((3, 17), 2), *in_systems(((3, 17), 1), ((17, 3), 2))],
)
def test_no_input_is_dilated_on_the_cpu(ours, reference, channels, stride):
  x, kernel = arrays((8, 8), (5, 5), channels, 'float32')

  def program(function):
    run = derivatives(function, (stride, stride), 'SAME')
    return run.lower(x, kernel).compile().as_text()

  dilated = re.compile('lhs_dilate=|base-dilated')
  assert not dilated.search(program(ours))
  if stride > 1:
    assert dilated.search(program(reference))


def batched_products(function, stride, size, channels):
  """Returns the contracted axes of the CPU's batched products; the program."""
  x, kernel = arrays(size, (3, 3), channels, 'float32')

  def loss(x, kernel):
    return jnp.sin(function(x, kernel, (stride, stride))).sum()

  text = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(x, kernel).as_text()
  pattern = r'batching_dims = \[0\] x \[0\], contracting_dims = ([^,]*),'
  return re.findall(pattern, text), text


@PAIRS
@pytest.mark.parametrize('stride', [1, 2])
def test_few_pixels_take_the_kernel_as_it_lies(ours, reference, stride):
  del reference
  sums, text = batched_products(ours, stride, (2, 2), (16, 40))
  # The value and the two gradients contract the kernel's axis 1, 2, and none.
  assert sorted(sums) == ['[1] x [1]', '[2] x [1]', '[2] x [2]']
  assert 'stablehlo.convolution' not in text
  moved = re.findall(r'stablehlo\.(?:transpose|reverse) .*', text)
  assert moved
  assert not [line for line in moved if re.search('x16x40x|x40x16x', line)]


@PAIRS
@pytest.mark.parametrize(
  ('size', 'channels', 'count'),
  [
    ((8, 4), (16, 17), 3),  # twice 32 pixels
    ((8, 4), (17, 16), 3),
    ((11, 3), (16, 17), 0),
    ((8, 4), (15, 17), 0),
    ((8, 4), (17, 15), 0),
  ],
)
def test_few_pixels_and_many_channels(ours, reference, size, channels, count):
  del reference
  sums, _ = batched_products(ours, 1, size, channels)
  assert len(sums) == count


@PAIRS
def test_few_pixels_are_those_of_the_smaller_map(ours, reference):
  del reference
  size = (16, 8) if ours is conv else (8, 4)
  sums, _ = batched_products(ours, 2, size, (16, 17))
  assert len(sums) == 3


def convolutions(function, x, kernel, platform):
  """Returns a lowered program's convolutions, without the values' names."""
  lowered = (
    jax.jit(function).trace(x, kernel).lower(lowering_platforms=(platform,))
  )
  lines = re.findall(r'stablehlo\.convolution\(.*', lowered.as_text())
  return sorted(re.sub(r'%\w+', '', line) for line in lines)


@PAIRS
@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
@pytest.mark.parametrize('stride', [1, 2])
def test_the_forward_pass_is_laxs_elsewhere(ours, reference, platform, stride):
  x, kernel = arrays((4, 4), (5, 5), (17, 4), 'float32')

  def forward(function):
    run = lambda x, k: function(x, k, (stride, stride), 'SAME')  # noqa: E731
    return convolutions(run, x, kernel, platform)

  assert len(forward(reference)) == 1
  assert forward(ours) == forward(reference)


@PAIRS
@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_gradients_are_one_convolution_each_elsewhere(
  ours, reference, platform
):
  x, kernel = arrays((4, 4), (5, 5), (17, 4), 'float32')

  def gradients(function):
    loss = lambda x, k: jnp.sin(function(x, k, (2, 2), 'SAME')).sum()  # noqa: E731
    return convolutions(jax.grad(loss, (0, 1)), x, kernel, platform)

  actual, expected = gradients(ours), gradients(reference)
  assert len(actual) == len(expected) == 3  # the value and two gradients

  def dilations(lines):
    keys = ('stride', 'lhs_dilate', 'rhs_dilate')
    return sorted(
      str([re.findall(rf'{key} = (\[[\d, ]+\])', line) for key in keys])
      for line in lines
    )

  if ours is conv:
    assert dilations(actual) == dilations(expected)
  else:  # for the kernel, lax dilates the image; we dilate the windows
    once = [line for line in actual if 'lhs_dilate = [2, 2]' in line]
    assert len(once) == 1


@pytest.mark.parametrize('size', range(1, 8))
@pytest.mark.parametrize('stride', [1, 2, 3])
@pytest.mark.parametrize('low', [0, 1, 4])
def test_every_tap_belongs_to_one_phase(size, stride, low):
  phases = geometry.phases(size, stride, low)
  assert sorted(tap for phase in phases for tap, _ in phase) == list(
    range(size)
  )
  for phase, pairs in enumerate(phases):
    for tap, shift in pairs:
      assert stride * shift == phase + tap - low


@PAIRS
@pytest.mark.parametrize(
  'shape',
  [
    (0, 12, 12, 64),
    *(
      pytest.param(shape, marks=pytest.mark.systems)
      for shape in [(2, 2, 2, 64), (2, 2, 2, 3), (2, 1, 2, 256)]
    ),
  ],
)
def test_nothing_to_make_is_as_in_lax(ours, reference, shape):
  x, kernel = jnp.ones(shape), jnp.ones((3, 3, shape[3], 64))
  value = reference(x, kernel, (1, 1), 'VALID')
  assert ours(x, kernel, (1, 1), 'VALID').shape == value.shape
  gradient = jax.grad(lambda k: ours(x, k, (1, 1), 'VALID').sum())(kernel)
  expected = jax.grad(lambda k: reference(x, k, (1, 1), 'VALID').sum())(kernel)
  np.testing.assert_allclose(gradient, expected)


@PAIRS
def test_bad_input_is_named(ours, reference):
  del reference
  x, kernel = arrays((4, 4), (3, 3), dtype='float32')
  with pytest.raises(ValueError, match=r'want images .* \(2, 4, 4, 3\)'):
    ours(x, kernel[:, :, :2])
  with pytest.raises(ValueError, match='the kernel is int32'):
    ours(x, kernel.astype('int32'))
  with pytest.raises(ValueError, match=r'strides \(0, 1\)'):
    ours(x, kernel, (0, 1))
  with pytest.raises(ValueError, match="padding 'same'"):
    ours(x, kernel, padding='same')
  with pytest.raises(ValueError, match='a pair for height and for width'):
    ours(x, kernel, padding=((1, 1),))
