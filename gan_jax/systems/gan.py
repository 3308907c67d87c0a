"""Generative adversarial networks without labels, for any pair of networks.

Goodfellow et al. 2014, "Generative Adversarial Nets",
https://arxiv.org/abs/1406.2661, algorithm 1: D moves `n_critic` times, then G
on the new D, with the samples that D has seen last (the algorithm draws new
ones; made once, they cost a pass of G less). The loss, the penalties and the
networks make it a DCGAN, a WGAN-GP, an SNGAN, an R3GAN, ...
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import penalties
from gan_jax.config import (
  Variants,
  boolean,
  integer,
  key,
  one_of,
  optimizer,
  optional,
  real,
)
from gan_jax.core.collectives import vary
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for, uniform_rows
from gan_jax.core.types import Array, Batch, Metrics, Params, PRNGKey
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import DataSpec, Stream
from gan_jax.models.dcgan import ConvDiscriminator, DeconvGenerator
from gan_jax.models.mlp import MLPDiscriminator, MLPGenerator
from gan_jax.systems import objectives
from gan_jax.systems.prior import Prior, normal_prior, uniform_prior
from gan_jax.systems.state import Player, TrainState, Weights
from gan_jax.systems.system import LOGITS, Network, Panel, System
from gan_jax.systems.update import (
  Aux,
  Optimizer,
  apply_gradients,
  check_pieces,
  in_pieces,
  make_optimizers,
  new_state,
  prefixed,
)


def _without_name(group: ConfigDict) -> dict[str, Any]:
  return {key: value for key, value in group.items() if key != 'name'}


def _mlp_generator(model, image_shape, axis_name) -> Network:
  del axis_name  # it has no BatchNorm
  module = MLPGenerator(image_shape, **_without_name(model.generator))
  return Network(module, (jnp.zeros((1, model.z_dim)),))


def _deconv_generator(model, image_shape, axis_name) -> Network:
  module = DeconvGenerator(
    image_shape, axis_name=axis_name, **_without_name(model.generator)
  )
  example = (jnp.zeros((1, model.z_dim)),)
  return Network(module, example, uses_batch_statistics=True)


def _mlp_discriminator(model, image_shape, axis_name) -> Network:
  del axis_name  # it has no BatchNorm
  module = MLPDiscriminator(**_without_name(model.discriminator))
  return Network(module, (jnp.zeros((1, *image_shape)),))


def _conv_discriminator(model, image_shape, axis_name) -> Network:
  settings = _without_name(model.discriminator)
  module = ConvDiscriminator(axis_name=axis_name, **settings)
  example = (jnp.zeros((1, *image_shape)),)
  return Network(module, example, settings['normalization'] == 'batch')


# By name, from (config.model, the images' shape, BatchNorm's axis or None).
GENERATORS = {'mlp': _mlp_generator, 'deconv': _deconv_generator}
DISCRIMINATORS = {'mlp': _mlp_discriminator, 'conv': _conv_discriminator}
_INIT_STDDEV = key(
  None,
  optional(real(0.0)),
  'standard deviation of the initial kernels; None: LeCun normal',
)
_HIDDEN = {'hidden': key(128, integer(1), 'units of the hidden layer')}
_SYNC = key(
  True, boolean, "whether BatchNorm's statistics are over all devices"
)
OPTIONS = {
  'model.z_dim': key(100, integer(1), 'dimension of the latents'),
  'model.z_prior': key(
    'normal',
    one_of('normal', 'uniform'),
    'distribution of the latents: N(0, 1) or U(-1, 1)',
  ),
  'model.sync_batch_norm': _SYNC,
  'model.generator': Variants(
    'mlp',
    {
      'mlp': _HIDDEN,
      'deconv': {
        'size_mult': key(32, integer(1), 'channels of the last hidden layer'),
        'base_size': key(4, integer(1), 'side of the first layer, in pixels'),
        'init_stddev': _INIT_STDDEV,
      },
    },
    'the network',
  ),
  'model.discriminator': Variants(
    'mlp',
    {
      'mlp': _HIDDEN,
      'conv': {
        'width': key(32, integer(1), 'channels of the first layer'),
        'base_size': key(4, integer(1), 'side of the last layer, in pixels'),
        'normalization': key(
          'none',
          one_of('batch', 'spectral', 'none'),
          'normalisation of the layers',
        ),
        'init_stddev': _INIT_STDDEV,
      },
    },
    'the network',
  ),
  **objectives.options('non_saturating'),
  'loss.n_critic': key(
    1, integer(1), 'updates of D per update of G, each on a batch of its own'
  ),
  'loss.r1_gamma': key(0.0, real(0.0), 'weight of R1, on real images'),
  'loss.r2_gamma': key(0.0, real(0.0), 'weight of R2, on generated images'),
  'loss.lambda_gp': key(0.0, real(0.0), "weight of WGAN-GP's gradient penalty"),
  **optimizer('generator'),
  **optimizer('discriminator'),
}
SMOKE = {
  'loss.n_critic': 2,
  'model.generator.hidden': 8,
  'model.generator.size_mult': 2,
  'model.discriminator.hidden': 8,
  'model.discriminator.width': 4,
}
DATA = LabelledData


class Parts(NamedTuple):
  """What the step is made of; constant over a run."""

  generator: Network
  discriminator: Network
  g_optimizer: Optimizer
  d_optimizer: Optimizer
  d_objective: Callable[[Array, Array], Array]  # of the logits on real and fake
  g_objective: Callable[[Array, Array], Array]
  prior: Prior
  loss: ConfigDict  # config.loss
  num_pieces: int
  axis_name: str | None


def make_parts(
  config: ConfigDict, spec: DataSpec, axis_name: str | None = None
) -> Parts:
  """The parts that `config` describes; see `OPTIONS` for its keys."""
  model, loss = config.model, config.loss
  norm_axis = axis_name if model.sync_batch_norm else None
  generator = GENERATORS[model.generator.name](
    model, spec.image_shape, norm_axis
  )._replace(dtype=config.dtype)
  discriminator = DISCRIMINATORS[model.discriminator.name](
    model, spec.image_shape, norm_axis
  )._replace(dtype=config.dtype)
  if config.optimizer.discriminator.ema_decay and loss.n_critic > 1:
    raise InputError(
      'the average of a discriminator that moves n_critic times a step is not '
      'defined; set config.optimizer.discriminator.ema_decay to 0'
    )
  penalised = loss.r1_gamma or loss.r2_gamma or loss.lambda_gp
  if penalised and discriminator.uses_batch_statistics:
    raise InputError(
      'a gradient penalty (config.loss.r1_gamma, r2_gamma, lambda_gp) is on '
      "each image's own gradient, but BatchNorm lets all images of a batch act "
      'on each logit; set config.model.discriminator.normalization to none or '
      'spectral'
    )
  check_pieces(config, generator, discriminator)
  prior = (
    normal_prior(model.z_dim)
    if model.z_prior == 'normal'
    else uniform_prior(model.z_dim, -1.0, 1.0)
  )
  return Parts(
    generator,
    discriminator,
    *make_optimizers(config.optimizer, spec.steps_per_epoch),
    *objectives.make_losses(loss.adversarial, axis_name),
    prior,
    loss,
    config.train.num_microbatches,
    axis_name,
  )


def judge(
  parts: Parts, params: Params, model_state: Params, image: Array
) -> tuple[Array, Params]:
  """D's logits [B], and its model state after the pass."""
  weights = Weights(params, model_state)
  return parts.discriminator.apply(weights, image, train=True)


