import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.models.dcgan import ConvDiscriminator, DeconvGenerator
from tests.models.keys import KEY


def shapes_of(image_shape, **kwargs):
  """Returns the shapes of three images and of the variables."""
  generator = DeconvGenerator(image_shape, **kwargs)
  return jax.eval_shape(
    lambda: generator.init_with_output(KEY, jnp.zeros((3, 100)), train=False)
  )


def test_the_32_pixel_stack():
  image, variables = shapes_of((32, 32, 3), size_mult=32)
  assert image.shape == (3, 32, 32, 3)
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
  image, variables = shapes_of((8, 8, 1), size_mult=32, base_size=base_size)
  assert image.shape == (3, 8, 8, 1)
  names = {name for name in variables['params'] if name.startswith('deconv')}
  assert names == {f'deconv{i + 1}' for i in range(num_deconvs)}


def test_pixels_fill_the_range_and_do_not_leave_it():
  generator = DeconvGenerator((8, 8, 1), size_mult=4)
  z = 100 * jax.random.normal(KEY, (20, 100))
  variables = jax.jit(lambda: generator.init(KEY, z, train=False))()
  image = generator.apply(variables, z, train=False)
  assert -1 <= image.min() < -0.99
  assert 0.99 < image.max() <= 1


def test_the_activations_between_the_layers():
  generator = DeconvGenerator((8, 8, 1), 4, base_size=2)
  z = jax.random.normal(KEY, (6, 100))
  variables = jax.jit(lambda: generator.init(KEY, z, train=False))()
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
    layer = variables['params'][f'deconv{i + 1}']
    into = np.where(norm > 0, norm, 0.2 * norm)
    out = jax.lax.conv_transpose(
      into, layer['kernel'], (2, 2), 'SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )  # fmt: skip
    assert_allclose(layers[f'deconv{i + 1}'], out + layer['bias'], atol=1e-5)
  assert_allclose(image, np.tanh(layers['deconv2']), atol=1e-6)


def kernels(variables):
  return {
    name: layer['kernel']
    for name, layer in variables['params'].items()
    if 'kernel' in layer
  }


def variables_of(discriminator, shape=(32, 32, 1)):
  return jax.jit(
    lambda: discriminator.init(KEY, jnp.zeros((1, *shape)), train=True)
  )()


def test_the_dcgans_generator():
  """It has 512 channels at 4x4, 256 at 8x8, 128 at 16x16, from N(0, 0.02^2)."""
  _, variables = shapes_of((32, 32, 1), size_mult=128)
  assert {name: k.shape for name, k in kernels(variables).items()} == {
    'dense': (100, 4 * 4 * 512),
    'deconv1': (5, 5, 512, 256),
    'deconv2': (5, 5, 256, 128),
    'deconv3': (5, 5, 128, 1),
  }
  generator = DeconvGenerator((8, 8, 1), size_mult=8, init_stddev=0.02)
  variables = jax.jit(
    lambda: generator.init(KEY, jnp.zeros((1, 100)), train=False)
  )()
  check_normal(kernels(variables), 0.02)


def check_normal(all_kernels, stddev):
  """Checks each kernel's mean and deviation to four standard errors."""
  for kernel in map(np.asarray, all_kernels.values()):
    assert abs(kernel.mean()) < 4 * stddev / kernel.size**0.5
    assert abs(kernel.std() / stddev - 1) < 4 / (2 * kernel.size) ** 0.5


def test_the_dcgans_discriminator():
  """It has 64 channels at 16x16, 128 at 8x8, 256 at 4x4."""
  variables = jax.eval_shape(lambda: variables_of(ConvDiscriminator(64)))
  assert {name: k.shape for name, k in kernels(variables).items()} == {
    'conv1': (5, 5, 1, 64),
    'conv2': (5, 5, 64, 128),
    'conv3': (5, 5, 128, 256),
    'logit': (4 * 4 * 256, 1),
  }
  assert set(variables['batch_stats']) == {'norm2', 'norm3'}
  small = variables_of(ConvDiscriminator(8, init_stddev=0.02), (8, 8, 1))
  check_normal(kernels(small), 0.02)
  count = sum(x.size for x in jax.tree.leaves(variables['params']))
  convs = 25 * (1 * 64 + 64 * 128 + 128 * 256) + 64 + 128 + 256
  norms = 2 * (128 + 256)
  assert count == convs + norms + 4 * 4 * 256 + 1


@pytest.mark.parametrize('normalization', ['spectral', 'none'])
def test_discriminators_without_batch_norm(normalization):
  discriminator = ConvDiscriminator(4, normalization=normalization)
  variables = variables_of(discriminator, (8, 8, 3))
  names = {'conv1', 'logit'}
  assert set(variables['params']) == names
  stats = variables.get('batch_stats', {})
  spectral = {f'{name}_norm' for name in names}
  assert set(stats) == (spectral if normalization == 'spectral' else set())
  image = jax.random.normal(KEY, (5, 8, 8, 3))
  logits = discriminator.apply(variables, image, train=False)
  assert logits.shape == (5,)
  # A row's logit does not depend on the others.
  alone = discriminator.apply(variables, image[:1], train=False)
  assert_allclose(logits[:1], alone, atol=1e-6)


def test_the_discriminator_by_hand():
  discriminator = ConvDiscriminator(3, base_size=2)
  image = jax.random.normal(KEY, (6, 8, 8, 2))
  variables = variables_of(discriminator, (8, 8, 2))
  params = variables['params']
  params['norm2']['norm']['bias'] += 0.3

  def conv(x, layer):
    out = jax.lax.conv_general_dilated(
      x, layer['kernel'], (2, 2), 'SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )  # fmt: skip
    return out + layer['bias']

  x = conv(image, params['conv1'])
  x = conv(np.where(x > 0, x, 0.2 * x), params['conv2'])
  x = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) + 0.3
  x = np.where(x > 0, x, 0.2 * x).reshape(6, -1)
  want = x @ params['logit']['kernel'] + params['logit']['bias']
  logits, _ = discriminator.apply(
    variables, image, train=True, mutable=['batch_stats']
  )
  assert_allclose(logits, want[:, 0], atol=1e-5)


def test_spectral_normalization_leaves_the_initial_weights_as_they_are():
  options = {'width': 16, 'init_stddev': 0.02}
  spectral = ConvDiscriminator(normalization='spectral', **options)
  plain = ConvDiscriminator(normalization='none', **options)
  params = variables_of(spectral, (16, 16, 3))['params']
  expected = variables_of(plain, (16, 16, 3))['params']
  jax.tree.map(lambda a, b: assert_allclose(a, b, rtol=1e-6), params, expected)
  assert_allclose(params['conv2']['kernel'].std(), 0.02, rtol=0.02)


def test_spectral_norms_are_found_in_training_only():
  discriminator = ConvDiscriminator(4, normalization='spectral')
  image = jax.random.normal(KEY, (2, 8, 8, 1))
  variables = variables_of(discriminator, (8, 8, 1))
  for train in (False, True):
    _, state = discriminator.apply(
      variables, image, train=train, mutable=['batch_stats']
    )
    old, new = (x['batch_stats']['conv1_norm'] for x in (variables, state))
    if train:
      assert (old['conv1/kernel/u'] != new['conv1/kernel/u']).any()
    else:
      jax.tree.map(assert_array_equal, old, new)


@pytest.mark.parametrize('size', [(28, 28), (8, 16), (4, 4), (2, 2)])
def test_sizes_that_cannot_be_judged(size):
  with pytest.raises(
    InputError, match=rf'not {size[0]}x{size[1]}; .*discriminator\.base_size'
  ):
    variables_of(ConvDiscriminator(4), (*size, 1))


@pytest.mark.parametrize(
  'shape', [(28, 28, 1), (8, 16, 1), (4, 4, 1), (2, 2, 1)]
)
def test_sizes_that_cannot_be_made(shape):
  generator = DeconvGenerator(shape, size_mult=4)
  with pytest.raises(InputError, match=f'not {shape[0]}x{shape[1]}'):
    jax.eval_shape(lambda: generator.init(KEY, jnp.zeros((1, 9)), train=False))
