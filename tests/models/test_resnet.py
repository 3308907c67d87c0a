import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.models.resnet import ResNetGenerator
from tests.models.keys import KEY


def shapes(generator, size):
  """Returns the shapes of the output and of the variables."""
  image = jnp.zeros((1, *size, 3))
  return jax.eval_shape(
    lambda: generator.init_with_output(KEY, image, train=False)
  )


def build(size=(8, 12), rows=2, num_blocks=1):
  """Builds a generator whose biases are not 0."""
  generator = ResNetGenerator(3, 2, num_blocks)
  image = jax.random.normal(KEY, (rows, *size, 1))
  variables = jax.jit(lambda: generator.init(KEY, image, train=False))()
  return generator, jax.tree.map(lambda x: 3 * x + 0.05, variables), image


@pytest.mark.parametrize(
  ('num_blocks', 'count'), [(9, 11_378_179), (6, 7_837_699)]
)
def test_parameter_counts_of_the_authors_code(num_blocks, count):
  """They are resnet_9blocks and _6blocks in pytorch-CycleGAN-and-pix2pix."""
  output, variables = shapes(ResNetGenerator(3, 64, num_blocks), (256, 256))
  assert output.shape == (1, 256, 256, 3)
  assert set(variables) == {'params'}
  assert sum(x.size for x in jax.tree.leaves(variables)) == count


@pytest.mark.parametrize('size', [(8, 8), (8, 12), (20, 8), (64, 36)])
def test_an_image_keeps_its_size(size):
  output, _ = shapes(ResNetGenerator(2, 4, 2), size)
  assert output.shape == (1, *size, 2)


@pytest.mark.parametrize(
  'num_blocks', [1, pytest.param(2, marks=pytest.mark.systems)]
)
def test_the_layers_by_hand(num_blocks):
  generator, variables, image = build(num_blocks=num_blocks)
  params = variables['params']

  def conv(x, name, stride, pads):
    out = jax.lax.conv_general_dilated(
      x, params[name]['kernel'], (stride, stride), pads,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )  # fmt: skip
    return np.asarray(out + params[name]['bias'])

  def reflected(x, name):
    pad = params[name]['kernel'].shape[0] // 2
    pads = [(0, 0), (pad, pad), (pad, pad), (0, 0)]
    return conv(np.pad(x, pads, mode='reflect'), name, 1, 'VALID')

  def up(x, name):
    """Transposes a stride-2 convolution padded by one pixel."""
    dilated = np.zeros((len(x), 2 * x.shape[1], 2 * x.shape[2], x.shape[3]))
    dilated[:, ::2, ::2] = x
    return conv(jnp.asarray(dilated, x.dtype), name, 1, ((1, 1), (1, 1)))

  def norm(x):
    gap = x - x.mean((1, 2), keepdims=True)
    return gap / np.sqrt((gap**2).mean((1, 2), keepdims=True) + 1e-5)

  def activate(x):
    return np.maximum(norm(x), 0)

  x = activate(reflected(image, 'first'))
  for name in ('down1', 'down2'):
    x = activate(conv(x, name, 2, ((1, 1), (1, 1))))
  for i in range(num_blocks):
    y = activate(reflected(x, f'block{i + 1}_conv1'))
    x = x + norm(reflected(y, f'block{i + 1}_conv2'))
  for name in ('up1', 'up2'):
    x = activate(up(x, name))
  expected = np.tanh(reflected(x, 'last'))
  actual = generator.apply(variables, image, train=False)
  assert_allclose(actual, expected, atol=2e-5)
  assert expected.std() > 0.1


def test_kernels_are_drawn_as_the_authors_do():
  generator = ResNetGenerator(3, 8, 1)
  image = jnp.zeros((1, 8, 8, 3))
  variables = jax.jit(lambda: generator.init(KEY, image, train=False))()
  for name, layer in variables['params'].items():
    # The tolerance is four standard errors.
    kernel = np.asarray(layer['kernel'])
    tolerance = 4 / (2 * kernel.size) ** 0.5
    assert_allclose(kernel.std(), 0.02, rtol=tolerance, err_msg=name)


def test_each_image_is_normalised_alone():
  generator, variables, image = build()
  image = image * jnp.array([0.1, 3.0])[:, None, None, None]
  apply = jax.jit(generator.apply, static_argnames='train')
  output = apply(variables, image, train=True)
  for i in range(2):
    alone = apply(variables, image[i : i + 1], train=True)
    assert_allclose(output[i : i + 1], alone, atol=1e-5)
  assert_array_equal(output, apply(variables, image, train=False))


@pytest.mark.parametrize('size', [(10, 12), (12, 10), (4, 8), (8, 4)])
def test_sizes_that_cannot_be_translated(size):
  message = f'multiples of 4, 8 at least, not {size[0]}x{size[1]}; .*crop_size'
  with pytest.raises(InputError, match=message):
    shapes(ResNetGenerator(3, 4, 1), size)


def gradients_of(remat):
  """Returns parameters, and a function to the gradients of two blocks' loss."""
  x = np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype(np.float32)
  network = ResNetGenerator(channels=1, width=1, num_blocks=2, remat=remat)
  params = jax.jit(lambda: network.init(KEY, x, train=True))()
  return params, jax.grad(
    lambda params: (network.apply(params, x, train=True) ** 2).mean()
  )


@pytest.mark.parametrize(('remat', 'count'), [(False, 0), (True, 2)])
def test_each_block_stands_in_a_remat(remat, count):
  params, gradients = gradients_of(remat)
  program = str(jax.make_jaxpr(gradients)(params))
  assert program.count('prevent_cse=True') == count


@pytest.mark.systems
def test_blocks_that_are_computed_anew_change_nothing_else():
  """Parameters and gradients are the same."""
  found = []
  for remat in (False, True):
    params, gradients = gradients_of(remat)
    found.append((params, jax.jit(gradients)(params)))
  jax.tree.map(lambda a, b: assert_allclose(a, b, rtol=1e-6, atol=1e-7), *found)
