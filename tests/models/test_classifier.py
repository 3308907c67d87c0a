import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.errors import InputError
from gan_jax.models.classifier import ConvClassifier

SIZES = pytest.mark.parametrize(
  ('image_shape', 'strides'),
  [((32, 32, 3), (2, 2, 2)), ((8, 8, 1), (1, 2, 1))],
)
WIDTH = 4


def images(num, image_shape=(8, 8, 1), seed=1):
  return jax.random.normal(jax.random.key(seed), (num, *image_shape))


def init(image_shape=(8, 8, 1), strides=(1, 2, 1), num_logits=10):
  classifier = ConvClassifier(num_logits, WIDTH, strides)
  variables = classifier.init(
    jax.random.key(0), images(1, image_shape), train=False
  )
  return classifier, variables


def with_leaf(variables, collection, path, change):
  """A copy of `variables` with one leaf changed."""

  def visit(at, leaf):
    names = tuple(key.key for key in at)
    return change(leaf) if names == (collection, *path) else leaf

  return jax.tree.map_with_path(visit, variables)


@SIZES
@pytest.mark.parametrize('num_logits', [10, 11])
def test_shapes(image_shape, strides, num_logits):
  classifier, variables = init(image_shape, strides, num_logits)
  output = classifier.apply(variables, images(3, image_shape), train=False)
  assert output.class_logits.shape == (3, num_logits)
  assert output.features.shape == (3, 2 * WIDTH)


@SIZES
def test_features_are_the_pooled_last_activation(image_shape, strides):
  classifier, variables = init(image_shape, strides)
  output, captured = classifier.apply(
    variables,
    images(3, image_shape),
    train=False,
    capture_intermediates=True,
    mutable=['intermediates'],
  )
  (last,) = captured['intermediates']['conv7']['__call__']
  assert last.shape == (3, 2, 2, 2 * WIDTH)
  activation = np.where(last > 0, last, 0.2 * last)
  np.testing.assert_allclose(
    output.features, activation.mean((1, 2)), rtol=1e-5, atol=1e-7
  )
  dense = variables['params']['class_logits']
  np.testing.assert_allclose(
    output.class_logits,
    output.features @ dense['kernel'] + dense['bias'],
    rtol=1e-5,
    atol=1e-6,
  )


@SIZES
def test_map_sizes(image_shape, strides):
  classifier, variables = init(image_shape, strides)
  _, captured = classifier.apply(
    variables,
    images(1, image_shape),
    train=False,
    capture_intermediates=True,
    mutable=['intermediates'],
  )
  sizes = [
    captured['intermediates'][f'conv{layer}']['__call__'][0].shape[1]
    for layer in range(1, 8)
  ]
  sides = {32: [16, 8, 4, 4, 4, 4, 2], 8: [8, 4, 4, 4, 4, 4, 2]}
  assert sizes == sides[image_shape[0]]


@SIZES
def test_number_of_parameters_by_hand(image_shape, strides):
  _, variables = init(image_shape, strides)
  w, c = WIDTH, image_shape[-1]
  convolutions = (9 * c * w + w) + 2 * (9 * w * w + w)
  convolutions += (9 * w * 2 * w + 2 * w) + 3 * (9 * 2 * w * 2 * w + 2 * w)
  norms = 2 * (w + w + 2 * w + 2 * w + 2 * w)
  dense = 2 * w * 10 + 10
  num = sum(x.size for x in jax.tree.leaves(variables['params']))
  assert num == convolutions + norms + dense


def test_first_and_last_convolution_have_no_norm():
  _, variables = init()
  norms = {name for name in variables['params'] if name.startswith('norm')}
  assert norms == {'norm2', 'norm3', 'norm4', 'norm5', 'norm6'}
  assert set(variables['batch_stats']) == norms


