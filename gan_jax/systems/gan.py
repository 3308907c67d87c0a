"""Generative adversarial networks without labels, for any pair of networks.

Goodfellow et al. 2014, "Generative Adversarial Nets",
https://arxiv.org/abs/1406.2661, algorithm 1: D moves `n_critic` times, then G
on the new D, with the samples that D has seen last (the algorithm draws new
ones; made once, they cost a pass of G less). The loss, the penalties and the
networks make it a DCGAN, a WGAN-GP, an SNGAN, an R3GAN, ...
"""

import jax
import jax.numpy as jnp

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
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import DataSpec, Stream
from gan_jax.models.dcgan import ConvDiscriminator, DeconvGenerator
from gan_jax.models.mlp import MLPDiscriminator, MLPGenerator
from gan_jax.systems import objectives
from gan_jax.systems.prior import normal_prior, uniform_prior
from gan_jax.systems.state import TrainState, Weights
from gan_jax.systems.system import System, applier, init_network
from gan_jax.systems.update import (
  BATCH_NORM,
  Aux,
  apply_gradients,
  in_pieces,
  make_optimizer,
  new_player,
  prefixed,
  refuse_pieces,
)

GENERATORS = {'mlp': MLPGenerator, 'deconv': DeconvGenerator}
DISCRIMINATORS = {'mlp': MLPDiscriminator, 'conv': ConvDiscriminator}
_INIT_STDDEV = key(
  None,
  optional(real(0.0)),
  'of the initial kernels; None: as flax draws them (LeCun normal)',
)
_HIDDEN = {'hidden': key(128, integer(1), 'units of the hidden layer')}
_SYNC = key(
  True, boolean, "whether BatchNorm's statistics are over all devices"
)
OPTIONS = {
  'model.z_dim': key(100, integer(1), 'dimension of the latents'),
  'model.z_prior': key(
    'normal', one_of('normal', 'uniform'), 'of the latents: N(0, 1) or U(-1, 1)'
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
          'none', one_of('batch', 'spectral', 'none'), 'of the layers'
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
CLASSIFIES = False  # whether it has `predict`


def make_system(
  config, data_spec: DataSpec, axis_name: str | None = None
) -> System:
  """The system that `config` describes; see `OPTIONS` for its keys."""
  apply = applier(config)
  loss, model = config.loss, config.model
  g_optimizer = make_optimizer(
    config.optimizer.generator, data_spec.steps_per_epoch
  )
  d_optimizer = make_optimizer(
    config.optimizer.discriminator, data_spec.steps_per_epoch
  )
  generator, discriminator = _networks(config, data_spec, axis_name)
  d_loss, g_loss = objectives.make_losses(loss.adversarial, axis_name)
  num_pieces = config.train.num_microbatches
  if loss.adversarial.name == 'relativistic_average':
    refuse_pieces(config, "the loss compares with the whole batch's averages")
  prior = (
    normal_prior(model.z_dim)
    if model.z_prior == 'normal'
    else uniform_prior(model.z_dim, -1.0, 1.0)
  )
  z_example = jnp.zeros((1, model.z_dim))
  image_example = jnp.zeros((1, *data_spec.image_shape))

  def init(key, image):
    del image  # nothing depends on the data
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

  def samples(params, model_state, z):
    return apply(generator, Weights(params, model_state), z, train=True)

  def judge(params, model_state, image):
    weights = Weights(params, model_state)
    return apply(discriminator, weights, image, train=True)

  def d_loss_fn(params, model_state, real, fake, epsilon):
    # Each in a pass of its own: BatchNorm sees data or samples, never both.
    on_real, new_model_state = judge(params, model_state, real)
    on_fake, _ = judge(params, model_state, fake)
    loss_adversarial = d_loss(on_real, on_fake).mean()
    metrics = {
      'loss_adversarial': loss_adversarial,
      'real_logit': on_real.mean(),
      'fake_logit': on_fake.mean(),
      'win_rate': jnp.mean(on_real > on_fake),
    }

    def d_fn(image):
      return judge(params, model_state, image)[0]

    total = loss_adversarial
    if loss.r1_gamma:
      metrics['r1'] = penalties.r1_penalty(d_fn, real).mean()
      total += loss.r1_gamma * metrics['r1']
    if loss.r2_gamma:
      metrics['r2'] = penalties.r2_penalty(d_fn, fake).mean()
      total += loss.r2_gamma * metrics['r2']
    if loss.lambda_gp:
      metrics['gp'] = penalties.gradient_penalty(
        d_fn, real, fake, epsilon
      ).mean()
      total += loss.lambda_gp * metrics['gp']
    return total, Aux(metrics | {'loss': total}, new_model_state)

  def train_step(state, batch, key):
    image = batch['train']['image']
    num_rows = len(image) // loss.n_critic
    key = jax.random.fold_in(key, state.step)
    g, d = state.generator, state.discriminator

    def make(z):
      """Samples, what pulls their gradients back to G, and G's statistics."""
      return jax.vjp(
        lambda params: samples(params, g.model_state, z),
        vary(g.params, axis_name),
        has_aux=True,
      )

    for i in range(loss.n_critic):
      turn = jax.random.fold_in(key, i)
      z = prior.sample(key_for(turn, 'z'), num_rows, axis_name)
      epsilon = uniform_rows(
        key_for(turn, 'epsilon'), num_rows, (), 0.0, 1.0, axis_name
      )
      # The same rows on any number of devices.
      rows = {'real': image[i :: loss.n_critic], 'z': z, 'epsilon': epsilon}
      # Made once for both players, where memory allows.
      made = make(z) if num_pieces == 1 else None

      def d_gradients(rows, d=d, made=made):
        fake, *_ = made or make(rows['z'])
        return jax.grad(d_loss_fn, has_aux=True)(
          vary(d.params, axis_name),
          d.model_state,
          rows['real'],
          fake,
          rows['epsilon'],
        ), {}

      (gradients, aux), _ = in_pieces(d_gradients, rows, num_pieces)
      d, d_metrics = apply_gradients(
        d, d_optimizer, gradients, aux, state.step, axis_name=axis_name
      )

    # G answers with the samples that D has just seen.
    def g_gradients(rows):
      fake, to_g, model_state = made or make(rows['z'])

      def g_loss_fn(fake):
        on_real, _ = judge(d.params, d.model_state, rows['real'])
        on_fake, _ = judge(d.params, d.model_state, fake)
        return g_loss(on_real, on_fake).mean()

      value, at_fake = jax.value_and_grad(g_loss_fn)(fake)
      (gradients,) = to_g(at_fake)
      return (gradients, Aux({'loss': value}, model_state)), {}

    (gradients, aux), _ = in_pieces(g_gradients, rows, num_pieces)
    g, g_metrics = apply_gradients(
      g, g_optimizer, gradients, aux, state.step, axis_name=axis_name
    )
    state = state.replace(step=state.step + 1, generator=g, discriminator=d)
    return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)

  def generate(weights, z):
    fake, _ = apply(generator, weights, z, train=False)
    return {'samples': fake}

  return System(
    batch_spec={'train': Stream('all', loss.n_critic * config.data.batch_size)},
    init=init,
    train_step=train_step,
    sample_z=prior.sample,
    interpolate=prior.interpolate,
    z_in_numpy=prior.in_numpy,
    generate=generate,
    networks={
      'generator': (generator, z_example),
      'discriminator': (discriminator, image_example),
    },
  )


def _networks(config, data_spec: DataSpec, axis_name: str | None):
  """G and D."""
  model, loss = config.model, config.loss
  norm_axis = axis_name if model.sync_batch_norm else None

  def build(networks, group, **options):
    settings = dict(group)
    network = networks[settings.pop('name')]
    if 'axis_name' in network.__dataclass_fields__:
      options['axis_name'] = norm_axis
    return network(**settings, **options)

  discriminator = build(DISCRIMINATORS, model.discriminator)
  if config.optimizer.discriminator.ema_decay and loss.n_critic > 1:
    raise InputError(
      'the average of a discriminator that moves n_critic times a step is not '
      'defined; set config.optimizer.discriminator.ema_decay to 0'
    )
  penalised = loss.r1_gamma or loss.r2_gamma or loss.lambda_gp
  if penalised and getattr(discriminator, 'normalization', None) == 'batch':
    raise InputError(
      'a gradient penalty (config.loss.r1_gamma, r2_gamma, lambda_gp) is on '
      "each image's own gradient, but BatchNorm lets all images of a batch act "
      'on each logit; set config.model.discriminator.normalization to none or '
      'spectral'
    )
  generator = build(
    GENERATORS, model.generator, image_shape=data_spec.image_shape
  )
  normalised = getattr(discriminator, 'normalization', None) == 'batch'
  if normalised or isinstance(generator, DeconvGenerator):
    refuse_pieces(config, BATCH_NORM)
  return generator, discriminator
