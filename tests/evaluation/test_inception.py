import functools
import hashlib

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.evaluation.inception import (
  InceptionV3,
  Mixed,
  preprocess,
  resize_tf1,
)

# These tests are about the network, not about how convolutions are lowered.
pytestmark = pytest.mark.usefixtures('plain_convolutions')

VARIANTS = pytest.mark.parametrize('variant', ['torchvision', 'fid'])
TORCH_NAMES = {
  'kernel': 'weight', 'scale': 'weight', 'bias': 'bias',
  'mean': 'running_mean', 'var': 'running_var',
}  # fmt: skip


@functools.cache
def shapes(network, *size):
  """Returns the shapes of the outputs and the variables."""
  image = jax.ShapeDtypeStruct(size, np.float32)
  return jax.eval_shape(network.init_with_output, jax.random.key(0), image)


def random_variables(tree, seed=0):
  """Draws weights that keep the scale, and statistics far from 0 and 1."""
  rng = np.random.default_rng(seed)

  def draw(path, x):
    kind = path[-1]
    if kind == 'kernel':
      # ReLU halves a signal's power.
      scale = (2 / np.prod(x.shape[:-1])) ** 0.5
      return np.float32(scale) * rng.standard_normal(x.shape, np.float32)
    if kind in ('scale', 'var'):
      return rng.uniform(0.5, 1.5, x.shape).astype(np.float32)
    return rng.normal(0.0, 0.2, x.shape).astype(np.float32)

  flat = flatten_dict(tree)
  return unflatten_dict({path: draw(path, x) for path, x in flat.items()})


def torch_state(variables):
  """Returns the variables with PyTorch's names and axes."""
  state = {}
  for path, x in flatten_dict(variables).items():
    _, *modules, leaf = path
    axes = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[x.ndim]
    state['.'.join([*modules, TORCH_NAMES[leaf]])] = x.transpose(axes)
  return state


