"""Class-conditional GAN in one file, as an example of a new system.

Its networks are affine maps; the latents hold an embedding of the class.
"""

import functools
import math
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.config import integer, key, optimizer
from gan_jax.core.rng import key_for, row_keys
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import Stream
from gan_jax.systems import update
from gan_jax.systems.parts.prior import normal_prior
from gan_jax.systems.state import Weights
from gan_jax.systems.system import Latents, Network, Sampler, System

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
    classes = nn.Embed(self.num_classes, 16)(label)
    return nn.Dense(1)(x)[:, 0] + jnp.sum(classes * x, axis=-1)


def draw(parts, key, num, axis_name=None):
  keys = row_keys(key_for(key, 'label'), num, axis_name)
  label = jax.vmap(lambda k: jax.random.randint(k, (), 0, parts.num_classes))
  return Latents(parts.prior.sample(key, num, axis_name), label(keys))


def train_step(parts, state, batch, key):
  rows, g, d = batch['train'], state.generator, state.discriminator
  move = functools.partial(update.update_player, axis_name=parts.axis_name)
  key = key_for(jax.random.fold_in(key, state.step), 'z')
  latents = draw(parts, key, len(rows['image']), parts.axis_name)

  def apply(network, params, *inputs):
    return network.apply(Weights(params, {}), *inputs, train=True)[0]

  def d_loss(params):
    on_real = apply(parts.discriminator, params, rows['image'], rows['label'])
    fake = apply(parts.generator, g.params, *latents)
    on_fake = apply(parts.discriminator, params, fake, latents.label)
    loss = losses.non_saturating_discriminator_loss(on_real, on_fake).mean()
    return loss, update.Aux({'loss': loss}, {})

  d, d_metrics = move(d, parts.d_optimizer, d_loss, state.step)

  def g_loss(params):
    fake = apply(parts.generator, params, *latents)
    on_fake = apply(parts.discriminator, d.params, fake, latents.label)
    loss = losses.non_saturating_generator_loss(on_fake, on_fake).mean()
    return loss, update.Aux({'loss': loss}, {})

  g, g_metrics = move(g, parts.g_optimizer, g_loss, state.step)
  metrics = {f'd_{k}': x for k, x in d_metrics.items()}
  metrics |= {f'g_{k}': x for k, x in g_metrics.items()}
  step = state.step + 1
  return state.replace(step=step, generator=g, discriminator=d), metrics


def make_system(config, spec, axis_name=None):
  num_classes, z_dim = spec.num_classes, config.model.z_dim
  z, label = jnp.zeros((1, z_dim)), jnp.zeros(1, jnp.int32)
  image = jnp.zeros((1, *spec.image_shape))
  g = Network(Generator(spec.image_shape, num_classes), (z, label))
  d = Network(Discriminator(num_classes), (image, label))
  parts = SimpleNamespace(generator=g, discriminator=d, axis_name=axis_name)
  parts.prior, parts.num_classes = normal_prior(z_dim), num_classes
  optimizers = update.make_optimizers(config, spec)
  parts.g_optimizer, parts.d_optimizer = optimizers

  def interpolate(a, b, t):  # the class changes half-way
    label = jnp.where(t < 0.5, a.label, b.label)
    return Latents(parts.prior.interpolate(a.z, b.z, t), label)

  def in_numpy(num):
    label = f'rng.integers(0, {num_classes}, {num}, np.int32)'
    return {'z': parts.prior.in_numpy(num), 'label': label}

  def generate(weights, latents):
    return {'samples': g.apply(weights, *latents, train=False)[0]}

  drawn = functools.partial(draw, parts)
  return System(
    batch_spec={'train': Stream('all', config.data.batch_size)},
    init=lambda key, image: update.new_state(key, parts),
    train_step=functools.partial(train_step, parts),
    networks={'generator': g, 'discriminator': d},
    sampler=Sampler(drawn, interpolate, in_numpy, generate),
  )
