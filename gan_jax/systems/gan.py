"""Generative adversarial networks, unconditional or class-conditional.

Goodfellow et al. 2014, "Generative Adversarial Nets",
https://arxiv.org/abs/1406.2661, algorithm 1: D is updated `n_critic` times,
then G against the new D. By default G reuses D's last samples, which saves a
forward pass; with `config.loss.g_batch = 'fresh'` it draws new ones, as the
algorithm does. With `config.loss.play = 'simultaneous'` each player is updated
against the other's old weights. The choice of loss, penalties and networks
makes it a DCGAN, a WGAN-GP, an SNGAN, a PacGAN, an R3GAN, ...
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import penalties
from gan_jax.config import (
  Schedule,
  Units,
  changes,
  integer,
  key,
  make_schedule,
  one_of,
  optimizer,
  real,
  schedule,
)
from gan_jax.core.collectives import vary
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for, uniform_rows
from gan_jax.core.types import Array, Batch, Metrics, Params, PRNGKey
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import DataSpec, Stream
from gan_jax.ema import debiased_share
from gan_jax.systems.parts import networks, objectives, view
from gan_jax.systems.parts.prior import Prior, normal_prior, uniform_prior
from gan_jax.systems.parts.view import See, View, unchanged
from gan_jax.systems.state import Player, TrainState, Weights
from gan_jax.systems.system import LOGITS, Network, Panel, System
from gan_jax.systems.update import (
  Aux,
  Optimizer,
  check_pieces,
  make_optimizers,
  new_state,
  prefixed,
  update_in_pieces,
)

OPTIONS = {
  'data.num_test': LabelledData.OPTIONS['data.num_test']._replace(default=0),
  'model.z_dim': key(100, integer(1), 'dimension of the latent space'),
  'model.z_prior': key(
    'normal',
    one_of('normal', 'uniform'),
    'distribution of the latents: N(0, 1) or U(-1, 1)',
  ),
  **networks.OPTIONS,
  **objectives.options('non_saturating'),
  'loss.n_critic': key(
    1, integer(1), 'updates of D per update of G, each on its own batch'
  ),
  'loss.g_batch': key(
    'shared',
    one_of('shared', 'fresh'),
    "whether G is updated on D's last batch and samples, or on new ones",
    since=3,
  ),
  'loss.play': key(
    'alternating',
    one_of('alternating', 'simultaneous'),
    'whether G is updated against the new D, or both against the old ones',
    since=5,
  ),
  'loss.r1_gamma': key(0.0, real(0.0), 'weight of R1, on real images'),
  **schedule('loss.r1_schedule', 'r1_gamma', 0.0, real(0.0)),
  'loss.r2_gamma': key(0.0, real(0.0), 'weight of R2, on generated images'),
  **schedule('loss.r2_schedule', 'r2_gamma', 0.0, real(0.0)),
  'loss.lambda_gp': key(0.0, real(0.0), "weight of WGAN-GP's gradient penalty"),
  **schedule('loss.gp_schedule', 'lambda_gp', 0.0, real(0.0)),
  'loss.lambda_lecam': key(
    0.0, real(0.0), 'weight of LeCam regularisation', since=3
  ),
  **schedule('loss.lecam_schedule', 'lambda_lecam', 0.0, real(0.0)),
  'loss.lecam_decay': key(
    0.99,
    real(0.0, 1.0, exclusive=True),
    "decay of LeCam's averages of the logits, per update of D",
    since=3,
  ),
  **view.OPTIONS,
  **optimizer('generator'),
  **optimizer('discriminator'),
}
SMOKE = {
  'loss.n_critic': 2,
  'model.generator.hidden': 8,
  'model.generator.size_mult': 2,
  'model.generator.width': 4,
  'model.discriminator.hidden': 8,
  'model.discriminator.width': 4,
  **{
    f'model.{network}.{key}': size
    for network in ('generator', 'discriminator')
    for key, size in (('widths', 8), ('blocks', 1), ('group_width', 4))
  },
}
DATA = LabelledData


class Parts(NamedTuple):
  """Networks, optimisers and options of the step; constant over a run."""

  generator: Network
  discriminator: Network
  g_optimizer: Optimizer
  d_optimizer: Optimizer
  d_objective: Callable[[Array, Array], Array]  # of the logits on real and fake
  g_objective: Callable[[Array, Array], Array]
  prior: Prior
  loss: ConfigDict  # config.loss
  weights: Mapping[str, Schedule]  # of the active penalties, by metric
  view: View
  num_pieces: int
  num_classes: int  # of the networks; 0: unconditional
  axis_name: str | None


def make_parts(
  config: ConfigDict, spec: DataSpec, axis_name: str | None = None
) -> Parts:
  """Builds the parts that `config` describes; see `OPTIONS` for its keys."""
  model, loss = config.model, config.loss
  generator, discriminator = networks.make_networks(config, spec, axis_name)
  averaged = config.optimizer.discriminator.ema.name != 'none'
  if averaged and loss.n_critic > 1:
    raise InputError(
      'the moving average of a discriminator with several updates per step '
      '(n_critic) is not defined; set '
      'config.optimizer.discriminator.ema.name to none'
    )
  if loss.play == 'simultaneous' and loss.n_critic > 1:
    raise InputError(
      f'config.loss.play = simultaneous with n_critic = {loss.n_critic}: G '
      'would be updated against a D that is several updates old; set n_critic '
      'to 1, or play to alternating'
    )
  weights = penalty_weights(config, spec)
  if weights.keys() - {'lecam'} and discriminator.uses_batch_statistics:
    raise InputError(
      'a gradient penalty (config.loss.r1_gamma, r2_gamma, lambda_gp) needs '
      "each image's own gradient, but with BatchNorm each logit depends on all "
      'images of the batch; set config.model.discriminator.normalization to '
      'none or spectral'
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
    *make_optimizers(config, spec),
    *objectives.make_losses(loss.adversarial, axis_name),
    prior,
    loss,
    weights,
    view.make_view(config, spec, axis_name),
    config.train.num_microbatches,
    0 if model.conditioning == 'none' else spec.num_classes,
    axis_name,
  )


def penalty_weights(config: ConfigDict, spec: DataSpec) -> dict[str, Schedule]:
  """Returns the weight schedules of the active penalties."""
  loss = config.loss
  units = Units(spec.steps_per_epoch, config.data.batch_size)
  return {
    name: make_schedule(group, value, units)
    for name, value, group in (
      ('r1', loss.r1_gamma, loss.r1_schedule),
      ('r2', loss.r2_gamma, loss.r2_schedule),
      ('gp', loss.lambda_gp, loss.gp_schedule),
      ('lecam', loss.lambda_lecam, loss.lecam_schedule),
    )
    if value or changes(group)
  }


def judge(
  parts: Parts,
  params: Params,
  model_state: Params,
  image: Array,
  label: Array | None = None,
) -> tuple[Array, Params]:
  """Applies D to packs: logits [B], given any labels, and its model state."""
  weights, labels = Weights(params, model_state), _given(label)
  return parts.discriminator.apply(weights, image, *labels, train=True)


def _given(*inputs: Array | None) -> list[Array]:
  """Drops absent inputs: an unconditional network takes no label."""
  return [x for x in inputs if x is not None]


# Samples, their VJP function to G's parameters, and G's model state.
Made = tuple[Array, Callable, Params]


def make(parts: Parts, g: Player, z: Array, label: Array | None = None) -> Made:
  """Generates samples; see `Made`."""

  def samples(params):
    weights, inputs = Weights(params, g.model_state), _given(z, label)
    return parts.generator.apply(weights, *inputs, train=True)

  return jax.vjp(samples, vary(g.params, parts.axis_name), has_aux=True)


def d_loss(
  parts: Parts,
  params: Params,
  model_state: Params,
  rows: Mapping[str, Array],
  fake: Array,
  *,
  step: Array | int = 0,
  see: See = unchanged,
  averages: Mapping[str, Array] | None = None,
) -> tuple[Array, Aux]:
  """Computes D's loss on data and samples, including penalties.

  Args:
    parts: the system's parts.
    params: D's parameters.
    model_state: D's model state.
    rows: 'real', images [B, H, W, C]; 'epsilon' in [0, 1], interpolation
      weights of the gradient penalty, one per pack of images; with classes
      'label' [B] of both reals and fakes.
    fake: samples [B, H, W, C].
    step: the training step, which the penalties' weights depend on.
    see: D's view of the images.
    averages: LeCam's moving averages of the logits on 'real' and 'fake'.
  """
  real, fake = map(parts.view.pack, (rows['real'], fake))
  label = rows.get('label')

  def seen(image, name):
    return judge(parts, params, model_state, see(image, name), label)

  def on(name):  # the penalties differentiate through the augmentation
    return lambda image: seen(image, name)[0]

  # Separate passes: BatchNorm sees a batch of either data or samples.
  on_real, new_model_state = seen(real, 'real')
  on_fake, _ = seen(fake, 'fake')
  adversarial = parts.d_objective(on_real, on_fake).mean()
  penalty = {
    'r1': lambda: penalties.r1_penalty(on('real'), real),
    'r2': lambda: penalties.r2_penalty(on('fake'), fake),
    'gp': lambda: penalties.gradient_penalty(
      on('real'), real, fake, rows['epsilon']
    ),
    'lecam': lambda: penalties.lecam_penalty(
      on_real, on_fake, averages['real'], averages['fake']
    ),
  }
  metrics = {
    'loss_adversarial': adversarial,
    'real_logit': on_real.mean(),
    'fake_logit': on_fake.mean(),
    'win_rate': jnp.mean(on_real > on_fake),
  }
  total = adversarial
  for name, weight in parts.weights.items():
    metrics[name] = penalty[name]().mean()
    total += weight(step) * metrics[name]
  return total, Aux(metrics | {'loss': total}, new_model_state)


def g_loss(
  parts: Parts,
  d: Player,
  rows: Mapping[str, Array],
  fake: Array,
  see: See = unchanged,
) -> Array:
  """Computes G's loss from D's logits on samples and, if needed, on data."""
  on_real, on_fake = (
    judge(
      parts, *d.weights, see(parts.view.pack(image), name), rows.get('label')
    )[0]
    for image, name in ((rows['real'], 'real'), (fake, 'fake'))
  )
  return parts.g_objective(on_real, on_fake).mean()


def num_turns(loss: ConfigDict) -> int:
  """Counts the batches of a step: one for each update with its own images."""
  return loss.n_critic + (loss.g_batch == 'fresh')


def num_rows(config: ConfigDict) -> int:
  """Counts the images that a step consumes."""
  packs = num_turns(config.loss) * config.data.batch_size
  return packs * config.model.get('packing', 1)


def rows_of_turn(
  parts: Parts, rows: Mapping[str, Array], turn: int, key: PRNGKey
) -> dict[str, Array]:
  """Takes the rows and draws the noise of one update, independent of devices.

  Samples get the labels of the real images, so that they follow the training
  set's class distribution and a relativistic loss compares within a class.
  """
  turns = num_turns(parts.loss)
  num = len(rows['image']) // turns
  label = {'label': rows['label'][turn::turns]} if parts.num_classes else {}
  return label | {
    'real': rows['image'][turn::turns],
    'z': parts.prior.sample(key_for(key, 'z'), num, parts.axis_name),
    'epsilon': uniform_rows(
      key_for(key, 'epsilon'),
      num // parts.view.packing,
      (),
      0.0,
      1.0,
      parts.axis_name,
    ),
    **parts.view.rows(num),
  }


def update_d(
  parts: Parts,
  d: Player,
  g: Player,
  rows: Mapping[str, Array],
  made: Made | None,
  key: PRNGKey,
  step: Array,
  averages: Mapping[str, Array],
) -> tuple[Player, Metrics]:
  """Updates D; generates the samples itself if `made` is None."""

  def gradients_of(rows):
    fake, *_ = made or make(parts, g, rows['z'], rows.get('label'))
    params = vary(d.params, parts.axis_name)
    see = parts.view.at(key_for(key, 'd'), rows, step)
    options = {'step': step, 'see': see, 'averages': averages}
    gradient = jax.grad(d_loss, argnums=1, has_aux=True)
    return gradient(parts, params, d.model_state, rows, fake, **options), {}

  return update_in_pieces(
    d, parts.d_optimizer, gradients_of, rows, step, parts
  )[:2]


def update_g(
  parts: Parts,
  g: Player,
  d: Player,
  rows: Mapping[str, Array],
  made: Made | None,
  key: PRNGKey,
  step: Array,
) -> tuple[Player, Metrics]:
  """Updates G; generates the samples itself if `made` is None."""

  def gradients_of(rows):
    fake, to_g, model_state = made or make(
      parts, g, rows['z'], rows.get('label')
    )
    see = parts.view.at(key_for(key, 'g'), rows, step)
    gradient = jax.value_and_grad(g_loss, argnums=3)
    value, at_fake = gradient(parts, d, rows, fake, see)
    (gradients,) = to_g(at_fake)
    return (gradients, Aux({'loss': value}, model_state)), {}

  return update_in_pieces(
    g, parts.g_optimizer, gradients_of, rows, step, parts
  )[:2]


def train_step(
  parts: Parts, state: TrainState, batch: Batch, key: PRNGKey
) -> tuple[TrainState, Metrics]:
  """Updates D `n_critic` times, then G against the new D, or the old one."""
  step = state.step
  key = jax.random.fold_in(key, step)
  g, d, averages = state.generator, state.discriminator, state.extra
  for turn in range(parts.loss.n_critic):
    turn_key = jax.random.fold_in(key, turn)
    rows = rows_of_turn(parts, batch['train'], turn, turn_key)
    # Computed once for both players unless gradients are accumulated.
    made = None
    if parts.num_pieces == 1:
      made = make(parts, g, rows['z'], rows.get('label'))
    d, d_metrics = update_d(parts, d, g, rows, made, turn_key, step, averages)
    averages = new_averages(parts, averages, d_metrics, step, turn)
  if parts.loss.g_batch == 'fresh':
    turn_key = jax.random.fold_in(key, parts.loss.n_critic)
    rows = rows_of_turn(parts, batch['train'], parts.loss.n_critic, turn_key)
    made = None
  simultaneous = parts.loss.play == 'simultaneous'
  opponent = state.discriminator if simultaneous else d
  g, g_metrics = update_g(parts, g, opponent, rows, made, turn_key, step)
  state = TrainState(step + 1, g, d, averages)
  return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)


def new_averages(
  parts: Parts,
  averages: Mapping[str, Array],
  d_metrics: Metrics,
  step: Array,
  turn: int,
) -> dict[str, Array]:
  """Updates LeCam's moving averages of the logits; {} if LeCam is off."""
  if not averages:
    return averages
  updates = parts.loss.n_critic * step + turn
  share = debiased_share(updates, parts.loss.lecam_decay)
  return {
    name: average + share * (d_metrics[f'{name}_logit'] - average)
    for name, average in averages.items()
  }