def make(parts: Parts, g: Player, z: Array) -> tuple[Array, Callable, Params]:
  """Samples, what pulls their gradients back to G, and G's model state."""

  def samples(params):
    weights = Weights(params, g.model_state)
    return parts.generator.apply(weights, z, train=True)

  return jax.vjp(samples, vary(g.params, parts.axis_name), has_aux=True)


def d_loss(
  parts: Parts,
  params: Params,
  model_state: Params,
  rows: Mapping[str, Array],
  fake: Array,
) -> tuple[Array, Aux]:
  """D's loss on data and samples, with its penalties.

  Args:
    parts: of the system.
    params: D's, and
    model_state: its model state.
    rows: 'real', images [B, H, W, C], and 'epsilon' [B] in [0, 1], which says
      where between the two the gradient penalty is taken.
    fake: samples [B, H, W, C].
  """
  loss, real = parts.loss, rows['real']
  # Each in a pass of its own: BatchNorm sees data or samples, never both.
  on_real, new_model_state = judge(parts, params, model_state, real)
  on_fake, _ = judge(parts, params, model_state, fake)
  adversarial = parts.d_objective(on_real, on_fake).mean()
  metrics = {
    'loss_adversarial': adversarial,
    'real_logit': on_real.mean(),
    'fake_logit': on_fake.mean(),
    'win_rate': jnp.mean(on_real > on_fake),
  }

  def d_fn(image):
    return judge(parts, params, model_state, image)[0]

  total = adversarial
  if loss.r1_gamma:
    metrics['r1'] = penalties.r1_penalty(d_fn, real).mean()
    total += loss.r1_gamma * metrics['r1']
  if loss.r2_gamma:
    metrics['r2'] = penalties.r2_penalty(d_fn, fake).mean()
    total += loss.r2_gamma * metrics['r2']
  if loss.lambda_gp:
    epsilon = rows['epsilon']
    metrics['gp'] = penalties.gradient_penalty(d_fn, real, fake, epsilon).mean()
    total += loss.lambda_gp * metrics['gp']
  return total, Aux(metrics | {'loss': total}, new_model_state)


