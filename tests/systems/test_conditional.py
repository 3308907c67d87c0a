"""Class conditioning of `gan`, with each pair of networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for, uniform_rows
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.models.conditional import ConditionalBatchNorm
from gan_jax.runs.program import build, init_state, made_up_program
from gan_jax.systems.system import Latents
from tests.changes import changed
from tests.systems.steps import (
  RATE,
  batch_of,
  close,
  convolve,
  one_step,
  plain_config,
  train,
)
from tests.systems.test_gan import draw_key
from tests.tiers import in_systems

pytestmark = pytest.mark.systems


@pytest.fixture
def config():
  config = plain_config('mnist_gan')
  config.data.num_labels = None
  return changed(config, {'model.conditioning': 'concat_projection'})


def test_d_judges_with_the_label_and_g_makes_of_it(config, tiny_dataset):
  """Checks, by hand, G's embedding concatenated to z, and D's projection."""
  config.model.embedding_dim = 5
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(program)
  rows = batch_of(program)['train']
  label = rows['label']
  key = key_for(draw_key(program, 0, 0), 'z')
  z = uniform_rows(key, 6, (config.model.z_dim,), -1.0, 1.0)

  def dense(params, x):
    return x @ params['kernel'] + params['bias']

  def generate(params):
    embedding = params['embedding']['kernel'][label]
    net = params['generator']
    x = jnp.concatenate([z, embedding], axis=1)
    x = jax.nn.leaky_relu(dense(net['dense1'], x), 0.01)
    return jnp.tanh(dense(net['dense2'], x))

  def judge(params, image):
    x = jax.nn.leaky_relu(dense(params['dense1'], image), 0.01)
    embedding = params['embedding']['kernel'][label]
    return dense(params['dense2'], x)[:, 0] + (embedding * x).sum(axis=1)

  def d_loss(params):
    on_real = judge(params, rows['image'].reshape(6, -1))
    on_fake = judge(params, generate(old.generator.params))
    smoothed = -0.9 * jax.nn.log_sigmoid(on_real) - 0.1 * jax.nn.log_sigmoid(
      -on_real
    )
    return jnp.mean(smoothed + jax.nn.softplus(on_fake))

  config.loss.adversarial.label_smoothing = 0.1
  value, gradients = jax.jit(jax.value_and_grad(d_loss))(
    old.discriminator.params
  )
  assert_allclose(metrics['d_loss'], value, rtol=1e-5)
  d_params = jax.tree.map(
    lambda p, g: p - RATE * g, old.discriminator.params, gradients
  )
  close(new.discriminator.params, d_params)

  def g_loss(params):
    return jnp.mean(jax.nn.softplus(-judge(d_params, generate(params))))

  value, gradients = jax.jit(jax.value_and_grad(g_loss))(old.generator.params)
  assert_allclose(metrics['g_loss'], value, rtol=1e-5)
  close(
    new.generator.params,
    jax.tree.map(lambda p, g: p - RATE * g, old.generator.params, gradients),
  )


def test_batch_norm_of_a_class():
  """Each row gets its class's scale and shift after the normalisation."""
  layer = ConditionalBatchNorm(3)
  x = jax.random.normal(jax.random.key(0), (6, 2, 2, 4))
  label = jnp.array([0, 1, 2, 2, 1, 0])
  variables = layer.init(jax.random.key(1), x, label, train=True)
  params = {
    'scale': jnp.arange(12.0).reshape(3, 4),
    'bias': -jnp.arange(12.0).reshape(3, 4) / 7,
  }
  got, _ = layer.apply(
    {**variables, 'params': params}, x, label, train=True,
    mutable=['batch_stats'],
  )  # fmt: skip
  plain = np.asarray((x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5))
  for i, k in enumerate(label):
    want = params['scale'][k] * plain[i] + params['bias'][k]
    assert_allclose(got[i], want, atol=1e-4)


@pytest.mark.usefixtures('plain_convolutions')
@pytest.mark.parametrize(
  ('conditioning', 'normalization'),
  [
    ('concat_projection', 'spectral'),
    *in_systems(
      ('batch_norm_projection', 'batch'), ('batch_norm_projection', 'spectral')
    ),
  ],
)
def test_the_label_matters_to_both_networks(
  config, tiny_dataset, conditioning, normalization
):
  convolve(config, normalization)
  config = changed(config, {'model.conditioning': conditioning})
  program = build(config, tiny_dataset)
  state = init_state(program)
  z = jax.random.normal(jax.random.key(0), (4, config.model.z_dim))

  def generate(label, g):
    latents = Latents(z, label)
    return program.system.sampler.generate(g, latents)['samples']

  # Scales and shifts start equal for all classes: change them.
  g = state.generator.weights
  g = g._replace(params=jax.tree.map(
    lambda p: p + 0.3 * jax.random.normal(jax.random.key(1), p.shape), g.params
  ))  # fmt: skip
  zeros, ones = jnp.zeros(4, jnp.int32), jnp.ones(4, jnp.int32)
  first, second = generate(zeros, g), generate(ones, g)
  assert abs(first - second).max() > 1e-2
  one_hot = jax.nn.one_hot(ones, 3)
  assert_allclose(generate(one_hot, g), second, atol=1e-6)
  between = generate((one_hot + jax.nn.one_hot(zeros, 3)) / 2, g)
  assert abs(between - first).max() > 1e-3
  assert abs(between - second).max() > 1e-3
  network, d = program.system.networks['discriminator'], state.discriminator
  logits = [
    network.apply(d.weights, first, label, train=False)[0]
    for label in (zeros, ones)
  ]
  assert abs(logits[0] - logits[1]).max() > 1e-4


