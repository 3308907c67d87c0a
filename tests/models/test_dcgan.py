import jax
import jax.numpy as jnp
import pytest

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


@pytest.mark.parametrize(
  'shape', [(28, 28, 1), (8, 16, 1), (4, 4, 1), (2, 2, 1)]
)
def test_sizes_that_cannot_be_made(shape):
  generator = DeconvGenerator(shape, size_mult=4)
  with pytest.raises(InputError, match=f'not {shape[0]}x{shape[1]}'):
    jax.eval_shape(lambda: generator.init(KEY, jnp.zeros((1, 9)), train=False))
