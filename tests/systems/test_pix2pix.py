import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.config import load_config
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.runs.program import advance, build, init_state, state_shapes
from gan_jax.systems.state import Weights
from tests import made_up
from tests.changes import changed, with_sgd
from tests.conftest import ROOT
from tests.systems.steps import RATE, close, one_step
from tests.systems.tiny import put_in_place
from tests.tiers import in_systems


@pytest.fixture
def config():
  """A smoke config with plain SGD and two rows per step."""
  config = load_config(str(ROOT / 'configs/facades_pix2pix.py:smoke'))
  config.parallel, config.data.batch_size = 'jit', 2
  return with_sgd(config, RATE)


def program_of(config, channels_a=3):
  dataset = made_up.two_domains(config.data)
  train = dataset.train._replace(a=dataset.train.a[..., :channels_a])
  return build(config, dataset._replace(train=train))


def batch_of(program):
  return jax.tree.map(
    lambda x: jnp.asarray(x) / 127.5 - 1.0, program.sampler()(0)
  )


CROSS_ENTROPY = (
  lambda real, fake: jax.nn.softplus(-real) + jax.nn.softplus(fake),
  lambda fake: jax.nn.softplus(-fake),
)
SQUARES = (  # the authors' form, without a factor of 1/2
  lambda real, fake: (real - 1.0) ** 2 + fake**2,
  lambda fake: (fake - 1.0) ** 2,
)


LEAST_SQUARES = {
  'loss.adversarial.name': 'least_squares',
  'loss.lambda_adversarial': 2.0,
  'loss.lambda_discriminator': 1.0,
}


@pytest.mark.systems
@pytest.mark.usefixtures('new_systems')
@pytest.mark.parametrize('small', [True, *in_systems(False)])
@pytest.mark.parametrize(
  ('direction', 'changes', 'game'),
  [('a2b', {}, CROSS_ENTROPY), ('b2a', LEAST_SQUARES, SQUARES)],
)
def test_the_step_by_hand(config, direction, changes, game, small, monkeypatch):
  """D's halved loss and G's loss with L1, against the new D, use one fake.

  It runs with tiny networks, which compile fast, and with the real ones.
  """
  if small:
    put_in_place(monkeypatch)
  config.data.direction = direction
  config = changed(config, changes)
  config.loss.lambda_l1 = 3.0
  program = program_of(config, channels_a=1)  # the other way would not fit
  batch = batch_of(program)
  old, new, metrics = one_step(program, batch=batch)
  given, real = (batch['pairs'][domain] for domain in direction.split('2'))
  generator = program.system.networks['generator'].module
  discriminator = program.system.networks['discriminator'].module
  key = jax.random.fold_in(program.key('train'), 0)

  def make(params):
    return generator.apply(
      {'params': params, **old.generator.model_state},
      given,
      train=True,
      mutable=['batch_stats'],
      rngs={'noise': key_for(key, 'dropout')},
    )

  def judge(params, image):
    return discriminator.apply(
      {'params': params, **old.discriminator.model_state},
      jnp.concatenate([given, image], axis=-1),
      train=True,
      mutable=['batch_stats'],
    )

  fake, statistics = make(old.generator.params)
  close(new.generator.model_state, statistics)
  _, statistics = judge(old.discriminator.params, real)
  close(new.discriminator.model_state, statistics)

  def d_loss(params):
    (on_real, _), (on_fake, _) = (judge(params, x) for x in (real, fake))
    return 0.5 * game[0](on_real, on_fake).mean()

  value, gradients = jax.jit(jax.value_and_grad(d_loss))(
    old.discriminator.params
  )
  assert_allclose(metrics['d_loss'], value, rtol=1e-5)
  d_params = jax.tree.map(
    lambda p, g: p - RATE * g, old.discriminator.params, gradients
  )
  close(new.discriminator.params, d_params)

  def g_loss(params):
    fake, _ = make(params)
    on_fake, _ = judge(d_params, fake)
    return game[1](on_fake).mean() + 3.0 * jnp.abs(fake - real).mean()

  value, gradients = jax.jit(jax.value_and_grad(g_loss))(old.generator.params)
  assert_allclose(metrics['g_loss'], value, rtol=1e-5)
  close(
    new.generator.params,
    jax.tree.map(lambda p, g: p - RATE * g, old.generator.params, gradients),
  )


