"""pix2pix: image-to-image translation learned from aligned pairs.

Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial
Networks", https://arxiv.org/abs/1611.07004. G translates one image of a pair
into the other; D classifies patches of the pair. G minimises the adversarial
loss plus the L1 distance to its target (equation 4). The only noise is dropout,
which stays on at test time (section 3.2).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import losses
from gan_jax.config import (
  boolean,
  key,
  one_of,
  optimizer,
  real,
)
from gan_jax.core.collectives import vary
from gan_jax.core.errors import InputError
from gan_jax.core.rng import global_rows, key_for, row_keys
from gan_jax.core.types import Array, Batch, Metrics, Params, PRNGKey
from gan_jax.data.domains import DomainData
from gan_jax.data.spec import DomainSpec, Stream
from gan_jax.systems.parts import objectives, translation, view
from gan_jax.systems.parts.view import See, View, unchanged
from gan_jax.systems.state import Player, TrainState, Weights
from gan_jax.systems.system import LOGITS, Network, Panel, System, Translator
from gan_jax.systems.update import (
  Aux,
  Optimizer,
  apply_gradients,
  check_pieces,
  make_optimizers,
  new_state,
  prefixed,
  update_player,
)

OPTIONS = {
  'data.name': DomainData.OPTIONS['data.name']._replace(default='pairs'),
  'data.direction': translation.DIRECTION._replace(default='b2a', was='b2a'),
  'model.sync_batch_norm': translation.SYNC_BATCH_NORM,
  **translation.options('unet', 'batch'),
  'model.test_statistics': key(
    'instance',
    one_of('instance', 'bn'),
    "statistics of BatchNorm at test time: each image's own, as in the paper, "
    'or running averages',
  ),
  'model.test_dropout': key(
    True, boolean, 'whether dropout stays on at test time'
  ),
  **objectives.options('non_saturating'),
  'loss.lambda_adversarial': key(
    1.0, real(0.0), "weight of G's adversarial loss"
  ),
  'loss.lambda_discriminator': key(0.5, real(0.0), "weight of D's loss"),
  'loss.lambda_l1': key(
    100.0, real(0.0), 'weight of the L1 distance to the target'
  ),
  **view.OPTIONS,
  **optimizer('generator'),
  **optimizer('discriminator'),
}
SMOKE = {
  'model.generator.width': 4,
  'model.generator.num_blocks': 1,
  'model.discriminator.width': 4,
  'model.discriminator.patch_size': 16,
}
DATA = DomainData


class Parts(NamedTuple):
  """Networks, optimisers and options of the step; constant over a run."""

  generator: Network
  discriminator: Network
  g_optimizer: Optimizer
  d_optimizer: Optimizer
  d_objective: Callable[[Array, Array], Array]  # of the logits on real and fake
  g_objective: Callable[[Array, Array], Array]
  loss: ConfigDict  # config.loss
  direction: str  # 'a2b' or 'b2a'
  view: View
  axis_name: str | None


def make_parts(
  config: ConfigDict, spec: DomainSpec, axis_name: str | None = None
) -> Parts:
  """Builds the parts that `config` describes; see `OPTIONS` for its keys."""
  if not spec.aligned:
    raise InputError(
      f'pix2pix learns from aligned pairs, but the images of '
      f'{config.data.name} are unpaired; choose system cyclegan, or paired data'
    )
  shapes = {'a': spec.a_shape, 'b': spec.b_shape}
  source, target = (shapes[x] for x in config.data.direction.split('2'))
  networks = (
    translation.make_generator(
      config, source, target[-1], axis_name, use_dropout=True
    ),
    translation.make_discriminator(
      config, jnp.zeros((1, *source[:2], source[-1] + target[-1])), axis_name
    ),
  )
  check_pieces(config, *networks)
  return Parts(
    *networks,
    *make_optimizers(config, spec),
    *objectives.make_losses(config.loss.adversarial, axis_name),
    config.loss,
    config.data.direction,
    view.make_view(config, spec, axis_name),
    axis_name,
  )


def judge(
  parts: Parts,
  params: Params,
  model_state: Params,
  given: Array,
  image: Array,
  see: Callable[[Array], Array] = lambda image: image,
) -> tuple[Array, Params]:
  """Applies D to pairs (given, image): patch logits, and D's model state."""
  # Both images get the same augmentation.
  pair = jnp.concatenate([see(given), see(image)], axis=-1)
  weights = Weights(params, model_state)
  return parts.discriminator.apply(weights, pair, train=True)


