import itertools

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.models.mlp import (
  BatchNormMLPGenerator,
  MaxoutDiscriminator,
  MLPDiscriminator,
  MLPGenerator,
  NoisyClassifier,
  SoftplusGenerator,
)
from tests.models.keys import KEY, NOISE_KEY

IMAGE = jax.random.uniform(KEY, (6, 4, 5, 3))
Z = jax.random.normal(KEY, (6, 7))


def count(variables):
  return sum(x.size for x in jax.tree.leaves(variables['params']))


def shapes(network, input_shape):
  return jax.eval_shape(
    lambda: network.init(KEY, jnp.zeros(input_shape), train=False)
  )


def normalised(direction):
  return direction / np.linalg.norm(direction, axis=0)


def test_the_generator_by_hand():
  generator = MLPGenerator((4, 5, 3), hidden=8)
  image, variables = generator.init_with_output(KEY, 9 * Z, train=True)
  one, two = variables['params'].values()
  x = 9 * Z @ one['kernel'] + one['bias']
  x = np.where(x > 0, x, 0.01 * x) @ two['kernel'] + two['bias']
  assert_allclose(image, np.tanh(x).reshape(6, 4, 5, 3), atol=1e-6)
  assert count(variables) == (7 * 8 + 8) + (8 * 60 + 60)


def test_the_discriminator_by_hand():
  discriminator = MLPDiscriminator(hidden=8)
  logits, variables = discriminator.init_with_output(KEY, IMAGE, train=True)
  one, two = variables['params'].values()
  x = IMAGE.reshape(6, 60) @ one['kernel'] + one['bias']
  x = np.where(x > 0, x, 0.01 * x) @ two['kernel'] + two['bias']
  assert logits.shape == (6,)
  assert_allclose(logits, x[:, 0], atol=1e-6)
  assert count(variables) == (60 * 8 + 8) + (8 + 1)


def test_sizes_at_28_pixels():
  """The layers are 100 -> 128 -> 784 and 784 -> 128 -> 1."""
  g = shapes(MLPGenerator((28, 28, 1)), (1, 100))
  d = shapes(MLPDiscriminator(), (1, 28, 28, 1))
  assert count(g) == 101 * 128 + 129 * 784
  assert count(d) == 785 * 128 + 129


def test_the_softplus_generator_by_hand():
  generator = SoftplusGenerator((4, 5, 3), hidden=(8, 9))
  variables = generator.init(KEY, Z, train=True)
  params = variables['params']
  params['norm2']['norm']['bias'] += 0.5
  image, state = generator.apply(
    variables, Z, train=True, mutable=['batch_stats']
  )
  x = Z
  for i in (1, 2):
    x = x @ params[f'dense{i}']['kernel']
    mean, variance = x.mean(axis=0), x.var(axis=0)
    stats = state['batch_stats'][f'norm{i}']['norm']
    assert_allclose(stats['mean'], 0.1 * mean, atol=1e-6)
    assert_allclose(stats['var'], 0.9 + 0.1 * variance, atol=1e-6)
    x = (x - mean) / np.sqrt(variance + 1e-5)
    x = np.log1p(np.exp(x + params[f'norm{i}']['norm']['bias']))
  last = params['pixels']
  x = x @ (last['scale'] * normalised(last['direction'])) + last['bias']
  # BatchNorm's fast variance, E x^2 - (E x)^2, costs a digit.
  assert_allclose(image, 1 / (1 + np.exp(-x)).reshape(image.shape), atol=1e-5)
  assert 0 <= image.min() < image.max() <= 1


def test_sizes_of_the_papers_networks():
  """They are those of Salimans et al. 2016, with only the trained scales."""
  g = shapes(SoftplusGenerator((28, 28, 1)), (1, 100))
  d = shapes(NoisyClassifier(10), (1, 28, 28, 1))
  assert count(g) == (101 * 500) + (501 * 500) + (502 * 784)
  widths = (784, 1000, 500, 250, 250, 250)
  layers = [(a + 1) * b for a, b in itertools.pairwise(widths)]
  assert count(d) == sum(layers) + 252 * 10
  assert sum(x.size for x in jax.tree.leaves(d['frozen'])) == sum(widths[1:])


def classify(variables=None, *, key=1, train=True, **options):
  classifier = NoisyClassifier(3, **{'hidden': (8, 9)} | options)
  rngs = {'params': KEY, 'noise': jax.random.key(key)}
  if variables is None:
    variables = classifier.init(rngs, IMAGE, train=train)
  return classifier.apply(variables, IMAGE, train=train, rngs=rngs), variables


def test_the_classifier_by_hand():
  output, variables = classify(train=False)
  x, params = IMAGE.reshape(6, 60), variables['params']
  for i in (1, 2):
    layer, frozen = params[f'dense{i}'], variables['frozen'][f'dense{i}']
    x = x @ (frozen['scale'] * normalised(layer['direction'])) + layer['bias']
    x = np.maximum(x, 0)
  assert_allclose(output.features, x, atol=1e-5)
  last = params['class_logits']
  x = x @ (last['scale'] * normalised(last['direction'])) + last['bias']
  assert_allclose(output.class_logits, x, atol=1e-5)


