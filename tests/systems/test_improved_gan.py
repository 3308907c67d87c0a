import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.data.batches import Sampler, to_unit_range
from gan_jax.data.spec import Stream
from gan_jax.runs.program import build, init_state
from gan_jax.systems.system import Latents
from tests.systems.steps import (
  RATE,
  batch_of,
  by_hand,
  close,
  one_step,
  plain_config,
  train,
)

pytestmark = pytest.mark.systems


@pytest.fixture
def config():
  """A smoke config with plain SGD, without noise."""
  config = plain_config('mnist_ssgan')
  config.data.num_labels = 6
  config.model.discriminator.input_noise = 0.0
  config.model.discriminator.hidden_noise = 0.0
  return config


def fakes(program, state, purpose):
  """Returns (G's parameters) -> (a purpose's samples of step 0, statistics)."""
  key = jax.random.fold_in(program.key('train'), 0)
  z = program.system.sampler.draw(key_for(key, purpose), 6).z
  assert 0 <= z.min() < z.max() <= 1
  model_state = state.generator.model_state
  generate = by_hand(program, 'generator')
  return lambda params: generate(params, model_state, z)


def equal(a, b):
  return bool((np.asarray(a) == np.asarray(b)).all())


def test_frozen_scales_stay_and_the_last_layers_moves(config, tiny_dataset):
  program = build(config, tiny_dataset)
  start = init_state(program).discriminator
  end, _ = train(config, tiny_dataset, 'jit', 3)
  end = end.discriminator
  assert set(start.model_state) == {'frozen'}
  assert set(start.model_state['frozen']) == {'dense1', 'dense2'}
  jax.tree.map(assert_array_equal, start.model_state, end.model_state)
  moved = jax.tree.map(lambda a, b: not equal(a, b), start.params, end.params)
  assert moved == {
    'dense1': {'direction': True, 'bias': True},
    'dense2': {'direction': True, 'bias': True},
    'class_logits': {'direction': True, 'bias': True, 'scale': True},
  }


def test_three_streams_with_orders_of_their_own(config, tiny_dataset):
  program = build(config, tiny_dataset)
  sampler = program.sampler()
  names = ('labelled', 'unlabelled', 'unlabelled_for_g')
  seen = [
    np.concatenate([sampler.indices(name, step) for step in range(5)])
    for name in names
  ]
  labelled = set(np.flatnonzero(program.data.mask))
  assert [set(rows) for rows in seen] == [
    labelled, set(range(30)), set(range(30))
  ]  # fmt: skip
  assert not equal(seen[1], seen[2])
  assert sampler(0)['labelled']['label_mask'].tolist() == [1.0] * 6


@pytest.mark.parametrize(
  ('stream', 'term'),
  [
    ('labelled', 'd_loss_supervised'),
    ('unlabelled', 'd_loss_real_fake'),
    ('unlabelled_for_g', 'g_loss'),
  ],
)
def test_each_stream_enters_one_term(config, tiny_dataset, stream, term):
  config.optimizer.discriminator.learning_rate = 0.0
  program = build(config, tiny_dataset)
  batch = batch_of(program)
  _, _, metrics = one_step(program, batch=batch)
  batch[stream] = batch[stream] | {'image': -batch[stream]['image']}
  _, _, changed = one_step(program, batch=batch)
  for name in ('d_loss_supervised', 'd_loss_real_fake', 'g_loss'):
    assert equal(metrics[name], changed[name]) == (name != term)


def test_the_discriminators_step_by_hand(config, tiny_dataset):
  """The loss is -log p(y|x) on labels; else D(x) = sum exp / (sum exp + 1)."""
  config.loss.unlabelled_weight = 0.5
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(program)
  batch, d = batch_of(program), old.discriminator
  fake, _ = fakes(program, old, 'z_for_d')(old.generator.params)

  def terms(params):
    judge = by_hand(program, 'discriminator')
    on_labelled, on_real, on_fake = (
      judge(params, d.model_state, x)[0].class_logits
      for x in (
        batch['labelled']['image'] / 2 + 0.5,
        batch['unlabelled']['image'] / 2 + 0.5,
        fake,
      )
    )
    label = batch['labelled']['label']
    log_probability = jax.nn.log_softmax(on_labelled)[jnp.arange(6), label]
    of_real, of_fake = (
      jax.nn.logsumexp(logits, axis=1) for logits in (on_real, on_fake)
    )
    real_fake = 0.5 * jax.nn.softplus(-of_real) + 0.5 * jax.nn.softplus(of_fake)
    return -log_probability.mean(), real_fake.mean()

  def loss(params):
    supervised, real_fake = terms(params)
    return supervised + 0.5 * real_fake

  supervised, real_fake = terms(d.params)
  assert_allclose(metrics['d_loss_supervised'], supervised, rtol=1e-5)
  assert_allclose(metrics['d_loss_real_fake'], real_fake, rtol=1e-5)
  value, gradients = jax.jit(jax.value_and_grad(loss))(d.params)
  assert_allclose(metrics['d_loss'], value, rtol=1e-5)
  want = jax.tree.map(lambda p, g: p - RATE * g, d.params, gradients)
  close(new.discriminator.params, want)


