import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from numpy.testing import assert_array_equal

from gan_jax.config import load_config
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.image_pool import query_pool
from gan_jax.runs.checkpoint import Checkpoints
from gan_jax.runs.program import advance, build, init_state, state_template
from gan_jax.systems.parts import translation
from gan_jax.systems.state import Weights
from gan_jax.training.loop import train
from tests import made_up
from tests.changes import with_sgd
from tests.conftest import ROOT
from tests.systems import tiny
from tests.systems.steps import close, one_step
from tests.systems.tiny import put_in_place
from tests.tiers import in_systems

pytestmark = pytest.mark.systems

RATE = 0.01


@pytest.fixture
def config():
  """A smoke config with plain SGD and two rows per step."""
  config = load_config(str(ROOT / 'configs/facades_cyclegan.py:smoke'))
  config.parallel = 'jit'
  config.data.batch_size = 2
  config.loss.lambda_cycle = 1.0  # at 10, rounding becomes visible in 3 steps
  return with_sgd(config, RATE)


def batch_of(program, step=0):
  return jax.tree.map(
    lambda x: jnp.asarray(x) / 127.5 - 1.0, program.sampler()(step)
  )


@pytest.mark.usefixtures('new_systems')
@pytest.mark.parametrize('small', [True, *in_systems(False)])
def test_steps_by_hand_while_the_pools_fill_and_when_they_are_full(
  config, small, monkeypatch
):
  """Both generators meet the old D; then both D meet fakes from the pools.

  It runs with tiny networks, which compile fast, and with the real ones.
  """
  if small:
    put_in_place(monkeypatch)
  program = build(config, made_up.two_domains(config.data))
  generator = program.system.networks['generator a2b'].module
  judge_net = program.system.networks['discriminator b'].module

  def make(params, way, image):
    return generator.apply({'params': params[way]}, image, train=True)

  def judge(params, domain, image):
    return judge_net.apply({'params': params[domain]}, image, train=True)

  def descend(params, gradients):
    return jax.tree.map(lambda p, g: p - RATE * g, params, gradients)

  def g_loss(params, d_params, real):
    total = 0.0
    for way, back in (('a2b', 'b2a'), ('b2a', 'a2b')):
      source, target = way.split('2')
      fake = make(params, way, real[source])
      on_fake = judge(d_params, target, fake)
      cycle = jnp.abs(make(params, back, fake) - real[source])
      identity = jnp.abs(make(params, way, real[target]) - real[target])
      # The paper's least squares, without the factor of 1/2.
      total += jnp.mean((on_fake - 1.0) ** 2)
      total += 1.0 * cycle.mean() + 5.0 * identity.mean()
    return total

  def d_loss(params, real, shown):
    total = 0.0
    for domain in 'ab':
      on_real, on_fake = (
        judge(params, domain, x[domain]) for x in (real, shown)
      )
      total += 0.5 * jnp.mean((on_real - 1.0) ** 2 + on_fake**2)
    return total

  @jax.jit
  def by_hand(old, real, key):
    """Returns the losses, both players' parameters, the pools, D's fakes."""
    g_params, d_params = old.generator.params, old.discriminator.params
    fakes = {
      'a': make(g_params, 'b2a', real['b']),
      'b': make(g_params, 'a2b', real['a']),
    }
    exchanged = {
      domain: query_pool(pool, fakes[domain], key_for(key, f'pool_{domain}'))
      for domain, pool in old.extra.items()
    }
    shown = {domain: images for domain, (_, images) in exchanged.items()}
    pools = {domain: pool for domain, (pool, _) in exchanged.items()}
    g_value, g_gradients = jax.value_and_grad(g_loss)(g_params, d_params, real)
    d_value, d_gradients = jax.value_and_grad(d_loss)(d_params, real, shown)
    return (
      (g_value, d_value),
      (descend(g_params, g_gradients), descend(d_params, d_gradients), pools),
      (shown, fakes),
    )

  run = jax.jit(program.system.train_step)
  old, train_key = init_state(program), program.key('train')
  for step, filled in enumerate((0, 2, 3)):
    batch = batch_of(program, step)
    assert [int(pool.filled) for pool in old.extra.values()] == [filled] * 2
    new, metrics = run(old, batch, train_key)
    real = {domain: batch[domain]['image'] for domain in 'ab'}
    values, parts, (shown, fakes) = by_hand(
      old, real, jax.random.fold_in(train_key, step)
    )
    found = metrics['g_loss'], metrics['d_loss']
    np.testing.assert_allclose(found, values, rtol=1e-5)
    close((new.generator.params, new.discriminator.params, new.extra), parts)
    if filled == 0:
      close(shown, fakes)
    old = new
  differences = jax.tree.map(lambda x, y: jnp.abs(x - y).max(), shown, fakes)
  assert max(jax.tree.leaves(differences)) > 0.1  # the last ones: out of a pool


@pytest.mark.parametrize('still', ['generator', 'discriminator'])
def test_a_players_update_leaves_the_other_untouched(config, still):
  config.optimizer[still].learning_rate = 0.0
  program = build(config, made_up.two_domains(config.data))
  old, new, _ = one_step(program, batch=batch_of(program))
  for player in ('generator', 'discriminator'):
    before, after = (jax.tree.leaves(getattr(s, player)) for s in (old, new))
    moved = [(a != b).any() for a, b in zip(before, after, strict=True)]
    assert any(moved) == (player != still)


