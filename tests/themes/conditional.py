"""A class-conditional GAN in one file: what a new system costs.

Generator and discriminator are affine maps beside an embedding of the class,
whose label is part of the latents; the loss is the non-saturating one.
"""

import functools
import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.config import integer, key, optimizer
from gan_jax.core.rng import key_for, row_keys
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import Stream
from gan_jax.systems.prior import Prior, normal_prior
from gan_jax.systems.state import Weights
from gan_jax.systems.system import Latents, Network, Sampler, System
from gan_jax.systems.update import (
  Aux,
  Optimizer,
  make_optimizers,
  new_state,
  prefixed,
  update_player,
)

OPTIONS = {
  'model.z_dim': key(8, integer(1), 'dimension of the latents'),
  **optimizer('generator'),
  **optimizer('discriminator'),
}
SMOKE = {'model.z_dim': 4}
DATA = LabelledData


class Generator(nn.Module):
  shape: tuple[int, int, int]
  num_classes: int

  @nn.compact
  def __call__(self, z, label, *, train):
    x = jnp.concatenate([z, nn.Embed(self.num_classes, 4)(label)], axis=-1)
    x = nn.Dense(math.prod(self.shape))(x)
    return jnp.tanh(x).reshape(-1, *self.shape)


class Discriminator(nn.Module):
  num_classes: int

  @nn.compact
  def __call__(self, image, label, *, train):
    x = nn.Dense(16)(image.reshape(len(image), -1))
    return nn.Dense(1)(x)[:, 0] + jnp.sum(
      nn.Embed(self.num_classes, 16)(label) * x, axis=-1
    )


class Parts(NamedTuple):
  generator: Network
  discriminator: Network
  g_optimizer: Optimizer
  d_optimizer: Optimizer
  prior: Prior
  num_classes: int
  axis_name: str | None


def draw(parts, key, num, axis_name=None):
  keys = row_keys(key_for(key, 'label'), num, axis_name)
  label = jax.vmap(lambda k: jax.random.randint(k, (), 0, parts.num_classes))
  return Latents(parts.prior.sample(key, num, axis_name), label(keys))


def train_step(parts, state, batch, key):
  rows, g, d = batch['train'], state.generator, state.discriminator
  key = key_for(jax.random.fold_in(key, state.step), 'z')
  latents = draw(parts, key, len(rows['image']), parts.axis_name)

  def make(params):
    return parts.generator.apply(Weights(params, {}), *latents, train=True)[0]

  def judge(params, image, label):
    return parts.discriminator.apply(
      Weights(params, {}), image, label, train=True
    )[0]

  def d_loss(params):
    on_real = judge(params, rows['image'], rows['label'])
    on_fake = judge(params, make(g.params), latents.label)
    loss = losses.non_saturating_discriminator_loss(on_real, on_fake).mean()
    return loss, Aux({'loss': loss}, {})

  step, axis_name = state.step, parts.axis_name
  d, d_metrics = update_player(
    d, parts.d_optimizer, d_loss, step, axis_name=axis_name
  )

  def g_loss(params):
    on_fake = judge(d.params, make(params), latents.label)
    loss = losses.non_saturating_generator_loss(on_fake, on_fake).mean()
    return loss, Aux({'loss': loss}, {})

  g, g_metrics = update_player(
    g, parts.g_optimizer, g_loss, step, axis_name=axis_name
  )
  state = state.replace(step=step + 1, generator=g, discriminator=d)
  return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)


def make_system(config, spec, axis_name=None):
  label, num = jnp.zeros(1, jnp.int32), spec.num_classes
  z, image = (
    jnp.zeros((1, config.model.z_dim)),
    jnp.zeros((1, *spec.image_shape)),
  )
  parts = Parts(
    Network(Generator(spec.image_shape, num), (z, label)),
    Network(Discriminator(num), (image, label)),
    *make_optimizers(config.optimizer, spec.steps_per_epoch),
    normal_prior(config.model.z_dim),
    num,
    axis_name,
  )
  sampler = Sampler(
    draw=functools.partial(draw, parts),
    # From class to class half way.
    interpolate=lambda a, b, t: Latents(
      parts.prior.interpolate(a.z, b.z, t), jnp.where(t < 0.5, *a[1:], *b[1:])
    ),
    in_numpy=lambda rows: {
      'z': parts.prior.in_numpy(rows),
      'label': f'rng.integers(0, {num}, {rows}, np.int32)',
    },
    generate=lambda weights, latents: {
      'samples': parts.generator.apply(weights, *latents, train=False)[0]
    },
  )
  return System(
    batch_spec={'train': Stream('all', config.data.batch_size)},
    init=lambda key, image: new_state(key, parts),
    train_step=functools.partial(train_step, parts),
    networks={
      'generator': parts.generator,
      'discriminator': parts.discriminator,
    },
    sampler=sampler,
  )
