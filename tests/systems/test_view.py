"""Augmentation of D's inputs, in every system that has it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.augment import augment_rows
from gan_jax.config import load_config
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for, normal_rows, row_keys, uniform_rows
from gan_jax.penalties import r1_penalty, r2_penalty
from gan_jax.runs.program import build, init_state
from gan_jax.systems import gan, pix2pix
from gan_jax.systems.parts import view
from tests.changes import changed
from tests.conftest import ROOT
from tests.devices.test_parallel import tiny
from tests.systems.steps import (
  RATE,
  by_hand,
  close,
  one_step,
  plain_config,
  train,
)
from tests.systems.test_gan import draw_key

POLICY = 'translation,cutout'


@pytest.mark.systems
def test_both_players_see_all_images_augmented(tiny_dataset):
  """Computes D's and G's losses by hand; G's update draws a new augmentation.

  The penalties differentiate with respect to the images before augmentation.
  """
  config = changed(
    plain_config('mnist_gan'),
    {
      'augment.policy': POLICY,
      'augment.probability': 0.7,
      'loss.adversarial.name': 'hinge',
      'loss.n_critic': 1,
      'loss.r1_gamma': 2.0,
      'loss.r2_gamma': 3.0,
    },
  )
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(program)
  real = jnp.asarray(program.sampler()(0)['train']['image']) / 127.5 - 1.0
  generate, judge = (
    by_hand(program, player) for player in ('generator', 'discriminator')
  )
  key = draw_key(program, 0, 0)
  z = uniform_rows(key_for(key, 'z'), 6, (config.model.z_dim,), -1.0, 1.0)

  def seen(images, name, player):
    base = key_for(key_for(key, player), f'view of {name}')
    return augment_rows(
      images, row_keys(base, 6), policy=POLICY, probability=0.7
    )

  g_params, d_params = old.generator.params, old.discriminator.params
  fake, _ = generate(g_params, {}, z)

  def d_loss(params):
    def d_fn(name):
      return lambda x: judge(params, {}, seen(x, name, 'd'))[0]

    on_real, on_fake = d_fn('real')(real), d_fn('fake')(fake)
    hinge = jax.nn.relu(1 - on_real) + jax.nn.relu(1 + on_fake)
    penalty = 2.0 * r1_penalty(d_fn('real'), real)
    return jnp.mean(hinge + penalty + 3.0 * r2_penalty(d_fn('fake'), fake))

  value, gradients = jax.jit(jax.value_and_grad(d_loss))(d_params)
  assert_allclose(metrics['d_loss'], value, rtol=1e-5)
  d_params = jax.tree.map(lambda p, g: p - RATE * g, d_params, gradients)
  close(new.discriminator.params, d_params)

  def g_loss(params):
    fake = seen(generate(params, {}, z)[0], 'fake', 'g')
    return -judge(d_params, {}, fake)[0].mean()

  value, gradients = jax.jit(jax.value_and_grad(g_loss))(g_params)
  assert_allclose(metrics['g_loss'], value, rtol=1e-5, atol=1e-7)
  close(
    new.generator.params,
    jax.tree.map(lambda p, g: p - RATE * g, g_params, gradients),
  )


NAMES = [
  'mnist_gan', 'digits_ssgan', 'facades_pix2pix', 'facades_cyclegan',
  'facades_cut',
]  # fmt: skip


@pytest.mark.systems
@pytest.mark.parametrize('name', NAMES)
@pytest.mark.usefixtures('plain_convolutions')
def test_augmentation_that_never_acts_changes_nothing(name):
  """Augmentation that always acts changes both players' gradients."""

  def step(**changes):
    config, dataset = tiny(name)
    changes = {f'augment.{key}': value for key, value in changes.items()}
    return jax.device_get(train(changed(config, changes), dataset, 'jit', 1)[0])

  config, dataset = tiny(name)
  old, plain = jax.device_get(init_state(build(config, dataset))), step()
  never = step(policy='color,translation,cutout', probability=0.0)
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, rtol=1e-5, atol=1e-6), plain, never
  )
  for policy in ('color', 'translation', 'cutout'):
    always = step(policy=policy)
    for player in ('generator', 'discriminator'):
      before, without, after = (
        np.concatenate([
          np.ravel(x) for x in jax.tree.leaves(getattr(state, player).params)
        ])
        for state in (old, plain, always)
      )  # fmt: skip
      assert abs(without - after).max() > 1e-3 * abs(without - before).max()