@pytest.mark.systems
@pytest.mark.parametrize('still', ['generator', 'discriminator'])
def test_a_players_update_leaves_the_other_untouched(config, still):
  config.optimizer[still].learning_rate = 0.0
  program = program_of(config)
  old, new, _ = one_step(program, batch=batch_of(program))
  for player in ('generator', 'discriminator'):
    before, after = (
      jax.tree.leaves(getattr(s, player).params) for s in (old, new)
    )
    moved = [(a != b).any() for a, b in zip(before, after, strict=True)]
    assert any(moved) == (player != still)


def translations(config, images, *seeds):
  program = program_of(config)
  weights = init_state(program).generator.weights
  translate = jax.jit(program.system.translator.ways['b2a'])
  return [translate(weights, images, jax.random.key(s)) for s in seeds]


IMAGES = jnp.asarray(
  np.random.default_rng(1).uniform(-1.0, 1.0, (2, 16, 16, 3)), jnp.float32
)


@pytest.mark.systems
@pytest.mark.parametrize('dropout', [True, False])
def test_dropout_is_the_noise_at_test(config, dropout):
  config.model.test_dropout = dropout
  one, again, other = translations(config, IMAGES, 0, 0, 1)
  assert (one == again).all()
  assert (one != other).any() == dropout


@pytest.mark.systems
@pytest.mark.usefixtures('plain_convolutions')
@pytest.mark.parametrize('statistics', ['instance', 'bn'])
def test_what_an_image_is_normalised_with_at_test(config, statistics):
  """It uses its own or running statistics, never those of other images."""
  config.model.test_dropout = False
  config.model.test_statistics = statistics
  program = program_of(config)
  params, at_start = init_state(program).generator.weights
  translate = jax.jit(program.system.translator.ways['b2a'])
  later = jax.tree.map(lambda x: 2.0 * x + 0.1, at_start)
  key = jax.random.key(0)
  first, second = (
    translate(Weights(params, state), IMAGES, key)
    for state in (at_start, later)
  )
  generator = program.system.networks['generator'].module
  for made, state in ((first, at_start), (second, later)):
    for image, one in zip(IMAGES, made, strict=True):
      want, _ = generator.apply(
        {'params': params, **state},
        image[None],
        train=statistics == 'instance',
        dropout=False,
        mutable=['batch_stats'],
      )
      assert_allclose(one, want[0], atol=1e-5)
    swapped = translate(Weights(params, state), IMAGES[::-1], key)
    assert_allclose(swapped, made[::-1], atol=1e-6)
  changed = jnp.abs(second - first).max() > 1e-4
  assert changed == (statistics == 'bn')


@pytest.mark.parametrize('direction', ['a2b', 'b2a'])
def test_it_translates_in_its_direction_only(config, direction):
  config.data.direction = direction
  program = program_of(config, channels_a=1)
  assert set(program.system.translator.ways) == {direction}
  shapes = {'a': (2, 16, 16, 1), 'b': (2, 16, 16, 3)}
  source, target = direction.split('2')
  made = jax.eval_shape(
    program.system.translator.ways[direction],
    state_shapes(program.system, program.data.spec).generator.weights,
    jnp.zeros(shapes[source]),
    jax.random.key(0),
  )
  assert made.shape == shapes[target]


@pytest.mark.systems
def test_two_devices_do_what_one_does(config):
  states = {}
  for mode in ('jit', 'pmap'):
    config.parallel = mode
    program = program_of(config)
    for step, state, _ in advance(program, init_state(program), 0):
      if step == 2:
        states[mode] = jax.device_get(state)
        break
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, atol=2e-5), states['jit'], states['pmap']
  )


def test_unaligned_images_are_refused(config):
  dataset = made_up.two_domains(config.data)._replace(aligned=False)
  with pytest.raises(InputError, match='unpaired; choose system cyclegan'):
    build(config, dataset)
