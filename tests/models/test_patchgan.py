import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.models.patchgan import PATCH_SIZES, PatchDiscriminator
from tests.models.keys import KEY

NORMALIZATIONS = pytest.mark.parametrize(
  'normalization', ['batch', 'instance', 'none']
)


def shapes(discriminator, size, channels=3):
  """Returns the shapes of the logits and of the variables."""
  image = jnp.zeros((2, *size, channels))
  return jax.eval_shape(
    lambda: discriminator.init_with_output(KEY, image, train=False)
  )


@pytest.mark.parametrize(
  ('channels', 'normalization', 'count'),
  [(3, 'instance', 2_764_737), (6, 'batch', 2_768_705)],
)
def test_parameter_counts_of_the_authors_code(channels, normalization, count):
  """The counts are of `basic` in junyanz/pytorch-CycleGAN-and-pix2pix."""
  discriminator = PatchDiscriminator(64, normalization=normalization)
  logits, variables = shapes(discriminator, (256, 256), channels)
  assert logits.shape == (2, 30, 30)
  assert sum(x.size for x in jax.tree.leaves(variables['params'])) == count


@pytest.mark.parametrize(
  ('patch_size', 'sides', 'widths'),
  [
    (1, (96, 128), [4, 8]),
    (16, (46, 62), [4, 8]),
    (34, (22, 30), [4, 8, 16]),
    (70, (10, 14), [4, 8, 16, 32]),
    (142, (4, 6), [4, 8, 16, 32, 32]),
    (286, (1, 2), [4, 8, 16, 32, 32, 32]),
  ],
)
@NORMALIZATIONS
def test_the_layers(patch_size, sides, widths, normalization):
  discriminator = PatchDiscriminator(4, patch_size, normalization)
  logits, variables = shapes(discriminator, (96, 128))
  assert logits.shape == (2, *sides)
  params = variables['params']
  names = [*(f'conv{i + 1}' for i in range(len(widths))), 'logit']
  side = 1 if patch_size == 1 else 4
  assert [params[name]['kernel'].shape for name in names] == [
    (side, side, *pair) for pair in zip([3, *widths], [*widths, 1], strict=True)
  ]
  # Only BatchNorm has parameters; it makes a convolution's bias redundant.
  batch = normalization == 'batch'
  norms = {f'norm{i + 1}' for i in range(1, len(widths)) if batch}
  assert set(params) == {*names, *norms}
  assert set(variables.get('batch_stats', {})) == norms
  biases = [name for name in names if 'bias' in params[name]]
  assert biases == (['conv1', 'logit'] if batch else names)


