"""A semi-supervised GAN of two affine maps, which compiles in under a second.

What is not about a particular system is tested with it: the loop, sweeps,
lanes, checkpoints, verification, reports. It has all that a system can have but
translations: a classifier with features, a sampler, an average, dropout-like
noise, and a running mean that moves as BatchNorm's does.
"""

import math
import types

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.config import integer, key, optimizer
from gan_jax.core.collectives import pmean
from gan_jax.core.rng import key_for
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import Stream
from gan_jax.systems import SYSTEMS, base, sized
from gan_jax.systems.prior import normal_prior
from gan_jax.systems.state import TrainState, Weights
from gan_jax.systems.system import System, apply_network, init_network
from gan_jax.systems.update import (
  Aux,
  make_optimizer,
  new_player,
  prefixed,
  update_player,
)

OPTIONS = {
  'model.z_dim': key(100, integer(1), 'dimension of the latents'),
  **optimizer('generator', learning_rate=1e-3),
  **optimizer('discriminator', learning_rate=1e-3),
}
SMOKE = {}
DATA = LabelledData
CLASSIFIES = True


def get_config(arg=''):
  """Eight steps, saved every two and reported every three."""
  config = base('toy')
  config.parallel = 'jit'
  config.data.batch_size = config.data.num_labels = 6
  config.data.num_validation = 3
  for player in config.optimizer.values():
    player.ema_decay = 0.99
  config.train.num_steps = 8
  config.checkpoint.save_every_steps = 2
  config.eval.batch_size = 540
  config.log.report_every_steps = 3
  config.log.tensorboard = False
  return sized(config, arg)


class Generator(nn.Module):
  """z [B, z_dim] to images [B, H, W, C]."""

  shape: tuple[int, int, int]

  @nn.compact
  def __call__(self, z, *, train):
    del train
    return jnp.tanh(nn.Dense(math.prod(self.shape))(z)).reshape(-1, *self.shape)


class Discriminator(nn.Module):
  """Images to features and class logits; keeps a running mean."""

  num_classes: int
  axis_name: str | None = None

  @nn.compact
  def __call__(self, image, *, train):
    x = image.reshape(len(image), -1)
    running = self.variable('batch_stats', 'mean', jnp.zeros, x.shape[1:])
    mean = running.value
    if train:
      mean = pmean(x.mean(axis=0), self.axis_name)
      running.value = 0.9 * running.value + 0.1 * mean
    features = x - mean
    return features, nn.Dense(self.num_classes)(features)


def make_system(config, data_spec, axis_name=None):
  generator = Generator(data_spec.image_shape)
  discriminator = Discriminator(data_spec.num_classes, axis_name)
  prior = normal_prior(config.model.z_dim)
  z_example = jnp.zeros((1, config.model.z_dim))
  image_example = jnp.zeros((1, *data_spec.image_shape))
  g_optimizer, d_optimizer = (
    make_optimizer(config.optimizer[player], data_spec.steps_per_epoch)
    for player in ('generator', 'discriminator')
  )

  def init(key, image):
    del image
    g = init_network(generator, key_for(key, 'generator'), z_example)
    d = init_network(
      discriminator, key_for(key, 'discriminator'), image_example
    )
    return TrainState(
      step=jnp.int32(0),
      generator=new_player(*g, g_optimizer),
      discriminator=new_player(*d, d_optimizer),
      extra={},
    )

  def make(params, z):
    return apply_network(generator, Weights(params, {}), z, train=True)[0]

  def judge(params, model_state, image):
    weights = Weights(params, model_state)
    return apply_network(discriminator, weights, image, train=True)

  def train_step(state, batch, key):
    rows = batch['train']
    key = jax.random.fold_in(key, state.step)
    g, d = state.generator, state.discriminator
    z = prior.sample(key_for(key, 'z'), len(rows['image']), axis_name)

    def d_loss(params):
      (_, real), model_state = judge(params, d.model_state, rows['image'])
      (_, fake), _ = judge(params, d.model_state, make(g.params, z))
      supervised, unsupervised = losses.semi_supervised_discriminator_loss(
        real, fake, rows['label'], rows['label_mask'], axis_name=axis_name
      )
      loss = supervised + unsupervised
      return loss, Aux({'loss': loss}, model_state)

    new_d, d_metrics = update_player(
      d, d_optimizer, d_loss, state.step, axis_name=axis_name
    )

    def g_loss(params):
      (_, logits), _ = judge(new_d.params, d.model_state, make(params, z))
      loss = -losses.gan_logits(logits).mean()
      return loss, Aux({'loss': loss}, g.model_state)

    new_g, g_metrics = update_player(
      g, g_optimizer, g_loss, state.step, axis_name=axis_name
    )
    state = state.replace(
      step=state.step + 1, generator=new_g, discriminator=new_d
    )
    return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)

  def embed(weights, image):
    return apply_network(discriminator, weights, image, train=False)[0]

  return System(
    batch_spec={'train': Stream('all', config.data.batch_size)},
    init=init,
    train_step=train_step,
    sample_z=prior.sample,
    interpolate=prior.interpolate,
    z_in_numpy=prior.in_numpy,
    generate=lambda weights, z: {'samples': make(weights.params, z)},
    predict=lambda weights, image: embed(weights, image)[1],
    embed=embed,
    networks={
      'generator': (generator, z_example),
      'discriminator': (discriminator, image_example),
    },
  )


def without(monkeypatch, **functions):
  """Puts a toy among the systems that lacks these, which are None."""
  lacking = types.SimpleNamespace(**globals())
  lacking.make_system = lambda *args: make_system(*args)._replace(**functions)
  monkeypatch.setitem(SYSTEMS, 'toy', lacking)
