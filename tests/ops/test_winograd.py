import functools
import itertools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.ops import filters, lowerings, winograd
from gan_jax.ops.convolution import conv, conv_transpose
from gan_jax.ops.geometry import Geometry
from tests.tiers import in_systems


@pytest.mark.parametrize('taps', [1, 2, 3])
def test_minimal_filters_are_filters(taps):
  rng = np.random.default_rng(taps)
  pixels, kernel = rng.normal(size=4), rng.normal(size=taps)
  outputs = np.zeros(2)
  for product in filters.MINIMAL[taps]:
    value = np.dot(product.pixels, pixels) * np.dot(product.taps, kernel)
    outputs += value * np.array(product.outputs)
  expected = [np.dot(kernel, pixels[i : i + taps]) for i in range(2)]
  assert_allclose(outputs, expected, rtol=1e-13)
  assert len(filters.MINIMAL[taps]) == taps + 1


FAST = [(3, (1, 1)), (5, (2, 2)), (4, (3, 2))]
MORE = itertools.product(range(1, 8), [(1, 1), (2, 2), (1, 2), (3, 2)])


@pytest.mark.parametrize(
  ('size', 'strides'),
  [*FAST, *in_systems(*(case for case in MORE if case not in FAST))],
)
def test_all_three_forms_equal_laxs(size, strides):
  sizes = (size, 8 - size)
  pads = [((0, 0), (0, 0)), ((1, 2), (2, 1)), ((3, 0), (0, 3))][size % 3]
  geometry = Geometry(strides, pads, sizes)
  rng = np.random.default_rng(0)
  with jax.enable_x64(True):
    x = jnp.asarray(rng.normal(size=(2, 9, 8, 3)))
    kernel = jnp.asarray(rng.normal(size=(*sizes, 3, 2)))
    made = lowerings.lax_conv(x, kernel, geometry)
    for ours, plain, a, b in (
      (winograd.conv, lowerings.lax_conv, x, kernel),
      (winograd.conv_transpose, lowerings.lax_conv_transpose, x, kernel),
      (winograd.kernel_gradient, lowerings.lax_kernel_gradient, x, made),
    ):
      expected = plain(a, b, geometry)
      scale = float(jnp.abs(expected).max())
      actual = jax.jit(ours, static_argnums=2)(a, b, geometry)
      assert actual.shape == expected.shape
      assert_allclose(actual, expected, rtol=0, atol=1e-13 * scale)


@pytest.mark.parametrize(('most', 'parts'), [(2, 3), (3, 2), (4, 2), (5, 2)])
def test_many_images_are_worked_on_some_at_a_time(monkeypatch, most, parts):
  """The number at a time is the largest that divides the batch."""
  monkeypatch.setattr(winograd, '_MANY_ROWS', 4 * 4 * most)
  monkeypatch.setattr(winograd, '_CACHE_BYTES', 1)
  rng = np.random.default_rng(0)
  geometry = Geometry((2, 2), ((1, 2), (1, 2)), (5, 5))
  with jax.enable_x64(True):
    x = jnp.asarray(rng.normal(size=(6, 16, 16, 3)))
    kernel = jnp.asarray(rng.normal(size=(5, 5, 3, 2)))
    made = lowerings.lax_conv(x, kernel, geometry)
    small = x[:, ::2, ::2]  # the transposed one's output has 4 x 4 tiles too
    for ours, plain, a, b in (
      (winograd.conv, lowerings.lax_conv, x, kernel),
      (winograd.conv_transpose, lowerings.lax_conv_transpose, small, kernel),
      (winograd.kernel_gradient, lowerings.lax_kernel_gradient, x, made),
    ):
      jitted = jax.jit(functools.partial(ours, geometry=geometry))  # not cached
      assert f'tensor<{parts}x{6 // parts}x' in jitted.lower(a, b).as_text()
      expected = plain(a, b, geometry)
      scale = float(jnp.abs(expected).max())
      assert_allclose(jitted(a, b), expected, rtol=0, atol=1e-13 * scale)


def assert_close(actual, expected, tolerance):
  for a, e in zip(actual, expected, strict=True):
    assert a.dtype == e.dtype
    scale = float(jnp.abs(e).max())
    assert_allclose(
      a.astype('float32'), e.astype('float32'), rtol=0, atol=tolerance * scale
    )


@pytest.mark.systems
@pytest.mark.parametrize(
  ('dtype', 'tolerance'), [('float32', 3e-6), ('bfloat16', 1e-2)]
)
@pytest.mark.parametrize(
  ('size', 'stride', 'channels'), [(3, 1, 64), (5, 2, 32), (4, 2, 96)]
)
def test_rounds_as_the_plain_forms_do(size, stride, channels, dtype, tolerance):
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(2, 16, 16, channels)), dtype)
  kernel = rng.normal(size=(size, size, channels, 80))
  kernel = jnp.asarray(kernel / kernel[..., 0].size ** 0.5, dtype)
  pads = ((size // 2, (size - 1) // 2),) * 2
  geometry = Geometry((stride, stride), pads, (size, size))
  made = lowerings.lax_conv(x, kernel, geometry)
  ours = (
    winograd.conv(x, kernel, geometry),
    winograd.conv_transpose(x, kernel, geometry),
    winograd.kernel_gradient(x, made, geometry),
  )
  plain = (
    made,
    lowerings.lax_conv_transpose(x, kernel, geometry),
    lowerings.lax_kernel_gradient(x, made, geometry),
  )
  assert_close(ours, plain, tolerance)


def products(function, *args):
  """Counts the CPU program's minimal-filtering products and convolutions.

  Minimal filtering has products with two batch axes.
  """
  text = jax.jit(function).lower(*args).as_text()
  count = text.count('stablehlo.dot_general')
  for shape in re.findall(
    r'stablehlo.dot_general.*batching_dims = \[0, 1\].*-> tensor<(\d+)x(\d+)x',
    text,
  ):
    count += math.prod(map(int, shape)) - 1
  return count, text.count('stablehlo.convolution')


@pytest.mark.parametrize(
  ('function', 'size', 'stride', 'count'),
  [
    (conv, 3, 1, 16),
    (conv, 5, 2, 16),  # 49, with those for the same outputs joined
    (conv, 3, 2, 16),
    (conv_transpose, 3, 1, 16),
    (conv_transpose, 5, 2, 16),
    (conv_transpose, 3, 2, 25),
  ],
)
def test_chosen_where_channels_and_pixels_are_many(
  function, size, stride, count
):
  many = jnp.zeros((4, 32, 32, 96)), jnp.zeros((size, size, 96, 96))
  strided = lambda x, k: function(x, k, (stride, stride))  # noqa: E731
  assert products(strided, *many) == (count, 0)
  few_channels = many[0][..., :16], many[1][:, :, :16]
  assert products(strided, *few_channels) in ((0, 1), (1, 0))
  few_pixels = many[0][:1, :2, :2], many[1]
  assert products(strided, *few_pixels) in ((0, 1), (1, 0))


def test_a_kernel_gradient_that_is_not_a_number_shows():
  x, made = jnp.ones((1, 8, 8, 64)), jnp.ones((1, 8, 8, 64))
  geometry = Geometry((1, 1), ((1, 1), (1, 1)), (3, 3))
  gradient = jax.jit(lambda x, y: winograd.kernel_gradient(x, y, geometry))
  for place in ((0, 0, 0, 0), (0, 5, 5, 7)):
    bad = made.at[place].set(jnp.nan)
    assert jnp.isnan(gradient(x, bad)).any()
  assert jnp.isfinite(gradient(x, made)).all()
