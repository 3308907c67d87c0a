import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.rng import key_for
from gan_jax.losses import feature_matching_loss
from gan_jax.runs.program import advance, build, init_state
from gan_jax.systems import make_system
from tests.changes import with_sgd
from tests.systems.steps import batch_of, close, one_step
from tests.tiers import in_systems

pytestmark = pytest.mark.systems


@pytest.fixture
def config(smoke_config):
  """A smoke config with plain SGD and no dropout: steps are easy to predict."""
  smoke_config.model.discriminator.dropout_rate = 0.0
  smoke_config.data.num_labels = None
  smoke_config.data.num_validation = 3
  smoke_config.data.batch_size = 6
  return with_sgd(smoke_config, 0.05)


def assert_trees_differ(a, b):
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  assert any((x != y).any() for x, y in pairs)


@pytest.mark.parametrize(
  ('still', 'moving'),
  [('generator', 'discriminator'), ('discriminator', 'generator')],
)
def test_one_players_update_leaves_the_other_untouched(
  config, tiny_dataset, still, moving
):
  config.optimizer[still].learning_rate = 0.0
  old, new, _ = one_step(build(config, tiny_dataset))
  jax.tree.map(
    assert_array_equal, getattr(old, still).params, getattr(new, still).params
  )
  assert_trees_differ(getattr(old, moving).params, getattr(new, moving).params)


@pytest.mark.parametrize('play', ['simultaneous', 'alternating'])
def test_the_generator_meets_the_old_or_the_new_discriminator(
  config, tiny_dataset, play
):
  config.loss.play = play
  _, moved, _ = one_step(build(config, tiny_dataset))
  config.optimizer.discriminator.learning_rate = 0.0
  _, stood, _ = one_step(build(config, tiny_dataset))
  a, b = moved.generator.params, stood.generator.params
  if play == 'simultaneous':
    jax.tree.map(lambda x, y: assert_allclose(x, y, atol=1e-7), a, b)
  else:
    with pytest.raises(AssertionError):
      jax.tree.map(lambda x, y: assert_allclose(x, y, atol=1e-7), a, b)


@pytest.mark.usefixtures('plain_convolutions')
def test_the_generators_loss_is_feature_matching(config, tiny_dataset):
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(build(config, tiny_dataset))
  generator, discriminator = (
    x.module for x in program.system.networks.values()
  )

  def loss(params):
    key = jax.random.fold_in(program.key('train'), 0)
    keys = jax.vmap(lambda i: jax.random.fold_in(key_for(key, 'z'), i))(
      jnp.arange(6)
    )
    z = jax.vmap(lambda k: jax.random.normal(k, (100,)))(keys)
    g = {'params': params, **old.generator.model_state}
    d = {'params': old.discriminator.params, **old.discriminator.model_state}
    fake, statistics = generator.apply(
      g, z, train=True, mutable=['batch_stats']
    )
    features = [
      discriminator.apply(d, x, train=True, mutable=['batch_stats'])[0].features
      for x in (batch_of(program)['train']['image'], fake)
    ]
    return feature_matching_loss(*features), statistics

  (value, statistics), gradient = jax.jit(
    jax.value_and_grad(loss, has_aux=True)
  )(old.generator.params)
  assert_allclose(metrics['g_loss'], value, rtol=1e-5)
  want = jax.tree.map(lambda p, g: p - 0.05 * g, old.generator.params, gradient)
  close(new.generator.params, want)
  close(new.generator.model_state, statistics)


@pytest.mark.usefixtures('plain_convolutions')
def test_running_statistics_come_from_the_real_pass_only(config, tiny_dataset):
  program = build(config, tiny_dataset)
  old, new, _ = one_step(build(config, tiny_dataset))
  discriminator = program.system.networks['discriminator'].module
  variables = {
    'params': old.discriminator.params,
    **old.discriminator.model_state,
  }
  _, want = discriminator.apply(
    variables,
    batch_of(program)['train']['image'],
    train=True,
    mutable=['batch_stats'],
  )
  close(new.discriminator.model_state, want)
  assert_trees_differ(
    new.discriminator.model_state, old.discriminator.model_state
  )