def test_labels_are_drawn_as_the_training_set_has_them(config, tiny_dataset):
  train = tiny_dataset.train
  few = train._replace(label=np.where(np.arange(30) < 24, 2, 0).astype('int32'))
  sampler = build(config, tiny_dataset._replace(train=few)).system.sampler
  assert sampler.num_classes == 3
  label = np.asarray(sampler.draw(jax.random.key(0), 4000).label)
  shares = np.bincount(label, minlength=3) / 4000
  assert_allclose(shares, [0.2, 0.0, 0.8], atol=4 * 0.4 / np.sqrt(4000))
  assert shares[1] == 0
  expression = sampler.in_numpy(4000)['label']
  rng = np.random.default_rng(0)
  theirs = eval(expression, {'np': np, 'rng': rng})
  assert theirs.dtype == np.int32
  assert_allclose(np.bincount(theirs, minlength=3) / 4000, shares, atol=0.03)


def test_a_way_from_class_to_class(config, tiny_dataset):
  sampler = build(config, tiny_dataset).system.sampler
  latents = sampler.draw(jax.random.key(0), 2)
  a = latents._replace(label=jnp.array([0, 1]))
  b = latents._replace(label=jnp.array([2, 1]))
  label = sampler.interpolate(a, b, 0.25).label
  assert_allclose(label, [[0.75, 0.0, 0.25], [0.0, 1.0, 0.0]])


def test_labels_stay_labels_in_bfloat16(config, tiny_dataset):
  """bfloat16 cannot tell 256 from 257."""
  program = build(config, tiny_dataset)
  network = program.system.networks['generator']
  module = network.module.clone(num_classes=300)
  network = network._replace(module=module, dtype='bfloat16')
  weights = network.init(jax.random.key(0))
  z = jax.random.normal(jax.random.key(1), (1, config.model.z_dim))
  first, second = (
    network.apply(weights, z, jnp.array([label]), train=False)[0]
    for label in (256, 257)
  )
  assert abs(first - second).max() > 1e-2


def test_the_grid_does_not_change_the_scores(config, tiny_dataset):
  """Each column shows one class; scored samples follow the data's classes."""
  scores, grids = [], []
  for columns in (3, 2):
    config.log.grid = (2, columns)
    program = build(config, tiny_dataset)
    evaluator, state = Evaluator(program), init_state(program)
    scores.append(evaluator.scores(state))
    grids.append(evaluator.grids(state)['samples'])
  assert scores[0] == scores[1]
  assert grids[0].shape != grids[1].shape


def test_a_conditional_step_is_timed_and_compiled(config):
  program = made_up_program(config, (28, 28, 1))
  assert program.config.data.num_labels is None


@pytest.mark.parametrize('mode', ['pmap', 'shard_map'])
def test_two_devices_are_one(config, tiny_dataset, mode):
  config.data.batch_size = 6
  one, two = (
    jax.device_get(train(config, tiny_dataset, how, 2)) for how in ('jit', mode)
  )
  jax.tree.map(lambda a, b: assert_allclose(a, b, atol=1e-5), one, two)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'data.num_labels': 9}, r'labels of all images.* set it to None'),
    (
      {'model.conditioning': 'batch_norm_projection'},
      r'needs BatchNorm, .* mlp does not have; set it to concat_projection',
    ),
  ],
)
def test_what_cannot_be_conditioned(config, tiny_dataset, changes, message):
  with pytest.raises(InputError, match=message):
    build(changed(config, changes), tiny_dataset)


def test_one_class_is_none(config, tiny_dataset):
  parts = {
    part: examples._replace(label=np.zeros_like(examples.label))
    for part, examples in tiny_dataset._asdict().items()
    if part in ('train', 'validation', 'test')
  }
  dataset = tiny_dataset._replace(**parts, num_classes=1)
  with pytest.raises(
    InputError, match='at least two classes, but the data have 1'
  ):
    build(config, dataset)


def test_without_conditioning_nothing_has_labels(tiny_dataset):
  program = build(plain_config('mnist_gan'), tiny_dataset)
  assert program.system.sampler.num_classes == 0
  assert program.system.sampler.draw(jax.random.key(0), 2).label is None
  shapes = [len(x.example) for x in program.system.networks.values()]
  assert shapes == [1, 1]
  assert_array_equal(program.data.spec.class_counts, [10, 10, 10])