def test_gradient_reaches_every_parameter():
  classifier, variables = init()
  weight = images(5, (10,), seed=2)

  def loss(params):
    # In train mode BatchNorm takes the means and with them the biases away.
    output = classifier.apply(
      {**variables, 'params': params}, images(5), train=False
    )
    return (weight * output.class_logits).sum()

  for path, gradient in jax.tree.leaves_with_path(
    jax.grad(loss)(variables['params'])
  ):
    assert np.abs(gradient).max() > 1e-3, jax.tree_util.keystr(path)


@pytest.mark.parametrize(
  'path',
  [('norm2', 'norm', 'scale'), ('conv6', 'kernel'), ('norm6', 'norm', 'scale')],
)
@pytest.mark.parametrize('train', [False, True])
def test_no_layer_is_dead(path, train):
  """The layers whose output the notebook throws away."""
  classifier, variables = init()

  def logits(variables):
    output, _ = classifier.apply(
      variables,
      images(5),
      train=train,
      rngs={'dropout': jax.random.key(3)},
      mutable=['batch_stats'],
    )
    return output.class_logits

  # Not one factor for all channels: the next BatchNorm would undo it.
  changed = with_leaf(
    variables,
    'params',
    path,
    lambda x: x * jnp.linspace(0.5, 2, x.size).reshape(x.shape),
  )
  difference = np.abs(logits(changed) - logits(variables))
  assert (difference.max(axis=1) > 1e-3).all()


def test_rows_are_independent_in_eval_mode_only():
  classifier, variables = init()
  x, other = images(4), images(4).at[1:].set(9 * images(3, seed=5))

  def first_row(image, train):
    output, _ = classifier.apply(
      variables,
      image,
      train=train,
      rngs={'dropout': jax.random.key(3)},
      mutable=['batch_stats'],
    )
    return output.class_logits[0]

  np.testing.assert_allclose(
    first_row(other, False), first_row(x, False), rtol=1e-6, atol=1e-7
  )
  assert np.abs(first_row(other, True) - first_row(x, True)).max() > 0.01


def test_eval_mode_uses_the_running_statistics():
  classifier, variables = init()
  before = classifier.apply(variables, images(2), train=False).class_logits
  for layer in range(2, 7):
    changed = with_leaf(
      variables,
      'batch_stats',
      (f'norm{layer}', 'norm', 'mean'),
      lambda x: x + jnp.linspace(-1, 1, x.size),
    )
    after = classifier.apply(changed, images(2), train=False).class_logits
    assert np.abs(after - before).max() > 1e-3


def test_dropout_acts_in_train_mode_at_four_places():
  classifier, variables = init()
  _, captured = classifier.apply(
    variables,
    jnp.ones((50, 8, 8, 1)),
    train=True,
    rngs={'dropout': jax.random.key(3)},
    capture_intermediates=True,
    mutable=['intermediates', 'batch_stats'],
  )
  rates = {'dropout0': 0.2, 'dropout1': 0.5, 'dropout3': 0.5, 'dropout6': 0.5}
  seen = captured['intermediates']
  assert {name for name in seen if name.startswith('dropout')} == set(rates)
  for name, rate in rates.items():
    (y,) = seen[name]['__call__']
    dropped = int((y == 0).sum())
    sd = np.sqrt(y.size * rate * (1 - rate))
    assert abs(dropped - y.size * rate) < 4 * sd


def test_layers_do_not_share_a_dropout_mask():
  classifier, variables = init()
  _, captured = classifier.apply(
    variables,
    images(3),
    train=True,
    rngs={'dropout': jax.random.key(3)},
    capture_intermediates=True,
    mutable=['intermediates', 'batch_stats'],
  )
  masks = [
    captured['intermediates'][name]['__call__'][0][:, :4, :4, :4] == 0
    for name in ('dropout1', 'dropout3', 'dropout6')
  ]
  for i in range(3):
    assert (masks[i] != masks[i - 1]).mean() > 0.3


def test_images_that_are_too_small_are_refused():
  with pytest.raises(InputError, match=r'conv7: .* no pixel of a 1x1 map'):
    init((4, 4, 1), (2, 2, 2))
