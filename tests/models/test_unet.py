import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import InvalidRngError
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.core.rng import global_rows
from gan_jax.models.layers import Dropout
from gan_jax.models.unet import UNetGenerator
from tests.models.keys import KEY, NOISE_KEY

DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')


def build(size, width=4):
  generator = UNetGenerator(3, width)
  image = jax.random.uniform(KEY, (2, size, size, 2), minval=-1)
  variables = jax.jit(lambda: generator.init(KEY, image, train=False))()
  return generator, variables, image


def shapes(generator, size, channels=3):
  """Returns the shapes of the output and of the variables."""
  image = jnp.zeros((1, *size, channels))
  return jax.eval_shape(
    lambda: generator.init_with_output(KEY, image, train=False)
  )


@pytest.mark.parametrize(
  ('size', 'count'), [(256, 54_413_955), (128, 41_828_995), (64, 29_244_035)]
)
def test_parameter_counts_of_the_authors_code(size, count):
  """They are unet_256 and _128 in pytorch-CycleGAN-and-pix2pix; 64 follows."""
  output, variables = shapes(UNetGenerator(3, 64), (size, size))
  assert output.shape == (1, size, size, 3)
  assert sum(x.size for x in jax.tree.leaves(variables['params'])) == count


@pytest.mark.parametrize(
  ('size', 'num_levels', 'levels'),
  [
    ((16, 16), None, 4),
    ((16, 16), 2, 2),
    ((32, 16), None, 4),
    ((12, 20), 2, 2),
    ((2, 2), None, 1),
  ],
)
def test_the_layers(size, num_levels, levels):
  output, variables = shapes(UNetGenerator(1, 4, num_levels), size, 3)
  assert output.shape == (1, *size, 1)
  params = variables['params']
  every = range(1, levels + 1)
  # The first layer, the innermost and the last are not normalised.
  norms = {f'down_norm{i}' for i in every if 1 < i < levels}
  norms |= {f'up_norm{i}' for i in every if i > 1}
  convs = {f'{way}{i}' for way in ('down', 'up') for i in every}
  assert set(params) == convs | norms
  assert set(variables.get('batch_stats', {})) == norms
  assert {name for name in convs if 'bias' in params[name]} == {'up1'}


def test_kernels_are_drawn_as_the_authors_do():
  _, variables, _ = build(16, width=8)
  for name, layer in variables['params'].items():
    if 'kernel' in layer:  # to four standard errors
      kernel = np.asarray(layer['kernel'])
      tolerance = 4 / (2 * kernel.size) ** 0.5
      assert_allclose(kernel.std(), 0.02, rtol=tolerance, err_msg=name)


def test_the_activations_between_the_layers():
  generator, variables, image = build(8)
  params = jax.tree.map(lambda x: 5 * x, variables['params'])
  output, state = generator.apply(
    variables | {'params': params}, image, train=True, dropout=False,
    capture_intermediates=True, mutable=['batch_stats', 'intermediates'],
  )  # fmt: skip
  layers = {
    name: np.asarray(value['__call__'][0])
    for name, value in state['intermediates'].items()
    if name != '__call__'
  }

  def convolve(function, x, name):
    kernel = params[name]['kernel']
    return function(x, kernel, (2, 2), 'SAME', dimension_numbers=DIMENSIONS)

  def down(x, name):
    x = np.where(x > 0, x, 0.2 * x)
    return convolve(jax.lax.conv_general_dilated, x, name)

  def up(x, name):
    return convolve(jax.lax.conv_transpose, np.maximum(x, 0), name)

  def normalised(x):
    gap = x - x.mean((0, 1, 2))
    return 5 * gap / np.sqrt((gap**2).mean((0, 1, 2)) + 1e-5)

  def joined(*names):
    return np.concatenate([layers[name] for name in names], axis=-1)

  expected = {
    'down2': down(layers['down1'], 'down2'),
    'down_norm2': normalised(layers['down2']),
    'down3': down(layers['down_norm2'], 'down3'),
    'up3': up(layers['down3'], 'up3'),
    'up_norm3': normalised(layers['up3']),
    'up2': up(joined('up_norm3', 'down_norm2'), 'up2'),
    'up_norm2': normalised(layers['up2']),
    'up1': up(joined('up_norm2', 'down1'), 'up1'),
  }
  for name, want in expected.items():
    assert_allclose(layers[name], want, atol=1e-4, err_msg=name)
  assert_allclose(output, np.tanh(layers['up1']), atol=1e-6)
  assert 0.5 < abs(output).max() <= 1


# Receptive fields of an output pixel through the outer skips.
SIDES = (0, 6, 14, 30)


@pytest.mark.systems
@pytest.mark.parametrize('level', [1, 2, 3])
def test_skips_carry_details_past_the_inner_path(level):
  generator, variables, image = build(64, width=2)
  # All weights are positive, so that nothing cancels.
  params = jax.tree.map(abs, variables['params'])
  name = f'up{level}'

  @jax.jit
  def pixel_gradient(factors):
    kernel = params[name]['kernel'] * factors[:, None]
    cut = params | {name: params[name] | {'kernel': kernel}}

    def pixel(image):
      output = generator.apply(variables | {'params': cut}, image, train=False)
      return output[0, 32, 32].sum()

    return jax.grad(pixel)(abs(image))[0]

  def side(inner, skip):
    """Measures the patch, given the factors of the kernel's two halves."""
    half = params[name]['kernel'].shape[2] // 2
    gradient = pixel_gradient(jnp.repeat(jnp.array([inner, skip]), half))
    seen = np.asarray(gradient > 0).all(axis=-1)
    rows = seen.any(axis=1)
    assert_array_equal(seen, rows[:, None] & rows)  # a square
    return rows.sum()

  assert side(inner=0.0, skip=1.0) == SIDES[level]
  assert side(inner=0.0, skip=0.0) == SIDES[level - 1]
  assert side(inner=1.0, skip=0.0) == 64