class TorchInception:
  """The network in plain PyTorch calls, driven by parameter names."""

  def __init__(self, variables, variant):
    self.torch = pytest.importorskip('torch', reason='torch is not installed')
    self.f = self.torch.nn.functional
    self.state = {
      name: self.torch.tensor(x) for name, x in torch_state(variables).items()
    }
    self.fid = variant == 'fid'

  def unit(self, name, x, padding=0, stride=1):
    get = self.state.__getitem__
    x = self.f.conv2d(x, get(f'{name}.conv.weight'), None, stride, padding)
    x = self.f.batch_norm(
      x, get(f'{name}.bn.running_mean'), get(f'{name}.bn.running_var'),
      get(f'{name}.bn.weight'), get(f'{name}.bn.bias'), eps=0.001,
    )  # fmt: skip
    return self.f.relu(x)

  def average(self, x):
    return self.f.avg_pool2d(x, 3, 1, 1, count_include_pad=not self.fid)

  def block_a(self, u, x):
    five = u('branch5x5_2', u('branch5x5_1', x), 2)
    three = u('branch3x3dbl_2', u('branch3x3dbl_1', x), 1)
    three = u('branch3x3dbl_3', three, 1)
    pool = u('branch_pool', self.average(x))
    return [u('branch1x1', x), five, three, pool]

  def block_b(self, u, x):
    double = u('branch3x3dbl_2', u('branch3x3dbl_1', x), 1)
    double = u('branch3x3dbl_3', double, 0, 2)
    return [u('branch3x3', x, 0, 2), double, self.f.max_pool2d(x, 3, 2)]

  def block_c(self, u, x):
    single = u('branch7x7_2', u('branch7x7_1', x), (0, 3))
    single = u('branch7x7_3', single, (3, 0))
    double = u('branch7x7dbl_2', u('branch7x7dbl_1', x), (3, 0))
    double = u('branch7x7dbl_3', double, (0, 3))
    double = u('branch7x7dbl_4', double, (3, 0))
    double = u('branch7x7dbl_5', double, (0, 3))
    pool = u('branch_pool', self.average(x))
    return [u('branch1x1', x), single, double, pool]

  def block_d(self, u, x):
    three = u('branch3x3_2', u('branch3x3_1', x), 0, 2)
    seven = u('branch7x7x3_2', u('branch7x7x3_1', x), (0, 3))
    seven = u('branch7x7x3_3', seven, (3, 0))
    seven = u('branch7x7x3_4', seven, 0, 2)
    return [three, seven, self.f.max_pool2d(x, 3, 2)]

  def block_e(self, u, x, pooled):
    three = u('branch3x3_1', x)
    double = u('branch3x3dbl_2', u('branch3x3dbl_1', x), 1)
    return [
      u('branch1x1', x),
      u('branch3x3_2a', three, (0, 1)),
      u('branch3x3_2b', three, (1, 0)),
      u('branch3x3dbl_3a', double, (0, 1)),
      u('branch3x3dbl_3b', double, (1, 0)),
      u('branch_pool', pooled),
    ]

  def block(self, name, x):
    def u(branch, *args):
      return self.unit(f'{name}.{branch}', *args)

    if name == 'Mixed_7b':
      outputs = self.block_e(u, x, self.average(x))
    elif name == 'Mixed_7c':
      largest = self.f.max_pool2d(x, 3, 1, 1)
      outputs = self.block_e(u, x, largest if self.fid else self.average(x))
    else:
      kinds = {
        '5b': 'a', '5c': 'a', '5d': 'a', '6a': 'b', '6b': 'c', '6c': 'c',
        '6d': 'c', '6e': 'c', '7a': 'd',
      }  # fmt: skip
      outputs = getattr(self, f'block_{kinds[name[-2:]]}')(u, x)
    return self.torch.cat(outputs, 1)

  def __call__(self, image):
    x = self.unit('Conv2d_1a_3x3', self.nchw(image), 0, 2)
    x = self.unit('Conv2d_2b_3x3', self.unit('Conv2d_2a_3x3', x), 1)
    x = self.unit('Conv2d_3b_1x1', self.f.max_pool2d(x, 3, 2))
    x = self.f.max_pool2d(self.unit('Conv2d_4a_3x3', x), 3, 2)
    for name in ('5b', '5c', '5d', '6a', '6b', '6c', '6d', '6e', '7a', '7b',
                 '7c'):  # fmt: skip
      x = self.block(f'Mixed_{name}', x)
    features = x.mean((2, 3))
    logits = features @ self.state['fc.weight'].T
    if not self.fid:
      logits = logits + self.state['fc.bias']
    return features.numpy(), logits.numpy()

  def nchw(self, x):
    return self.torch.tensor(np.asarray(x)).permute(0, 3, 1, 2)


def image_of(*size, seed=1):
  rng = np.random.default_rng(seed)
  return rng.uniform(-1, 1, size).astype(np.float32)


def assert_close(ours, theirs):
  """Allows for float32 rounding, measured as 1e-6 of the largest value.

  BatchNorm's epsilon of 1e-5 instead of 1e-3 changes a block by 1e-3.
  """
  assert ours.shape == theirs.shape
  assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(
  ('variant', 'classes', 'count'),
  [('torchvision', 1000, 23_834_568), ('fid', 1008, 23_850_960 - 1008)],
)
def test_outputs_and_parameter_counts(variant, classes, count):
  """torchvision's counts without the auxiliary head, 'fid' without the bias."""
  outputs, variables = shapes(InceptionV3(variant), 1, 299, 299, 3)
  assert [x.shape for x in outputs] == [(1, 2048), (1, classes)]
  assert sum(x.size for x in jax.tree.leaves(variables['params'])) == count
  assert len(jax.tree.leaves(variables['batch_stats'])) == 2 * 94