@pytest.mark.parametrize('patch_size', PATCH_SIZES)
def test_a_logit_sees_its_patch_and_no_pixel_more(patch_size):
  discriminator = PatchDiscriminator(1, patch_size, 'none')
  size = patch_size + 2 ** (PATCH_SIZES[patch_size] + 3)
  _, variables = shapes(discriminator, (size, size), channels=1)
  # All weights are positive, so that nothing cancels.
  variables = jax.tree.map(lambda x: jnp.full(x.shape, 0.1), variables)

  @jax.jit
  @jax.grad
  def pixel_gradient(image):
    logits = discriminator.apply(variables, image, train=False)
    return logits[0, logits.shape[1] // 2, logits.shape[2] // 2]

  seen = np.asarray(pixel_gradient(jnp.ones((1, size, size, 1))) > 0)[0, ..., 0]
  rows, columns = np.nonzero(seen)
  assert min(*rows, *columns) > 0  # not clipped at an edge
  assert max(*rows, *columns) < size - 1
  assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == patch_size
  assert len(rows) == patch_size**2


def images(rows=3, channels=2):
  return jax.random.normal(KEY, (rows, 16, 24, channels))


@pytest.mark.systems
@NORMALIZATIONS
def test_the_activations_between_the_layers(normalization):
  discriminator = PatchDiscriminator(4, 34, normalization)
  image = images()
  variables = jax.jit(lambda: discriminator.init(KEY, image, train=True))()
  # The effects are large enough to see, and the biases are not 0.
  params = jax.tree.map(lambda x: 5 * x + 0.1, variables['params'])
  logits, _ = discriminator.apply(
    variables | {'params': params}, image, train=True, mutable=['batch_stats']
  )

  def conv(x, name, stride):
    out = jax.lax.conv_general_dilated(
      x, params[name]['kernel'], (stride, stride), ((1, 1), (1, 1)),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )  # fmt: skip
    return np.asarray(out + params[name].get('bias', 0.0))

  def norm(x, name):
    axes = {'batch': (0, 1, 2), 'instance': (1, 2)}.get(normalization)
    if axes is None:
      return x
    gap = x - x.mean(axes, keepdims=True)
    x = gap / np.sqrt((gap**2).mean(axes, keepdims=True) + 1e-5)
    if normalization == 'batch':
      x = params[name]['norm']['scale'] * x + params[name]['norm']['bias']
    return x

  def activate(x):
    return np.where(x > 0, x, 0.2 * x)

  x = activate(conv(image, 'conv1', 2))
  x = activate(norm(conv(x, 'conv2', 2), 'norm2'))
  x = activate(norm(conv(x, 'conv3', 1), 'norm3'))
  expected = conv(x, 'logit', 1)[..., 0]
  assert logits.shape == (3, 2, 4)
  scale = abs(expected).max()
  assert_allclose(logits, expected, rtol=0, atol=1e-5 * scale)
  assert expected.std() > 0.1


def test_kernels_are_drawn_as_the_authors_do():
  discriminator = PatchDiscriminator(8)
  image = jnp.zeros((1, 32, 32, 3))
  variables = jax.jit(lambda: discriminator.init(KEY, image, train=False))()
  for name, layer in variables['params'].items():
    if 'kernel' in layer:  # to four standard errors
      kernel = np.asarray(layer['kernel'])
      tolerance = 4 / (2 * kernel.size) ** 0.5
      assert_allclose(kernel.std(), 0.02, rtol=tolerance, err_msg=name)


@pytest.mark.parametrize('normalization', ['instance', 'none'])
def test_each_image_is_judged_alone(normalization):
  discriminator = PatchDiscriminator(4, 16, normalization)
  image = images() * jnp.array([0.1, 1.0, 3.0])[:, None, None, None]
  variables = jax.jit(lambda: discriminator.init(KEY, image, train=True))()
  logits = discriminator.apply(variables, image, train=True)
  for i in range(3):
    alone = discriminator.apply(variables, image[i : i + 1], train=True)
    assert_allclose(logits[i : i + 1], alone, atol=1e-6)
  assert_array_equal(logits, discriminator.apply(variables, image, train=False))


def test_batch_norm_is_of_the_global_batch_on_two_devices():
  image = images(4) * jnp.array([0.1, 1.0, 3.0, 9.0])[:, None, None, None]
  init = PatchDiscriminator(4, 34).init
  variables = jax.jit(lambda: init(KEY, image, train=True))()

  def judge(image, axis_name=None):
    discriminator = PatchDiscriminator(4, 34, axis_name=axis_name)
    return discriminator.apply(
      variables, image, train=True, mutable=['batch_stats']
    )[0]

  two = jax.pmap(lambda x: judge(x, 'batch'), axis_name='batch')(
    image.reshape(2, 2, *image.shape[1:])
  )
  one = judge(image)
  assert_allclose(two.reshape(one.shape), one, atol=1e-5)
  assert abs(judge(image[:2]) - one[:2]).max() > 1e-3


def test_images_smaller_than_any_patch():
  with pytest.raises(InputError, match=r'logit: .* leaves no pixel of a 1x3'):
    shapes(PatchDiscriminator(4, 70), (16, 32))