@pytest.mark.systems
def test_dropout_acts_in_three_blocks():
  generator, variables, image = build(32)
  _, state = generator.apply(
    variables, image, train=False, dropout=True, rngs={'noise': NOISE_KEY},
    capture_intermediates=lambda module, _: isinstance(module, Dropout),
  )  # fmt: skip
  outputs = [
    np.asarray(state['intermediates'][f'Dropout_{i}']['__call__'][0])
    for i in range(4)
  ]
  assert [len(x[0]) for x in outputs] == [2, 4, 8, 16]
  for x in outputs[:3]:
    # Four standard deviations of the dropped share.
    assert abs((x == 0).mean() - 0.5) < 4 * (0.25 / x.size) ** 0.5
  assert (outputs[3] != 0).all()


def test_the_batch_is_split_for_dropout_though_batch_norm_is_not_synchronised():
  """Masks depend on global rows, statistics on each replica's."""
  generator, variables, image = build(4)
  split = UNetGenerator(3, 4)

  @functools.partial(
    jax.jit, static_argnums=0, static_argnames=('train', 'dropout')
  )
  def run(generator, image, **options):
    output, _ = generator.apply(
      variables,
      image,
      rngs={'noise': NOISE_KEY},
      mutable=['batch_stats'],
      **options,
    )
    return output

  def run_split(**options):
    replicas = jax.vmap(
      lambda image: run(split, image, rows=global_rows(1, 'batch'), **options),
      axis_name='batch',
    )
    return replicas(image[:, None])[:, 0]

  options = {'train': False, 'dropout': True}
  assert_allclose(
    run_split(**options), run(generator, image, **options), atol=1e-6
  )
  options = {'train': True, 'dropout': False}
  alone = [run(generator, row[None], **options)[0] for row in image]
  assert_allclose(run_split(**options), alone, atol=1e-5)


def test_running_statistics_follow_by_a_tenth():
  generator, variables, image = build(8)
  means = []
  for _ in range(2):
    _, state = generator.apply(
      variables, image, train=True, dropout=False, mutable=['batch_stats']
    )
    means.append(state['batch_stats']['down_norm2']['norm']['mean'])
    variables |= state
  assert_allclose(means[1], 1.9 * means[0], rtol=1e-5)  # 0.9 * 0.1 + 0.1


def test_dropout_is_the_only_noise_and_has_its_own_switch():
  generator, variables, image = build(8)

  def run(train=False, dropout=None, key=None):
    output, _ = generator.apply(
      variables, image, train=train, dropout=dropout,
      rngs=None if key is None else {'noise': jax.random.key(key)},
      mutable=['batch_stats'],
    )  # fmt: skip
    return np.asarray(output)

  at_test = run(dropout=True, key=1)
  assert_array_equal(run(dropout=True, key=1), at_test)
  assert (run(dropout=True, key=2) != at_test).any()
  assert (run(train=True, key=1) != run(train=True, key=2)).any()
  assert_array_equal(run(), run(dropout=False))
  assert (run(train=True, dropout=False) != run()).any()
  for options in ({'train': True}, {'dropout': True}):
    with pytest.raises(InvalidRngError):
      run(**options)


@pytest.mark.parametrize(
  ('size', 'num_levels', 'message'),
  [
    ((48, 48), None, 'of 5 levels .* multiples of 32, not 48x48'),
    ((12, 16), None, 'of 3 levels .* multiples of 8, not 12x16'),
    ((16, 24), None, 'of 4 levels .* multiples of 16, not 16x24'),
    ((16, 16), 5, 'of 5 levels .* multiples of 32, not 16x16'),
    ((1, 1), None, 'multiples of 2, not 1x1; change config.data.crop_size'),
  ],
)
def test_sizes_that_cannot_be_halved_so_often(size, num_levels, message):
  with pytest.raises(InputError, match=message):
    shapes(UNetGenerator(3, 4, num_levels), size)


def gradients_of(remat, image):
  """Returns variables, and a function to gradients and statistics."""
  network = UNetGenerator(1, 2, remat=remat)
  rngs = {'params': KEY, 'noise': NOISE_KEY}
  variables = jax.jit(lambda: network.init(rngs, image, train=True))()

  def loss(params):
    output, state = network.apply(
      variables | {'params': params},
      image,
      train=True,
      rngs={'noise': NOISE_KEY},
      mutable=['batch_stats'],
    )
    return (output**2).mean(), state

  return variables, jax.grad(loss, has_aux=True)


@pytest.mark.parametrize(('remat', 'count'), [(False, 0), (True, 4)])
def test_each_level_stands_in_a_remat(remat, count):
  variables, gradients = gradients_of(remat, jnp.ones((2, 4, 4, 1)))
  program = str(jax.make_jaxpr(gradients)(variables['params']))
  assert program.count('prevent_cse=True') == count


@pytest.mark.systems
def test_levels_that_are_computed_anew_change_nothing_else():
  """Parameters, dropout, statistics and gradients are the same."""
  found = []
  for remat in (False, True):
    image = jax.random.normal(KEY, (2, 16, 16, 1))
    variables, gradients = gradients_of(remat, image)
    found.append((variables, jax.jit(gradients)(variables['params'])))
  jax.tree.map(lambda a, b: assert_allclose(a, b, rtol=1e-5, atol=1e-7), *found)
