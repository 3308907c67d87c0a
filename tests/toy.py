"""A semi-supervised GAN of two affine maps, which compiles in under a second.

What is not about a particular system is tested with it: the loop, sweeps,
lanes, checkpoints, verification, reports. It has all that a system can have but
translations: a classifier with features, a sampler, an average, dropout-like
noise, and a running mean that moves as BatchNorm's does.
"""

import functools
import math
import types
from typing import NamedTuple

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
from gan_jax.systems.parts.prior import Prior, normal_prior
from gan_jax.systems.state import Weights
from gan_jax.systems.system import Classifier, Network, System
from gan_jax.systems.update import (
  Aux,
  Optimizer,
  make_optimizers,
  new_state,
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


def get_config(arg=''):
  """Returns a config of eight steps, saved every two, reported every three."""
  config = base('toy')
  config.parallel = 'jit'
  config.data.batch_size = config.data.num_labels = 6
  config.data.num_validation = 3
  for player in config.optimizer.values():
    player.ema = {'name': 'debiased', 'decay': 0.99}
  config.train.num_steps = 8
  config.checkpoint.save_every_steps = 2
  config.eval.batch_size = 540
  config.log.report_every_steps = 3
  config.log.tensorboard = False
  return sized(config, arg)


class Generator(nn.Module):
  """Generator: maps z [B, z_dim] to images [B, H, W, C]."""

  shape: tuple[int, int, int]

  @nn.compact
  def __call__(self, z, *, train):
    del train
    return jnp.tanh(nn.Dense(math.prod(self.shape))(z)).reshape(-1, *self.shape)


class Discriminator(nn.Module):
  """Discriminator: maps images to features and class logits; keeps a mean."""

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


class Parts(NamedTuple):
  generator: Network
  discriminator: Network
  g_optimizer: Optimizer
  d_optimizer: Optimizer
  prior: Prior
  axis_name: str | None


def make_parts(config, spec, axis_name=None):
  return Parts(
    Network(Generator(spec.image_shape), (jnp.zeros((1, config.model.z_dim)),)),
    Network(
      Discriminator(spec.num_classes, axis_name),
      (jnp.zeros((1, *spec.image_shape)),),
      uses_batch_statistics=True,
    ),
    *make_optimizers(config, spec),
    normal_prior(config.model.z_dim),
    axis_name,
  )


def make(parts, params, z):
  return parts.generator.apply(Weights(params, {}), z, train=True)[0]


def judge(parts, params, model_state, image):
  weights = Weights(params, model_state)
  return parts.discriminator.apply(weights, image, train=True)


def train_step(parts, state, batch, key):
  rows, axis_name = batch['train'], parts.axis_name
  key = jax.random.fold_in(key, state.step)
  g, d = state.generator, state.discriminator
  z = parts.prior.sample(key_for(key, 'z'), len(rows['image']), axis_name)

  def d_loss(params):
    (_, real), model_state = judge(parts, params, d.model_state, rows['image'])
    fake = make(parts, g.params, z)
    (_, fake), _ = judge(parts, params, d.model_state, fake)
    supervised, unsupervised = losses.semi_supervised_discriminator_loss(
      real, fake, rows['label'], rows['label_mask'], axis_name=axis_name
    )
    loss = supervised + unsupervised
    return loss, Aux({'loss': loss}, model_state)

  new_d, d_metrics = update_player(
    d, parts.d_optimizer, d_loss, state.step, axis_name=axis_name
  )

  def g_loss(params):
    fake = make(parts, params, z)
    (_, logits), _ = judge(parts, new_d.params, d.model_state, fake)
    loss = -losses.gan_logits(logits).mean()
    return loss, Aux({'loss': loss}, g.model_state)

  new_g, g_metrics = update_player(
    g, parts.g_optimizer, g_loss, state.step, axis_name=axis_name
  )
  state = state.replace(
    step=state.step + 1, generator=new_g, discriminator=new_d
  )
  return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)


def make_system(config, spec, axis_name=None):
  parts = make_parts(config, spec, axis_name)

  def embed(weights, image):
    return parts.discriminator.apply(weights, image, train=False)[0]

  def generate(weights, latents):
    return {'samples': make(parts, weights.params, latents.z)}

  return System(
    batch_spec={'train': Stream('all', config.data.batch_size)},
    init=lambda key, image: new_state(key, parts),
    train_step=functools.partial(train_step, parts),
    networks={
      'generator': parts.generator,
      'discriminator': parts.discriminator,
    },
    sampler=parts.prior.sampler(generate),
    classifier=Classifier(
      lambda weights, image: embed(weights, image)[1], embed
    ),
  )


def without(monkeypatch, **changes):
  """Registers a toy system whose given parts are None."""
  lacking = types.SimpleNamespace(**globals())
  lacking.make_system = lambda *args: make_system(*args)._replace(**changes)
  monkeypatch.setitem(SYSTEMS, 'toy', lacking)