class _Identity(tiny.Generator):
  """Returns its input."""

  @nn.compact
  def __call__(self, image, *, train):
    return image + 0.0 * self.param('unused', nn.initializers.zeros, ())


@pytest.mark.usefixtures('new_systems')
def test_cycle_and_identity_cost_nothing_for_identity_generators(
  config, monkeypatch
):
  monkeypatch.setitem(translation.GENERATORS, 'resnet', _Identity)
  program = build(config, made_up.two_domains(config.data))
  _, _, metrics = one_step(program, batch=batch_of(program))
  for name in ('cycle_a', 'cycle_b', 'identity_a', 'identity_b'):
    assert metrics[f'g_{name}'] == 0.0
  adversarial = metrics['g_loss_a2b'] + metrics['g_loss_b2a']
  np.testing.assert_allclose(metrics['g_loss'], 2.0 * adversarial, rtol=1e-6)


@pytest.mark.usefixtures('plain_convolutions')
def test_batch_norms_statistics_are_of_one_pass_over_data(config):
  """A generator's come from its source, a discriminator's from its domain."""
  config.model.generator.normalization = 'batch'
  config.model.discriminator.normalization = 'batch'
  program = build(config, made_up.two_domains(config.data))
  batch = batch_of(program)
  old, new, _ = one_step(program, batch=batch)
  networks = program.system.networks
  # The generators are updated first, so all passes use the old parameters.
  for player, kind, names in (
    ('generator', 'generator', {'a2b': 'a', 'b2a': 'b'}),
    ('discriminator', 'discriminator', {'a': 'a', 'b': 'b'}),
  ):
    before, after = (getattr(state, player) for state in (old, new))
    assert before.model_state.keys() == after.model_state.keys() == {*names}
    for name, domain in names.items():
      weights = Weights(before.params[name], before.model_state[name])
      image = batch[domain]['image']
      _, want = networks[f'{kind} {name}'].apply(weights, image, train=True)
      jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        after.model_state[name],
        want,
      )


def test_no_two_networks_start_alike(config):
  program = build(config, made_up.two_domains(config.data))
  state = init_state(program)
  for player, names in (
    (state.generator, ('a2b', 'b2a')),
    (state.discriminator, ('a', 'b')),
  ):
    one, other = (jax.tree.leaves(player.params[name]) for name in names)
    differ = [(a != b).any() for a, b in zip(one, other, strict=True)]
    assert sum(differ) == len([x for x in one if x.ndim == 4])  # the kernels


def test_the_pools_are_saved_and_restored(config, tmp_path):
  program = build(config, made_up.two_domains(config.data))
  rng = np.random.default_rng(0)
  pools = {
    domain: pool.replace(
      images=rng.uniform(-1.0, 1.0, pool.images.shape).astype(np.float32),
      filled=jnp.int32(filled),
    )
    for (domain, pool), filled in zip(
      init_state(program).extra.items(), (2, 3), strict=True
    )
  }
  checkpoints = Checkpoints(tmp_path / 'checkpoints')
  checkpoints.save(init_state(program).replace(extra=pools), {})
  checkpoints.close()
  restored = checkpoints.restore(0, state_template(program)).state.extra
  jax.tree.map(assert_array_equal, restored, pools)


def test_resume_equals_uninterrupted(config, tmp_path, capsys):
  """It resumes at step 4, when eight images have gone through pools of 3."""
  dataset = made_up.two_domains(config.data)
  config.checkpoint.save_every_steps = 4
  config.log.report_every_steps, config.log.tensorboard = 8, False
  whole = train(config, tmp_path / 'whole', dataset=dataset)
  parts = shutil.copytree(tmp_path / 'whole', tmp_path / 'parts')
  (parts / 'result.json').unlink()
  shutil.rmtree(parts / 'checkpoints' / '8')
  resumed = train(config, parts, dataset=dataset)
  assert 'from step 4' in capsys.readouterr().out
  assert resumed['sha256'] == whole['sha256']
  assert 'extra' in whole['sha256']


def test_two_devices_do_what_one_does(config):
  states = {}
  for mode in ('jit', 'pmap'):
    config.parallel = mode
    program = build(config, made_up.two_domains(config.data))
    start = jax.device_get(init_state(program))
    for step, state, _ in advance(program, init_state(program), 0):
      if step == 2:  # the pool is full; rounding grows with the steps
        states[mode] = jax.device_get(state)
        break
  tight = functools.partial(np.testing.assert_allclose, atol=1e-5)
  jax.tree.map(tight, states['jit'], states['pmap'])
  assert_array_equal(states['pmap'].extra['a'].filled, 3)
  for player in ('generator', 'discriminator'):
    moved = jax.tree.map(
      lambda a, b: abs(a - b).max(),
      getattr(states['pmap'], player).params,
      getattr(start, player).params,
    )
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_identity_of_other_channels_is_refused(config):
  dataset = made_up.two_domains(config.data)
  train_split = dataset.train._replace(a=dataset.train.a[..., :1])
  with pytest.raises(InputError, match='lambda_identity to 0'):
    build(config, dataset._replace(train=train_split))
