import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.errors import InputError
from gan_jax.models.dcgan import DeconvGenerator

KEY = jax.random.key(0)


def build(image_shape, **kwargs):
  generator = DeconvGenerator(image_shape, **kwargs)
  z = jax.random.normal(KEY, (3, 100))
  variables = generator.init(KEY, z, train=False)
  return generator.apply(variables, z, train=False), variables


def test_the_32_pixel_stack():
  image, variables = build((32, 32, 3), size_mult=32)
  assert image.shape == (3, 32, 32, 3)
  assert abs(image).max() <= 1
  shapes = {
    name: layer['kernel'].shape
    for name, layer in variables['params'].items()
    if 'kernel' in layer
  }
  assert shapes == {
    'dense': (100, 4 * 4 * 128),
    'deconv1': (5, 5, 128, 64),
    'deconv2': (5, 5, 64, 32),
    'deconv3': (5, 5, 32, 3),
  }
  assert set(variables['batch_stats']) == {'norm0', 'norm1', 'norm2'}
  count = sum(x.size for x in jax.tree.leaves(variables['params']))
  dense = 100 * 2048 + 2048
  deconvs = 25 * (128 * 64 + 64 * 32 + 32 * 3) + 64 + 32 + 3
  norms = 2 * (128 + 64 + 32)
  assert count == dense + deconvs + norms


@pytest.mark.parametrize(('base_size', 'num_deconvs'), [(4, 1), (2, 2)])
def test_shorter_stacks_for_digits(base_size, num_deconvs):
  image, variables = build((8, 8, 1), size_mult=32, base_size=base_size)
  assert image.shape == (3, 8, 8, 1)
  names = {name for name in variables['params'] if name.startswith('deconv')}
  assert names == {f'deconv{i + 1}' for i in range(num_deconvs)}


def test_pixels_fill_the_range_and_do_not_leave_it():
  _, variables = build((8, 8, 1), size_mult=4)
  z = 100 * jax.random.normal(KEY, (20, 100))
  image = DeconvGenerator((8, 8, 1), 4).apply(variables, z, train=False)
  assert -1 <= image.min() < -0.99
  assert 0.99 < image.max() <= 1


def test_the_activations_between_the_layers():
  generator = DeconvGenerator((8, 8, 1), 4, base_size=2)
  z = jax.random.normal(KEY, (6, 100))
  variables = generator.init(KEY, z, train=False)
  image, state = generator.apply(
    variables, z, train=True, capture_intermediates=True,
    mutable=['batch_stats', 'intermediates'],
  )  # fmt: skip
  layers = {
    name: np.asarray(value['__call__'][0])
    for name, value in state['intermediates'].items()
    if name != '__call__'
  }
  for i in range(2):
    norm = layers[f'norm{i}']
    assert_allclose(norm.mean((0, 1, 2)), 0, atol=1e-5)
    assert_allclose(norm.std((0, 1, 2)), 1, atol=0.02)
    kernel, bias = variables['params'][f'deconv{i + 1}'].values()
    into = np.where(norm > 0, norm, 0.2 * norm)
    out = jax.lax.conv_transpose(
      into, kernel, (2, 2), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    assert_allclose(layers[f'deconv{i + 1}'], out + bias, atol=1e-5)
  assert_allclose(image, np.tanh(layers['deconv2']), atol=1e-6)


@pytest.mark.parametrize(
  'shape', [(28, 28, 1), (8, 16, 1), (4, 4, 1), (2, 2, 1)]
)
def test_sizes_that_cannot_be_made(shape):
  generator = DeconvGenerator(shape, size_mult=4)
  with pytest.raises(InputError, match=f'not {shape[0]}x{shape[1]}'):
    jax.eval_shape(lambda: generator.init(KEY, jnp.zeros((1, 9)), train=False))
