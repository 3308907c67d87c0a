import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.errors import InputError
from gan_jax.models.dcgan import DeconvGenerator

Z_DIM = 10


def init(image_shape, size_mult=4, base_size=4):
  generator = DeconvGenerator(image_shape, size_mult, base_size)
  z = jax.random.normal(jax.random.key(1), (3, Z_DIM))
  image, variables = generator.init_with_output(
    jax.random.key(0), z, train=False
  )
  return generator, variables, image


@pytest.mark.parametrize(
  ('image_shape', 'base_size'),
  [((8, 8, 1), 2), ((8, 8, 1), 4), ((32, 32, 3), 4), ((12, 12, 1), 3)],
)
@pytest.mark.parametrize('train', [False, True])
def test_shape_and_dtype(image_shape, base_size, train):
  generator, variables, _ = init(image_shape, base_size=base_size)
  image, _ = generator.apply(
    variables, jnp.ones((3, Z_DIM)), train=train, mutable=['batch_stats']
  )
  assert image.shape == (3, *image_shape)
  assert image.dtype == 'float32'


@pytest.mark.parametrize(
  ('image_shape', 'base_size', 'widths'),
  [
    ((32, 32, 3), 4, [16, 8, 4, 3]),
    ((8, 8, 1), 2, [8, 4, 1]),
    ((8, 8, 1), 4, [4, 1]),
  ],
)
def test_widths_halve_down_to_size_mult(image_shape, base_size, widths):
  _, variables, _ = init(image_shape, size_mult=4, base_size=base_size)
  shapes = jax.tree.map(jnp.shape, variables['params'])
  assert shapes['dense']['kernel'] == (Z_DIM, base_size**2 * widths[0])
  kernels = [
    shapes[f'deconv{layer}']['kernel'] for layer in range(1, len(widths))
  ]
  assert kernels == [
    (5, 5, before, after)
    for before, after in zip(widths, widths[1:], strict=False)
  ]
  norms = [name for name in shapes if name.startswith('norm')]
  assert len(norms) == len(widths) - 1  # none on the image


@pytest.mark.parametrize(
  ('image_shape', 'base_size', 'num'),
  [
    (
      (8, 8, 1),
      2,
      (10 * 32 + 32) + 2 * 8 + (25 * 8 * 4 + 4) + 2 * 4 + (25 * 4 + 1),
    ),
    ((8, 8, 1), 4, (10 * 64 + 64) + 2 * 4 + (25 * 4 + 1)),
    (
      (32, 32, 3),
      4,
      (10 * 256 + 256)
      + 2 * 16
      + (25 * 16 * 8 + 8)
      + 2 * 8
      + (25 * 8 * 4 + 4)
      + 2 * 4
      + (25 * 4 * 3 + 3),
    ),
  ],
)
def test_number_of_parameters_by_hand(image_shape, base_size, num):
  _, variables, _ = init(image_shape, base_size=base_size)
  assert sum(x.size for x in jax.tree.leaves(variables['params'])) == num


@pytest.mark.parametrize('train', [False, True])
def test_range_is_that_of_images(train):
  generator, variables, _ = init((8, 8, 1))
  z = 100 * jax.random.normal(jax.random.key(2), (20, Z_DIM))
  image, _ = generator.apply(variables, z, train=train, mutable=['batch_stats'])
  assert -1 <= image.min() < -0.9
  assert 0.9 < image.max() <= 1


def test_image_depends_on_z_row_by_row_in_eval_mode():
  generator, variables, image = init((8, 8, 1))
  z = jax.random.normal(jax.random.key(1), (3, Z_DIM))
  alone = generator.apply(variables, z[1:2], train=False)
  np.testing.assert_allclose(alone, image[1:2], rtol=1e-5, atol=1e-6)
  assert np.abs(image[0] - image[1]).max() > 0.01


def test_gradient_reaches_every_parameter():
  generator, variables, image = init((8, 8, 1), base_size=2)
  target = jax.random.normal(jax.random.key(2), image.shape)
  z = jax.random.normal(jax.random.key(1), (3, Z_DIM))

  def loss(params):
    weights = {**variables, 'params': params}
    return (target * generator.apply(weights, z, train=False)).sum()

  for path, gradient in jax.tree.leaves_with_path(
    jax.grad(loss)(variables['params'])
  ):
    assert np.abs(gradient).max() > 1e-3, jax.tree_util.keystr(path)


@pytest.mark.parametrize(
  ('image_shape', 'base_size'),
  [
    ((28, 28, 1), 4),
    ((8, 16, 1), 4),
    ((16, 8, 1), 4),
    ((4, 4, 1), 4),
    ((2, 2, 1), 4),
    ((9, 9, 1), 2),
  ],
)
def test_other_sizes_are_refused(image_shape, base_size):
  text = rf'of {base_size} \* 2\^n .* not {image_shape[0]}x{image_shape[1]}'
  with pytest.raises(InputError, match=text):
    init(image_shape, base_size=base_size)