def init(parts: Parts, key: PRNGKey, image: None) -> TrainState:
  """Initialises the state, with LeCam's averages if it is on."""
  del image  # nothing depends on the data
  names = ('real', 'fake') if 'lecam' in parts.weights else ()
  return new_state(key, parts).replace(
    extra={name: jnp.float32(0.0) for name in names}
  )


def make_system(
  config: ConfigDict, spec: DataSpec, axis_name: str | None = None
) -> System:
  """Builds the system that `config` describes; see `OPTIONS` for its keys."""
  parts = make_parts(config, spec, axis_name)

  def generate(weights, latents):
    inputs = _given(latents.z, latents.label)
    fake, _ = parts.generator.apply(weights, *inputs, train=False)
    return {'samples': fake}

  return System(
    batch_spec={'train': Stream('all', num_rows(config))},
    init=functools.partial(init, parts),
    train_step=functools.partial(train_step, parts),
    networks={
      'generator': parts.generator,
      'discriminator': parts.discriminator,
    },
    sampler=parts.prior.sampler(
      generate, spec.class_counts if parts.num_classes else None
    ),
    panels=(
      Panel("D's penalties", 'squared norm', r'd_(r1|r2|gp|lecam)$'),
      LOGITS,
    ),
    d_may_win=config.loss.adversarial.name == 'wasserstein',
  )
