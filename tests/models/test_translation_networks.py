"""Options of the translation networks."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.models.layers import kernel_init, upsampled
from gan_jax.models.patch_heads import PatchHeads
from gan_jax.models.patchgan import PatchDiscriminator
from gan_jax.models.resampling import blur_pool, conv_of_doubled, upsample
from gan_jax.models.resnet import ResNetGenerator
from gan_jax.models.unet import UNetGenerator
from tests.models.keys import KEY

HOW = pytest.mark.parametrize('how', ['transposed', 'resize', 'blur'])
RESAMPLINGS = [
  {'upsampling': up, 'downsampling': down}
  for up in ('transposed', 'resize', 'blur')
  for down in ('strided', 'blur')
]


def image(*shape):
  return jnp.asarray(np.random.default_rng(0).normal(size=shape), 'float32')


def shapes(module, size, **options):
  x = jnp.zeros((1, *size, 3))
  return jax.eval_shape(
    lambda: module.init_with_output(KEY, x, train=False, **options)
  )


def count(module, size):
  params = shapes(module, size)[1]['params']
  return sum(x.size for x in jax.tree.leaves(params))


@pytest.mark.parametrize('size', [(6, 8), (5, 8), (7, 3), (2, 1)])
def test_blur_pool_is_the_filter_at_every_other_pixel(size):
  x = np.asarray(image(*size))
  rows = np.pad(x, 1, mode='reflect')
  smooth = sum(
    a * b * rows[i : i + size[0], j : j + size[1]]
    for i, a in enumerate((0.25, 0.5, 0.25))
    for j, b in enumerate((0.25, 0.5, 0.25))
  )
  got = blur_pool(jnp.asarray(x)[None, ..., None])
  assert_allclose(got[0, ..., 0], smooth[::2, ::2], atol=1e-6)


def test_doubling_with_replicated_edges_is_bilinear_interpolation():
  x = image(1, 4, 6, 2)
  want = jax.image.resize(x, (1, 8, 12, 2), 'linear')
  assert_allclose(upsample(x, edges='replicate'), want, atol=1e-6)


def test_a_kernel_on_doubled_images_is_a_convolution_of_these():
  x, kernel = image(2, 5, 4, 3), image(3, 3, 3, 2)
  doubled = x.repeat(2, axis=1).repeat(2, axis=2)
  want = jax.lax.conv_general_dilated(
    doubled, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )
  assert_allclose(conv_of_doubled(x, kernel), want, atol=1e-4)


@HOW
def test_only_transposed_convolutions_draw_a_grid(how):
  """The map is constant; edges are left out."""

  class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
      return upsampled(x, 2, how, 4, 'SAME', name='up')

  out, _ = Net().init_with_output(KEY, jnp.ones((1, 8, 8, 3)))
  inside = out[0, 4:-4, 4:-4]
  assert out.shape == (1, 16, 16, 2)
  if how == 'transposed':
    assert inside.std(axis=(0, 1)).min() > 0.05
  else:
    assert_allclose(inside, inside[:1, :1].repeat(8, 0).repeat(8, 1), atol=1e-5)


def test_the_parameter_counts_of_cuts_authors():
  """Their logs say 11.378 M in G, 0.560 M in the heads, 2.765 M in D."""
  blurs = {'downsampling': 'blur'}
  g = ResNetGenerator(3, 64, 9, upsampling='blur', **blurs)
  assert count(g, (256, 256)) == 11_378_179
  d = PatchDiscriminator(64, normalization='instance', **blurs)
  assert count(d, (256, 256)) == 2_764_737
  assert shapes(d, (256, 256))[0].shape == (1, 30, 30)
  features, _ = shapes(g, (256, 256), layers=(0, 4, 8, 12, 16))
  assert [x.shape[1:] for x in features] == [
    (262, 262, 3), (256, 256, 128), (128, 128, 256), (64, 64, 256),
    (64, 64, 256),
  ]  # fmt: skip
  patches = [jnp.zeros((1, 2, x.shape[-1])) for x in features]
  heads = jax.eval_shape(
    lambda: PatchHeads(256).init_with_output(KEY, *patches, train=False)
  )
  assert [x.shape for x in heads[0]] == [(1, 2, 256)] * 5
  sizes = [x.size for x in jax.tree.leaves(heads[1])]
  assert sum(sizes) == 560_384


@pytest.mark.systems
def test_features_are_those_on_the_way_to_the_image():
  """A layer beyond the encoder is refused."""
  g = ResNetGenerator(3, 2, 1, downsampling='blur', upsampling='blur')
  x = image(1, 8, 8, 3)
  variables = g.init(KEY, x, train=False)
  first, last = g.apply(variables, x, train=False, layers=(0, 12))
  assert_array_equal(
    first, jnp.pad(x, [(0, 0), (3, 3), (3, 3), (0, 0)], 'reflect')
  )
  assert last.shape == (1, 2, 2, 8)
  with pytest.raises(
    InputError, match='last block is layer 12, so it has no features'
  ):
    g.apply(variables, x, train=False, layers=(13,))


def test_heads_give_features_of_length_one():
  heads = PatchHeads(32, 'normal', 1.0)
  x = image(2, 5, 3)
  (out,), _ = heads.init_with_output(KEY, x, train=False)
  assert_allclose(jnp.linalg.norm(out, axis=-1), 1.0, rtol=1e-5)
  zero = heads.init(KEY, x, train=False)
  gradient = jax.grad(lambda x: heads.apply(zero, x, train=False)[0].sum())(
    jnp.zeros((1, 1, 3))
  )
  assert np.isfinite(gradient).all()


@pytest.mark.parametrize('options', RESAMPLINGS, ids=str)
@pytest.mark.parametrize('kind', ['unet', 'resnet'])
@pytest.mark.parametrize('normalization', ['instance', 'batch', 'none'])
def test_every_choice_keeps_the_size(kind, options, normalization):
  options = options | {'normalization': normalization}
  module = {
    'unet': UNetGenerator(2, 4, **options),
    'resnet': ResNetGenerator(2, 4, 1, **options),
  }[kind]
  output, variables = shapes(module, (16, 16))
  assert output.shape == (1, 16, 16, 2)
  assert ('batch_stats' in variables) == (normalization == 'batch')
  layers = variables['params']
  scales = [name for name, layer in layers.items() if 'scale' in str(layer)]
  assert bool(scales) == (normalization == 'batch')


@pytest.mark.systems
def test_dropout_in_a_residual_block():
  g = ResNetGenerator(1, 2, 2, use_dropout=True)
  x = image(2, 8, 8, 1)
  variables = g.init({'params': KEY, 'noise': KEY}, x, train=True)
  apply = jax.jit(
    lambda key, dropout: g.apply(
      variables, x, train=True, dropout=dropout, rngs={'noise': key}
    ),
    static_argnums=1,
  )
  one, other = (apply(jax.random.key(i), True) for i in (1, 2))
  assert abs(one - other).max() > 1e-4
  still, again = (apply(jax.random.key(i), False) for i in (1, 2))
  assert_array_equal(still, again)


@pytest.mark.parametrize(
  ('name', 'variance'),
  [
    ('normal', 0.02**2),
    ('xavier', 0.02**2 * 2 / (9 * 64 + 9 * 32)),
    ('kaiming', 2 / (9 * 64)),
  ],
)
def test_kernels_have_the_variance_of_their_name(name, variance):
  kernel = np.asarray(kernel_init(name, 0.02)(KEY, (3, 3, 64, 32)))
  tolerance = 4 * (2 / kernel.size) ** 0.5
  assert_allclose(kernel.var(), variance, rtol=tolerance)
  assert abs(kernel.mean()) < 4 * (variance / kernel.size) ** 0.5


def test_orthogonal_kernels():
  kernel = np.asarray(kernel_init('orthogonal', 0.02)(KEY, (3, 3, 4, 8)))
  flat = kernel.reshape(-1, 8)
  assert_allclose(flat.T @ flat, 0.02**2 * np.eye(8), atol=1e-8)