@pytest.mark.usefixtures('plain_convolutions')
def test_masked_labels_do_not_matter(config, tiny_dataset):
  program = build(config, tiny_dataset)
  states = []
  for label in (-1, 1, 999):
    batch = batch_of(program)
    mask = np.array([1, 0, 1, 0, 0, 0], np.float32)
    rows = batch['train']
    rows['label'] = np.where(mask == 1, rows['label'], label).astype(np.int32)
    rows['label_mask'] = mask
    states.append(one_step(build(config, tiny_dataset), batch=batch)[1])
  for other in states[1:]:
    jax.tree.map(assert_array_equal, states[0], other)


@pytest.mark.usefixtures('plain_convolutions')
@pytest.mark.parametrize(
  ('extra_class', 'feature_matching'),
  [
    (True, 'squared'),
    *in_systems((False, 'squared'), (True, 'absolute'), (False, 'absolute')),
  ],
)
def test_both_parameterisations_train(
  config, tiny_dataset, extra_class, feature_matching
):
  config.model.extra_class = extra_class
  config.loss.feature_matching = feature_matching
  old, new, metrics = one_step(build(config, tiny_dataset))
  assert_trees_differ(old.discriminator.params, new.discriminator.params)
  assert all(np.isfinite(value) for value in metrics.values())
  program = build(config, tiny_dataset)
  image = jnp.zeros((5, 8, 8, 1))
  logits = program.system.classifier.predict(new.discriminator.weights, image)
  assert logits.shape == (5, 3)
  num_logits = new.discriminator.params['class_logits']['bias'].shape
  assert num_logits == (3 + extra_class,)


def test_the_average_classifies_when_it_is_on(config, tiny_dataset):
  config.optimizer.discriminator.ema = {'name': 'debiased', 'decay': 0.9}
  _, new, _ = one_step(build(config, tiny_dataset))
  assert new.discriminator.averaged is new.discriminator.ema
  config.optimizer.discriminator.ema = {'name': 'none'}
  _, new, _ = one_step(build(config, tiny_dataset))
  jax.tree.map(
    assert_array_equal, new.discriminator.averaged, new.discriminator.weights
  )


@pytest.mark.parametrize('num_labels', [None, 3])
def test_two_devices_agree_with_one(config, tiny_dataset, num_labels):
  """Compares raw gradients (the first SGD step) and the state after five."""
  config.data.num_labels = num_labels
  states = {}
  for mode in ('jit', 'pmap'):
    config.parallel = mode
    program = build(config, tiny_dataset)
    for step, state, metrics in advance(program, init_state(program), 0):
      if step in (1, 5):
        states[mode, step] = jax.device_get((state, metrics))
      if step == 5:
        break
  initial = jax.device_get(init_state(program))
  for name in ('generator', 'discriminator'):
    gradients = [
      jax.tree.map(
        lambda new, old: (old - new) / 0.05,
        getattr(states[mode, 1][0], name).params,
        getattr(initial, name).params,
      )
      for mode in ('jit', 'pmap')
    ]
    assert max(abs(g).max() for g in jax.tree.leaves(gradients[0])) > 0.01
    jax.tree.map(lambda a, b: assert_allclose(a, b, atol=1e-5), *gradients)
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, atol=1e-5, rtol=1e-5),
    states['jit', 5],
    states['pmap', 5],
  )


def test_dropout_and_noise_do_not_depend_on_the_devices(config, tiny_dataset):
  config.model.discriminator.dropout_rate = 0.5
  results = []
  for mode in ('jit', 'pmap'):
    config.parallel = mode
    program = build(config, tiny_dataset)
    _, state, _ = next(advance(program, init_state(program), 0))
    results.append(jax.device_get(state))
  jax.tree.map(lambda a, b: assert_allclose(a, b, atol=1e-5), *results)


def test_samples_are_a_function_of_the_key(config, tiny_dataset):
  program = build(config, tiny_dataset)
  system, weights = program.system, init_state(program).generator.weights
  a, b = (
    system.sampler.generate(
      weights, system.sampler.draw(jax.random.key(1), num)
    )['samples']
    for num in (4, 6)
  )
  assert a.shape == (4, 8, 8, 1)
  assert_allclose(a, b[:4], atol=1e-6)
  assert abs(a).max() <= 1


def test_systems_of_all_configs_are_known(smoke_config):
  smoke_config.system = 'gna'
  with pytest.raises(ValueError, match=r"unknown system 'gna'.*ssgan"):
    make_system(smoke_config, None)
