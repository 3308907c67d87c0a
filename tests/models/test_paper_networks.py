"""Parameter counts of the papers' networks, by hand, and their errors."""

import itertools

import jax
import jax.numpy as jnp
import pytest
from numpy.testing import assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.models.r3gan import R3GANDiscriminator, R3GANGenerator
from gan_jax.models.sngan import ResNetDiscriminator, ResNetImageGenerator


def num_params(module, *inputs):
  shapes = jax.eval_shape(
    lambda: module.init(jax.random.key(0), *inputs, train=False)
  )['params']
  return sum(x.size for x in jax.tree.leaves(shapes))


def image(size, channels=3):
  return jnp.zeros((1, size, size, channels))


def conv(size, before, after):
  """Counts the parameters of a convolution with a bias."""
  return size * size * before * after + after


def test_sngans_generator_at_32_pixels():
  w = 256
  block = 2 * 2 * w + 2 * conv(3, w, w) + conv(1, w, w)
  want = 128 * 16 * w + 16 * w + 3 * block + 2 * w + conv(3, w, 3)
  module = ResNetImageGenerator((32, 32, 3), w)
  assert num_params(module, jnp.zeros((1, 128))) == want


def test_sngans_discriminator_at_32_pixels():
  w = 128
  first = conv(3, 3, w) + conv(3, w, w) + conv(1, 3, w)
  halving = 2 * conv(3, w, w) + conv(1, w, w)
  want = first + halving + 2 * 2 * conv(3, w, w) + w + 1
  assert num_params(ResNetDiscriminator(w), image(32)) == want


def test_sngans_networks_at_64_pixels():
  w = 64
  widths = [16 * w, 8 * w, 4 * w, 2 * w, w]
  want = 128 * 16 * 16 * w + 16 * 16 * w
  for a, b in itertools.pairwise(widths):
    want += 2 * a + 2 * b + conv(3, a, b) + conv(3, b, b) + conv(1, a, b)
  want += 2 * w + conv(3, w, 3)
  module = ResNetImageGenerator((64, 64, 3), w)
  assert num_params(module, jnp.zeros((1, 128))) == want
  want = conv(3, 3, w) + conv(3, w, w) + conv(1, 3, w)
  for a, b in itertools.pairwise(widths[::-1]):
    want += conv(3, a, a) + conv(3, a, b) + conv(1, a, b)
  want += 16 * w + 1
  assert num_params(ResNetDiscriminator(w), image(64)) == want


def test_r3gans_networks():
  """Three stages for 16x16 pixels have 8, 16 and 16 channels."""

  def block(c):
    return c * 2 * c + 9 * 4 * 2 * c + 2 * c * c + 2 * 2 * c

  blocks = block(8) + 2 * block(16) + block(16)
  g = R3GANGenerator((16, 16, 3), (16, 16, 8), (1, 2, 1), group_width=4)
  want = 16 * 16 + 5 * 16 + 16 * 8 + blocks + 8 * 3
  assert num_params(g, jnp.zeros((1, 5))) == want
  d = R3GANDiscriminator((8, 16, 16), (1, 2, 1), group_width=4)
  want = 3 * 8 + 8 * 16 + blocks + 16 * 16 + 16
  assert num_params(d, image(16)) == want


@pytest.mark.systems
def test_r3gans_residual_blocks_start_as_nothing():
  """Hence G is initially linear in z, and D in the image."""
  g = R3GANGenerator((8, 8, 1), (8, 8), (2, 2), group_width=4)
  z = jax.random.normal(jax.random.key(0), (3, 5))
  variables = g.init(jax.random.key(1), z, train=False)
  total = g.apply(variables, z[:1] + 2 * z[1:2], train=False)
  first, second = (g.apply(variables, x, train=False) for x in (z[:1], z[1:2]))
  assert abs(total - first - 2 * second).max() < 1e-5
  projections = [
    variables['params'][f'stage{s}_block{i}']['project']['kernel']
    for s in (0, 1)
    for i in (0, 1)
  ]
  for kernel in projections:
    assert_array_equal(kernel, 0.0)


def test_r3gans_initial_deviations():
  """They are 1 / sqrt(fan-in), in a block times sqrt(2 / 1.04) L^(-1/4)."""
  d = R3GANDiscriminator((64, 64), (2, 1), group_width=16)
  params = d.init(jax.random.key(0), image(8), train=False)['params']
  gain = (2 / 1.04) ** 0.5 * 3**-0.25
  block = params['stage0_block1']
  for kernel, want in (
    (block['expand']['kernel'], gain / 64**0.5),
    (block['kernel'], gain / (9 * 16) ** 0.5),
    (params['basis'], 1 / 4),
    (params['logit']['kernel'], 1 / 64**0.5),
  ):
    spread = 5 * want / (2 * kernel.size) ** 0.5
    assert abs(kernel.std() - want) < spread


@pytest.mark.parametrize(
  ('module', 'inputs', 'message'),
  [
    (ResNetDiscriminator(4), image(28), 'discriminator resnet takes images of'),
    (
      ResNetImageGenerator((48, 48, 3), 4),
      jnp.zeros((1, 5)),
      'generator resnet takes images of 32x32 or 64x64 pixels, not 48x48',
    ),
    (
      R3GANDiscriminator((8, 8), (1, 1)),
      image(16),
      r"discriminator's 2 stages are for images of 8x8 pixels, not 16x16",
    ),
    (R3GANDiscriminator((8, 8), (1,)), image(8), 'has 2 widths and 1 blocks'),
    (
      R3GANGenerator((8, 8, 1), (8, 12), (1, 1)),
      jnp.zeros((1, 5)),
      '24 channels of a residual block are not a multiple of group_width = 16',
    ),
  ],
)
def test_sizes_that_do_not_fit(module, inputs, message):
  with pytest.raises(InputError, match=message):
    jax.eval_shape(lambda: module.init(jax.random.key(0), inputs, train=False))