def d_loss(
  parts: Parts,
  params: Params,
  model_state: Params,
  given: Array,
  real: Array,
  fake: Array,
  see: See = unchanged,
) -> tuple[Array, Aux]:
  """Computes D's loss on real and generated pairs (equation 1)."""

  def on(image, name):
    return judge(
      parts, params, model_state, given, image, lambda x: see(x, name)
    )

  # Separate passes: BatchNorm sees a batch of either data or samples.
  on_real, new_model_state = on(real, 'real')
  on_fake, _ = on(fake, 'fake')
  # A weight below 1 slows D down relative to G (section 3.3).
  weight = parts.loss.lambda_discriminator
  value = weight * parts.d_objective(on_real, on_fake).mean()
  metrics = {
    'loss': value,
    'real_logit': on_real.mean(),
    'fake_logit': on_fake.mean(),
    'win_rate': jnp.mean(on_real > on_fake),  # of patches
  }
  return value, Aux(metrics, new_model_state)


def g_loss(
  parts: Parts,
  d: Player,
  given: Array,
  real: Array,
  fake: Array,
  see: See = unchanged,
) -> tuple[Array, Metrics]:
  """Computes G's adversarial and L1 losses (equations 3 and 4)."""
  on_real, on_fake = (
    judge(parts, *d.weights, given, image, lambda x, name=name: see(x, name))[0]
    for image, name in ((real, 'real'), (fake, 'fake'))
  )
  value = parts.g_objective(on_real, on_fake).mean()
  l1 = losses.l1_loss(fake, real).mean()
  total = parts.loss.lambda_adversarial * value + parts.loss.lambda_l1 * l1
  return total, {'loss': total, 'loss_adversarial': value, 'l1': l1}


def train_step(
  parts: Parts, state: TrainState, batch: Batch, key: PRNGKey
) -> tuple[TrainState, Metrics]:
  """Updates D, then G against the new D, both on the same fake."""
  given, real = (batch['pairs'][x] for x in parts.direction.split('2'))
  key = jax.random.fold_in(key, state.step)
  g, d, axis_name = state.generator, state.discriminator, parts.axis_name

  def make_fake(params):
    return parts.generator.apply(
      Weights(params, g.model_state),
      given,
      train=True,
      noise_key=key_for(key, 'dropout'),
      rows=global_rows(len(given), axis_name),
    )

  fake, to_g, g_model_state = jax.vjp(
    make_fake, vary(g.params, axis_name), has_aux=True
  )
  rows = parts.view.rows(len(given))
  see = parts.view.at(key_for(key, 'd'), rows, state.step)
  new_d, d_metrics = update_player(
    d,
    parts.d_optimizer,
    lambda params: d_loss(parts, params, d.model_state, given, real, fake, see),
    state.step,
    axis_name=axis_name,
  )
  gradient = jax.grad(g_loss, argnums=4, has_aux=True)
  see = parts.view.at(key_for(key, 'g'), rows, state.step)
  at_fake, metrics = gradient(parts, new_d, given, real, fake, see)
  (gradients,) = to_g(at_fake)
  aux = Aux(metrics, g_model_state)
  new_g, g_metrics = apply_gradients(
    g, parts.g_optimizer, gradients, aux, state.step, axis_name=axis_name
  )
  state = state.replace(
    step=state.step + 1, generator=new_g, discriminator=new_d
  )
  return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)


def make_system(
  config: ConfigDict, spec: DomainSpec, axis_name: str | None = None
) -> System:
  """Builds the system that `config` describes; see `OPTIONS` for its keys."""
  parts, model = make_parts(config, spec, axis_name), config.model

  def translate(weights, image, key):
    def one(image, key):  # one image, so that the statistics are its own
      made, _ = parts.generator.apply(
        weights,
        image[None],
        train=model.test_statistics == 'instance',
        noise_key=key,
        dropout=model.test_dropout,
      )
      return made[0]

    return jax.vmap(one)(image, row_keys(key, len(image)))

  return System(
    batch_spec={'pairs': Stream('ab', config.data.batch_size)},
    init=lambda key, image: new_state(key, parts),
    train_step=functools.partial(train_step, parts),
    networks={
      'generator': parts.generator,
      'discriminator': parts.discriminator,
    },
    translator=Translator(
      {parts.direction: translate},
      side_multiple=translation.side_multiple(config, parts.generator),
      has_noise=model.test_dropout,
    ),
    panels=(Panel("Parts of G's loss", 'loss', r'g_(loss_|l1)'), LOGITS),
  )