def test_the_generators_step_by_hand(config, tiny_dataset):
  """The loss is the squared distance of the new D's mean features."""
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(program)
  generate = fakes(program, old, 'z_for_g')
  real = batch_of(program)['unlabelled_for_g']['image'] / 2 + 0.5

  def loss(params):
    fake, statistics = generate(params)
    on_real, on_fake = (
      by_hand(program, 'discriminator')(
        new.discriminator.params, old.discriminator.model_state, x
      )[0].features.mean(axis=0)
      for x in (real, fake)
    )
    return jnp.mean((on_real - on_fake) ** 2), statistics

  (value, statistics), gradients = jax.jit(
    jax.value_and_grad(loss, has_aux=True)
  )(old.generator.params)
  assert_allclose(metrics['g_loss'], value, rtol=1e-5)
  want = jax.tree.map(
    lambda p, g: p - RATE * g, old.generator.params, gradients
  )
  close(new.generator.params, want)
  close(new.generator.model_state, statistics)


@pytest.mark.parametrize('still', ['generator', 'discriminator'])
def test_one_players_update_leaves_the_other_untouched(
  config, tiny_dataset, still
):
  config.optimizer[still].learning_rate = 0.0
  old, new, _ = one_step(build(config, tiny_dataset))
  for player in ('generator', 'discriminator'):
    stayed = jax.tree.map(
      equal, getattr(old, player).params, getattr(new, player).params
    )
    assert all(jax.tree.leaves(stayed)) == (player == still)


def test_zero_to_one_inside_and_minus_one_to_one_outside(config, tiny_dataset):
  system = build(config, tiny_dataset).system
  state = init_state(build(config, tiny_dataset))
  generator, discriminator = (x.module for x in system.networks.values())

  def apply(network, weights, x):
    variables = {'params': weights.params, **weights.model_state}
    return network.apply(variables, x, train=False)

  g, d = state.generator.weights, state.discriminator.weights
  z = 20 * system.sampler.draw(jax.random.key(0), 50).z  # out to both ends
  samples = system.sampler.generate(g, Latents(z))['samples']
  assert_allclose(samples, 2 * apply(generator, g, z) - 1, atol=1e-6)
  assert -1 <= samples.min() < -0.5 < 0.5 < samples.max() <= 1
  image = jax.random.uniform(jax.random.key(0), (5, 8, 8, 1), minval=-1)
  want = apply(discriminator, d, (image + 1) / 2).class_logits
  assert_allclose(system.classifier.predict(d, image), want, atol=1e-5)


def test_two_devices_agree_with_one(config, tiny_dataset):
  config.model.discriminator.input_noise = 0.3
  config.model.discriminator.hidden_noise = 0.5
  config.optimizer.discriminator.ema = {'name': 'debiased', 'decay': 0.9}
  one, two = (train(config, tiny_dataset, m, 3) for m in ('jit', 'pmap'))
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, atol=1e-5, rtol=1e-5),
    *jax.device_get((one, two)),
  )


def test_the_start_is_a_function_of_seed_and_data(config, tiny_dataset):
  config.model.discriminator.hidden_noise = 0.5
  states = {}
  for mode in ('jit', 'pmap'):
    config.parallel = mode
    states[mode] = jax.device_get(init_state(build(config, tiny_dataset)))
  jax.tree.map(assert_array_equal, states['jit'], states['pmap'])
  start = states['jit']
  darker = tiny_dataset.train._replace(image=tiny_dataset.train.image // 2)
  other = init_state(build(config, tiny_dataset._replace(train=darker)))
  jax.tree.map(assert_array_equal, start.generator, other.generator)
  scales = [s.discriminator.model_state['frozen'] for s in (start, other)]
  assert not equal(*(s['dense1']['scale'] for s in scales))
  directions = [
    s.discriminator.params['dense1']['direction'] for s in (start, other)
  ]
  assert_array_equal(*directions)
  config.seed = 1
  other = init_state(build(config, tiny_dataset))
  for player, layer in (('generator', 'pixels'), ('discriminator', 'dense1')):
    directions = [
      getattr(s, player).params[layer]['direction'] for s in (start, other)
    ]
    assert not equal(*directions)


def test_logits_start_with_mean_0_and_variance_1(config, tiny_dataset):
  """They do on the first `init_rows` rows of a separate stream."""
  program = build(config, tiny_dataset)
  assert program.system.init_rows == 20
  rows = {'init': Stream('all', 20)}
  sampler = Sampler(tiny_dataset.train, program.data.mask, rows, config.seed)
  image = to_unit_range(sampler(0)['init']['image'])
  d = init_state(program).discriminator
  logits = program.system.classifier.predict(d.weights, image)
  assert_allclose(logits.mean(axis=0), 0, atol=1e-5)
  assert_allclose(logits.std(axis=0), 1, atol=1e-5)


def test_more_rows_to_start_from_than_images_are_refused(config, tiny_dataset):
  config.model.init_rows = 31
  with pytest.raises(InputError, match=r'init_rows = 31 is more than the 30'):
    build(config, tiny_dataset)