@pytest.mark.systems
@pytest.mark.usefixtures('plain_convolutions')
def test_the_two_images_of_a_pair_are_moved_alike():
  """pix2pix's D sees the same part of both, since it compares them."""
  config, dataset = tiny('facades_pix2pix')
  config = changed(config, {'augment.policy': 'translation'})
  program = build(config, dataset)
  parts = pix2pix.make_parts(config, program.data.spec)
  see = parts.view.at(jax.random.key(0), parts.view.rows(2), jnp.int32(0))
  image = normal_rows(jax.random.key(1), 2, (16, 16, 3))
  assert_allclose(see(image, 'real'), see(image, 'real'))
  assert abs(see(image, 'real') - see(image, 'fake')).max() > 0.1


def test_a_probability_that_rises(tiny_dataset):
  """The probability rises from 0 at the start to 1 at step 4."""
  config = changed(
    plain_config('mnist_gan'),
    {
      'augment.policy': 'color',
      'augment.probability': 0.0,
      'augment.schedule.name': 'linear',
      'augment.schedule.unit': 'steps',
      'augment.schedule.hold': 0,
      'augment.schedule.length': 4,
      'augment.schedule.final': 1.0,
    },
  )
  plain = changed(config, {'augment.policy': None})
  differ = []
  for step in (0, 4):
    states = [
      one_step(build(c, tiny_dataset), step=step)[1] for c in (config, plain)
    ]
    kernels = [x.discriminator.params['dense1']['kernel'] for x in states]
    differ.append(float(abs(kernels[0] - kernels[1]).max()))
  assert differ[0] < 1e-6 < 1e-4 < differ[1]


def test_packs_are_successive_images_and_can_be_undone():
  images = jnp.arange(4 * 2 * 3 * 2.0).reshape(4, 2, 3, 2)
  packs = view.pack(images, 2)
  assert packs.shape == (2, 2, 3, 4)
  for i in range(4):
    channels = slice(2 * (i % 2), 2 * (i % 2) + 2)
    assert_array_equal(packs[i // 2, ..., channels], images[i])
  assert_array_equal(view.unpack(packs, 2), images)
  assert view.pack(images, 1) is view.unpack(images, 1) is images


def test_the_images_of_a_pack_are_augmented_one_by_one(tiny_dataset):
  config = changed(
    plain_config('mnist_gan'),
    {'augment.policy': POLICY, 'model.packing': 2},
  )
  program = build(config, tiny_dataset)
  parts = gan.make_parts(program.config, program.data.spec)
  images = jax.random.normal(jax.random.key(0), (6, 8, 8, 1))
  key = jax.random.key(1)
  see = parts.view.at(key, parts.view.rows(6), jnp.int32(0))
  row_key = row_keys(key_for(key, 'view of real'), 6)
  each = augment_rows(images, row_key, policy=POLICY, probability=1.0)
  assert abs(each - images).max() > 0.1
  seen = see(view.pack(images, 2), 'real')
  assert_allclose(view.unpack(seen, 2), each, atol=1e-6)


def test_points_are_not_augmented():
  config = changed(
    load_config(str(ROOT / 'configs/grid_gan.py:smoke')),
    {'augment.policy': POLICY},
  )
  with pytest.raises(InputError, match='is for images, but the data are point'):
    build(config)