def g_loss(parts: Parts, d: Player, real: Array, fake: Array) -> Array:
  """G's loss: what D says of its samples, and where the loss asks, of data."""
  on_real, _ = judge(parts, d.params, d.model_state, real)
  on_fake, _ = judge(parts, d.params, d.model_state, fake)
  return parts.g_objective(on_real, on_fake).mean()


def rows_of_turn(
  parts: Parts, image: Array, turn: int, key: PRNGKey
) -> dict[str, Array]:
  """What a turn of D sees of a step's images, the same on any devices."""
  num = len(image) // parts.loss.n_critic
  key = jax.random.fold_in(key, turn)
  return {
    'real': image[turn :: parts.loss.n_critic],
    'z': parts.prior.sample(key_for(key, 'z'), num, parts.axis_name),
    'epsilon': uniform_rows(
      key_for(key, 'epsilon'), num, (), 0.0, 1.0, parts.axis_name
    ),
  }


def train_step(
  parts: Parts, state: TrainState, batch: Batch, key: PRNGKey
) -> tuple[TrainState, Metrics]:
  """D moves `n_critic` times, then G on the new D."""
  key = jax.random.fold_in(key, state.step)
  g, d = state.generator, state.discriminator
  for turn in range(parts.loss.n_critic):
    rows = rows_of_turn(parts, batch['train']['image'], turn, key)
    # Made once for both players, where memory allows.
    made = make(parts, g, rows['z']) if parts.num_pieces == 1 else None

    def d_gradients(rows, d=d, made=made):
      fake, *_ = made or make(parts, g, rows['z'])
      params = vary(d.params, parts.axis_name)
      gradient = jax.grad(d_loss, argnums=1, has_aux=True)
      return gradient(parts, params, d.model_state, rows, fake), {}

    (gradients, aux), _ = in_pieces(d_gradients, rows, parts.num_pieces)
    d, d_metrics = apply_gradients(
      d,
      parts.d_optimizer,
      gradients,
      aux,
      state.step,
      axis_name=parts.axis_name,
    )

  def g_gradients(rows):
    # G answers with the samples that D has just seen.
    fake, to_g, model_state = made or make(parts, g, rows['z'])
    gradient = jax.value_and_grad(g_loss, argnums=3)
    value, at_fake = gradient(parts, d, rows['real'], fake)
    (gradients,) = to_g(at_fake)
    return (gradients, Aux({'loss': value}, model_state)), {}

  (gradients, aux), _ = in_pieces(g_gradients, rows, parts.num_pieces)
  g, g_metrics = apply_gradients(
    g, parts.g_optimizer, gradients, aux, state.step, axis_name=parts.axis_name
  )
  state = state.replace(step=state.step + 1, generator=g, discriminator=d)
  return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)


def make_system(
  config: ConfigDict, spec: DataSpec, axis_name: str | None = None
) -> System:
  """The system that `config` describes; see `OPTIONS` for its keys."""
  parts = make_parts(config, spec, axis_name)
  rows = config.loss.n_critic * config.data.batch_size

  def generate(weights, latents):
    fake, _ = parts.generator.apply(weights, latents.z, train=False)
    return {'samples': fake}

  return System(
    batch_spec={'train': Stream('all', rows)},
    init=lambda key, image: new_state(key, parts),
    train_step=functools.partial(train_step, parts),
    networks={
      'generator': parts.generator,
      'discriminator': parts.discriminator,
    },
    sampler=parts.prior.sampler(generate),
    panels=(Panel("D's penalties", 'squared norm', r'd_(r1|r2|gp)$'), LOGITS),
    d_may_win=config.loss.adversarial.name == 'wasserstein',
  )