def test_maps_have_the_paper_s_sizes():
  """Sizes are those of table 1; the batch dimension is kept."""
  network = InceptionV3('fid')
  _, variables = shapes(network, 1, 299, 299, 3)
  _, seen = jax.eval_shape(
    lambda *args: network.apply(
      *args, capture_intermediates=True, mutable=['intermediates']
    ),
    variables,
    jax.ShapeDtypeStruct((2, 299, 299, 3), np.float32),
  )
  sizes = {
    'Conv2d_1a_3x3': (149, 32), 'Conv2d_2a_3x3': (147, 32),
    'Conv2d_2b_3x3': (147, 64), 'Conv2d_3b_1x1': (73, 80),
    'Conv2d_4a_3x3': (71, 192), 'Mixed_5b': (35, 256), 'Mixed_5c': (35, 288),
    'Mixed_5d': (35, 288), 'Mixed_6a': (17, 768), 'Mixed_6e': (17, 768),
    'Mixed_7a': (8, 1280), 'Mixed_7b': (8, 2048), 'Mixed_7c': (8, 2048),
  }  # fmt: skip
  for name, (side, channels) in sizes.items():
    (x,) = seen['intermediates'][name]['__call__']
    assert x.shape == (2, side, side, channels), name


def test_names_and_shapes_are_torchvisions():
  """Compares with a digest of inception_v3(aux_logits=False).state_dict()."""
  _, tree = shapes(InceptionV3('torchvision'), 1, 299, 299, 3)
  arrays = jax.tree.map(lambda x: np.broadcast_to(0, x.shape), tree)
  lines = [f'{name} {x.shape}' for name, x in torch_state(arrays).items()]
  digest = hashlib.sha256('\n'.join(sorted(lines)).encode()).hexdigest()
  assert digest.startswith('5beceaea5a4204b95b31a90a20ffc737')


@pytest.mark.systems
@VARIANTS
@pytest.mark.parametrize(
  ('block', 'channels'),
  [
    ('Mixed_5b', 192),
    ('Mixed_6a', 288),
    ('Mixed_6c', 768),
    ('Mixed_7a', 768),
    ('Mixed_7b', 1280),
    ('Mixed_7c', 2048),
  ],
)
def test_blocks_are_pytorchs(block, channels, variant):
  network = Mixed(block, variant)
  x = image_of(2, 4, 5, channels)
  _, tree = shapes(network, *x.shape)
  variables = random_variables(tree)
  named = {kind: {block: part} for kind, part in variables.items()}
  oracle = TorchInception(named, variant)
  theirs = oracle.block(block, oracle.nchw(x)).permute(0, 2, 3, 1).numpy()
  ours = jax.jit(network.apply)(variables, x)
  assert_close(ours, theirs)


@pytest.mark.systems
@VARIANTS
def test_the_network_is_pytorchs(variant):
  network = InceptionV3(variant)
  image = image_of(1, 299, 299, 3)
  _, tree = shapes(network, *image.shape)
  variables = random_variables(tree)
  theirs = TorchInception(variables, variant)(image)
  for ours, wanted in zip(
    jax.jit(network.apply)(variables, image), theirs, strict=True
  ):
    assert_close(ours, wanted)


@pytest.mark.systems
def test_the_network_is_torchvisions():
  torch = pytest.importorskip('torch', reason='torch is not installed')
  models = pytest.importorskip(
    'torchvision', reason='torchvision is not installed'
  ).models
  network = InceptionV3('torchvision')
  image = image_of(1, 299, 299, 3)
  _, tree = shapes(network, *image.shape)
  variables = random_variables(tree)
  theirs = models.inception_v3(
    weights=None, init_weights=False, aux_logits=False
  ).eval()
  state = {name: torch.tensor(x) for name, x in torch_state(variables).items()}
  theirs.load_state_dict(state)
  seen = []
  theirs.avgpool.register_forward_hook(lambda *args: seen.append(args[-1]))
  with torch.no_grad():
    logits = theirs(torch.tensor(image).permute(0, 3, 1, 2))
  our_features, our_logits = jax.jit(network.apply)(variables, image)
  assert_close(our_features, seen[0].numpy()[:, :, 0, 0])
  assert_close(our_logits, logits.numpy())


