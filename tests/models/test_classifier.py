import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.core.errors import InputError
from gan_jax.models.classifier import ConvClassifier
from tests.models.keys import KEY, NOISE_KEY

SIZES = pytest.mark.parametrize(
  ('size', 'strides'),
  [(8, (1, 2, 1)), pytest.param(32, (2, 2, 2), marks=pytest.mark.systems)],
)


def build(size=8, strides=(1, 2, 1), num_logits=10, rate=0.5, rows=6):
  classifier = ConvClassifier(
    num_logits, width=4, strides=strides, dropout_rate=rate
  )
  image = jax.random.normal(KEY, (rows, size, size, 1))
  variables = jax.jit(lambda: classifier.init(KEY, image, train=False))()
  return classifier, variables, image


@SIZES
def test_the_layers(size, strides):
  classifier, variables, image = build(size, strides, num_logits=11)
  output, state = classifier.apply(
    variables, image, train=False, capture_intermediates=True
  )
  maps = {
    name: value['__call__'][0].shape[1:]
    for name, value in state['intermediates'].items()
    if name.startswith('conv')
  }
  first = size // strides[0]
  second = first // strides[1]
  assert maps == {
    'conv1': (first, first, 4),
    'conv2': (second, second, 4),
    'conv3': (4, 4, 4),
    'conv4': (4, 4, 8),
    'conv5': (4, 4, 8),
    'conv6': (4, 4, 8),
    'conv7': (2, 2, 8),
  }
  last = state['intermediates']['conv7']['__call__'][0]
  activated = np.where(last > 0, last, 0.2 * last)
  assert_allclose(output.features, activated.mean((1, 2)), atol=1e-6)
  dense = variables['params']['class_logits']
  want = output.features @ dense['kernel'] + dense['bias']
  assert_allclose(output.class_logits, want, atol=1e-5)
  assert output.class_logits.shape == (6, 11)
  norms = {name for name in variables['params'] if name.startswith('norm')}
  assert norms == {f'norm{i}' for i in range(2, 7)}


def test_parameter_count_at_full_width():
  classifier = ConvClassifier(11)
  image = jnp.zeros((1, 32, 32, 3))
  shapes = jax.eval_shape(lambda: classifier.init(KEY, image, train=False))
  count = sum(x.size for x in jax.tree.leaves(shapes['params']))
  kernels = 9 * (3 * 64 + 2 * 64 * 64 + 64 * 128 + 3 * 128 * 128)
  biases = 3 * 64 + 4 * 128
  norms = 2 * (2 * 64 + 3 * 128)
  assert count == kernels + biases + norms + 128 * 11 + 11


@SIZES
def test_no_layer_is_dead(size, strides):
  """The notebook has a norm and a convolution without effect."""
  classifier, variables, image = build(size, strides, rate=0.0, rows=16)
  params = variables.pop('params')

  def loss(params):
    output, _ = classifier.apply(
      {'params': params, **variables}, image, train=True,
      mutable=['batch_stats'],
    )  # fmt: skip
    return (output.class_logits**2).sum() + output.class_logits.sum()

  gradients = jax.jit(jax.grad(loss))(params)
  for path, g in jax.tree_util.tree_leaves_with_path(gradients):
    name = jax.tree_util.keystr(path)
    if "['bias']" in name and any(f"['conv{i}']" in name for i in range(2, 7)):
      continue  # the following BatchNorm cancels a convolution's bias
    assert abs(g).max() > 1e-6, name


def test_dropout_acts_in_training_only():
  classifier, variables, image = build()

  @functools.partial(jax.jit, static_argnums=0)
  def logits(train, key):
    return classifier.apply(
      variables, image, train=train, rngs={'noise': jax.random.key(key)},
      mutable=['batch_stats'],
    )[0].class_logits  # fmt: skip

  assert abs(logits(True, 1) - logits(True, 2)).max() > 1e-3
  assert_allclose(logits(False, 1), logits(False, 2), atol=0)


def test_at_test_time_rows_do_not_look_at_each_other():
  classifier, variables, image = build()
  together = classifier.apply(variables, image, train=False).class_logits
  alone = classifier.apply(variables, image[:1], train=False).class_logits
  assert_allclose(alone, together[:1], atol=1e-5)


def test_images_that_are_too_small_are_refused():
  with pytest.raises(InputError, match=r'conv7.*leaves no pixel of a 1x1 map'):
    build(size=4, strides=(2, 2, 2))


@pytest.mark.systems
def test_dropout_acts_at_four_places_with_masks_of_their_own():
  classifier, variables, image = build(rows=20)
  _, state = classifier.apply(
    variables, image, train=True, rngs={'noise': NOISE_KEY},
    mutable=['batch_stats', 'intermediates'], capture_intermediates=True,
  )  # fmt: skip
  dropped = {
    name: np.asarray(value['__call__'][0] == 0)
    for name, value in state['intermediates'].items()
    if name.startswith('dropout')
  }
  rates = {'dropout0': 0.2, 'dropout1': 0.5, 'dropout3': 0.5, 'dropout6': 0.5}
  assert dropped.keys() == rates.keys()
  for name, rate in rates.items():
    deviation = (rate * (1 - rate) / dropped[name].size) ** 0.5
    assert abs(dropped[name].mean() - rate) < 4 * deviation, name
  corners = [dropped[f'dropout{i}'][:, :4, :4, :4] for i in (1, 3, 6)]
  for i in range(3):
    differing = (corners[i] != corners[i - 1]).mean()
    assert abs(differing - 0.5) < 4 * 0.5 / corners[i].size ** 0.5