def test_features_come_before_their_own_noise_only():
  quiet, variables = classify(train=False)
  last, _ = classify(variables, hidden=(8, 9), input_noise=0.3)
  assert abs(last.features - quiet.features).max() > 0.1
  one, variables = classify(hidden=(8,), input_noise=0.0, train=False)
  noisy, _ = classify(variables, hidden=(8,), input_noise=0.0)
  assert_array_equal(noisy.features, one.features)
  assert abs(noisy.class_logits - one.class_logits).max() > 0.1


def test_noise_acts_at_every_layer_with_draws_of_its_own():
  hidden = (60, 60)
  classifier = NoisyClassifier(3, hidden, input_noise=0.3, hidden_noise=0.5)
  rngs = {'params': KEY, 'noise': NOISE_KEY}
  image = jnp.zeros((100, 4, 5, 3)).at[0].set(1.0)  # not a constant
  variables = classifier.init(rngs, image, train=True)
  _, state = classifier.apply(
    variables, image, train=True, rngs=rngs, capture_intermediates=True,
    mutable=['intermediates'],
  )  # fmt: skip
  layers = {
    name: value['__call__'][0]
    for name, value in state['intermediates'].items()
    if name != '__call__'
  }
  noise = [layers['noise0'] - image.reshape(100, 60)] + [
    layers[f'noise{i}'] - np.maximum(layers[f'dense{i}'], 0) for i in (1, 2)
  ]
  # Four standard errors from 6,000 draws: 4 / sqrt(2 * 6000).
  assert_allclose([x.std() for x in noise], [0.3, 0.5, 0.5], rtol=0.037)
  correlations = np.corrcoef([np.ravel(x) for x in noise])
  assert abs(correlations[np.triu_indices(3, 1)]).max() < 4 / 6000**0.5


def test_points_have_no_tanh_and_images_of_two_channels_do():
  for network, hidden in ((MLPGenerator, 8), (BatchNormMLPGenerator, (8,))):
    generator = network((1, 1, 2), hidden)
    points, variables = generator.init_with_output(KEY, 900 * Z, train=True)
    assert points.shape == (6, 1, 1, 2)
    last = list(variables['params'].values())[-1]
    last['kernel'] = 100 * last['kernel']
    points = generator.apply(variables, 900 * Z, train=False)
    assert abs(points).max() > 2.0
    images, _ = network((2, 2, 2), hidden).init_with_output(
      KEY, 900 * Z, train=False
    )
    assert abs(images).max() <= 1.0


def test_the_batch_norm_generator_by_hand():
  generator = BatchNormMLPGenerator((4, 5, 3), hidden=(8, 9), init_stddev=0.3)
  z = 3 * Z
  image, variables = generator.init_with_output(KEY, z, train=True)
  params = variables['params']
  _, new = generator.apply(variables, z, train=True, mutable=['batch_stats'])
  mean = (z @ params['dense1']['kernel']).mean(axis=0)
  assert_allclose(  # decay 0.95, from 0
    new['batch_stats']['norm1']['norm']['mean'], 0.05 * mean, atol=1e-5
  )
  assert {name: sorted(layer) for name, layer in params.items()} == {
    'dense1': ['kernel'],
    'norm1': ['norm'],
    'dense2': ['kernel'],
    'norm2': ['norm'],
    'pixels': ['bias', 'kernel'],
  }
  x = z
  for i in (1, 2):
    x = np.asarray(x @ params[f'dense{i}']['kernel'])
    x = np.maximum((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), 0.0)
  x = np.tanh(x @ params['pixels']['kernel'])
  assert_allclose(image, x.reshape(6, 4, 5, 3), atol=1e-4)
  kernels = [
    layer['kernel'] for name, layer in params.items() if 'norm' not in name
  ]
  assert_allclose(
    np.std(np.concatenate([k.ravel() for k in kernels])), 0.3, rtol=0.1
  )


def test_the_generator_of_pacgan_has_its_published_size():
  """2 -> 400 x 4 -> 2; hidden layers without biases."""
  found = shapes(BatchNormMLPGenerator((1, 1, 2)), (1, 2))
  hidden = 2 * 400 + 3 * 400 * 400
  assert count(found) == hidden + 4 * 2 * 400 + 400 * 2 + 2


def test_the_maxout_discriminator_by_hand():
  network = MaxoutDiscriminator(hidden=(4, 3), pieces=2, init_stddev=0.5)
  logits, variables = network.init_with_output(KEY, IMAGE, train=True)
  params = variables['params']
  x = np.asarray(IMAGE.reshape(6, -1))
  for name, units in (('dense1', 4), ('dense2', 3)):
    linear = np.asarray(x @ params[name]['kernel'] + params[name]['bias'])
    x = np.maximum(linear[:, :units], linear[:, units:])
  expected = x @ params['logit']['kernel'] + params['logit']['bias']
  assert_allclose(logits, expected[:, 0], atol=1e-5)
  assert_allclose(np.std(params['dense1']['kernel']), 0.5, rtol=0.1)


def test_the_discriminator_of_pacgan_has_its_published_size():
  found = shapes(MaxoutDiscriminator(), (1, 1, 1, 4))
  layers = (4 + 1) * 1000 + 2 * (200 + 1) * 1000 + 201
  assert count(found) == layers