def test_an_unknown_variant_is_refused():
  with pytest.raises(InputError, match="variant 'tf'; choose one of: fid, tor"):
    shapes(InceptionV3('tf'), 1, 299, 299, 3)
  with pytest.raises(InputError, match="variant 'tf'"):
    preprocess(np.zeros((1, 2, 2, 3), np.uint8), 'tf')


def by_loop(image):
  """Resizes [H, W, C] bilinearly by the definition, in float64."""
  height, width, channels = image.shape
  out = np.zeros((299, 299, channels))
  for i in range(299):
    y = i * height / 299
    top = int(y)
    bottom = min(top + 1, height - 1)
    for j in range(299):
      x = j * width / 299
      left = int(x)
      right = min(left + 1, width - 1)
      out[i, j] = (
        (1 - (y - top)) * (1 - (x - left)) * image[top, left]
        + (1 - (y - top)) * (x - left) * image[top, right]
        + (y - top) * (1 - (x - left)) * image[bottom, left]
        + (y - top) * (x - left) * image[bottom, right]
      )
  return out


@pytest.mark.parametrize('size', [(1, 3), (5, 310)])
def test_resizing_by_a_loop(size):
  images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
  resized = resize_tf1(images)
  assert resized.dtype == np.float32
  # Positions up to 310 are rounded to 2^-16 of a pixel; two pixels differ by
  # 255 at most, in both directions.
  tolerance = 2 * 255 * 2.0**-16
  wanted = by_loop(images[1].astype(float))
  assert_allclose(resized[1], wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize('size', [(7, 20), (150, 31), (100, 2)])
def test_a_ramp_stays_a_ramp_that_starts_at_the_corner(size):
  rows, columns = np.mgrid[: size[0], : size[1]]
  image = (rows + 2 * columns).astype(np.uint8)[None, :, :, None]
  y, x = (np.minimum(np.arange(299) * side / 299, side - 1) for side in size)
  wanted = y[:, None, None] + 2 * x[:, None]
  # Positions up to 150 are rounded to 2^-17, values up to 255 to 2^-17.
  assert_allclose(
    resize_tf1(image)[0], np.repeat(wanted, 3, 2), rtol=0, atol=1e-4
  )


def test_images_of_the_right_size_are_untouched():
  images = np.random.default_rng(0).integers(0, 256, (1, 299, 299, 3), np.uint8)
  assert_array_equal(resize_tf1(images), images)


def test_gray_images_have_three_equal_channels():
  images = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 1), np.uint8)
  assert_array_equal(resize_tf1(images), resize_tf1(np.repeat(images, 3, 3)))


@pytest.mark.parametrize(
  ('variant', 'scaled'),
  [('fid', [-1.0, 0.0, 127 / 128]), ('torchvision', [-1.0, 1 / 255, 1.0])],
)
def test_the_scale_of_the_network_s_images(variant, scaled):
  images = np.array([0, 128, 255], np.uint8).reshape(3, 1, 1, 1)
  out = preprocess(images, variant)
  assert out.shape == (3, 299, 299, 3)
  wanted = np.broadcast_to(np.reshape(scaled, (3, 1, 1, 1)), out.shape)
  assert_allclose(out, wanted, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
  'images',
  [
    np.zeros((1, 4, 4, 3), np.float32),
    np.zeros((1, 4, 4, 2), np.uint8),
    np.zeros((1, 4, 4, 4), np.uint8),
    np.zeros((4, 4, 3), np.uint8),
    np.zeros((0, 4, 4, 3), np.uint8),
    np.zeros((1, 0, 4, 3), np.uint8),
  ],
)
def test_what_is_no_batch_of_images_is_refused(images):
  with pytest.raises(ValueError, match=r'uint8 images|have no pixel'):
    resize_tf1(images)
