"""pix2pix: an image from an image, learned from aligned pairs.

Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial
Networks", https://arxiv.org/abs/1611.07004. G makes an image from the other
half of its pair; D judges patches of the pair; beside D's judgement, G is held
to its target by the L1 distance (equation 4). Noise is dropout alone, which
stays on at test (section 3.2).
"""

import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.config import (
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
from gan_jax.core.rng import key_for, row_keys
from gan_jax.data.domains import DomainData
from gan_jax.data.spec import DomainSpec, Stream
from gan_jax.models.patchgan import PATCH_SIZES, PatchDiscriminator
from gan_jax.models.unet import UNetGenerator, count_levels
from gan_jax.systems import objectives
from gan_jax.systems.state import TrainState, Weights
from gan_jax.systems.system import System, applier, init_network
from gan_jax.systems.update import (
  BATCH_NORM,
  Aux,
  apply_gradients,
  make_optimizer,
  new_player,
  prefixed,
  refuse_pieces,
  update_player,
)

OPTIONS = {
  'data.direction': key(
    'b2a', one_of('a2b', 'b2a'), 'from which domain to which'
  ),
  'model.sync_batch_norm': key(
    True, boolean, "whether BatchNorm's statistics are over all devices"
  ),
  'model.generator.width': key(64, integer(1), 'channels of the first layer'),
  'model.generator.num_levels': key(
    None, optional(integer(1)), 'of the U-Net; None: down to one pixel'
  ),
  'model.generator.remat': key(
    False, boolean, 'whether levels are computed anew for gradients, not kept'
  ),
  'model.discriminator.width': key(
    64, integer(1), 'channels of the first layer'
  ),
  'model.discriminator.patch_size': key(
    70, one_of(*PATCH_SIZES), 'side of what a logit sees, in pixels'
  ),
  'model.discriminator.normalization': key(
    'batch', one_of('batch', 'instance', 'none'), 'of the layers'
  ),
  'model.test_statistics': key(
    'instance',
    one_of('instance', 'bn'),
    "what BatchNorm normalises with at test: each image's own statistics, as "
    'in the paper, or the running ones',
  ),
  'model.test_dropout': key(True, boolean, 'whether dropout acts at test'),
  **objectives.options('non_saturating'),
  'loss.lambda_adversarial': key(1.0, real(0.0), "of G's adversarial loss"),
  'loss.lambda_discriminator': key(0.5, real(0.0), "of D's loss"),
  'loss.lambda_l1': key(100.0, real(0.0), 'of the L1 distance to the target'),
  **optimizer('generator'),
  **optimizer('discriminator'),
}
SMOKE = {
  'model.generator.width': 4,
  'model.discriminator.width': 4,
  'model.discriminator.patch_size': 16,
}
DATA = DomainData
CLASSIFIES = False  # whether it has `predict`


def make_system(
  config, data_spec: DomainSpec, axis_name: str | None = None
) -> System:
  """The system that `config` describes; see `OPTIONS` for its keys."""
  apply = applier(config)
  refuse_pieces(config, BATCH_NORM)
  loss, model = config.loss, config.model
  if not data_spec.aligned:
    raise InputError(
      f'pix2pix learns from pairs, but the images of {config.data.name} are '
      'not aligned; choose system cyclegan, or data of pairs'
    )
  direction = config.data.direction
  source, target = direction.split('2')
  shapes = {'a': data_spec.a_shape, 'b': data_spec.b_shape}
  g_optimizer = make_optimizer(
    config.optimizer.generator, data_spec.steps_per_epoch
  )
  d_optimizer = make_optimizer(
    config.optimizer.discriminator, data_spec.steps_per_epoch
  )
  # Fixed here, as images to translate may have other sizes.
  num_levels = count_levels(shapes[source][:2], model.generator.num_levels)
  generator = UNetGenerator(
    channels=shapes[target][-1],
    width=model.generator.width,
    num_levels=num_levels,
    remat=model.generator.remat,
    axis_name=axis_name,
    sync_batch_norm=model.sync_batch_norm,
  )
  norm_axis = axis_name if model.sync_batch_norm else None
  discriminator = PatchDiscriminator(axis_name=norm_axis, **model.discriminator)
  d_loss, g_loss = objectives.make_losses(loss.adversarial, axis_name)
  source_example = jnp.zeros((1, *shapes[source]))
  pair_example = jnp.concatenate(
    [source_example, jnp.zeros((1, *shapes[target]))], axis=-1
  )

  def init(key, image):
    del image  # nothing depends on the data
    g = init_network(generator, key_for(key, 'generator'), source_example)
    d = init_network(discriminator, key_for(key, 'discriminator'), pair_example)
    return TrainState(
      step=jnp.int32(0),
      generator=new_player(*g, g_optimizer),
      discriminator=new_player(*d, d_optimizer),
      extra={},
    )

  def judge(params, model_state, given, image):
    pair = jnp.concatenate([given, image], axis=-1)
    weights = Weights(params, model_state)
    return apply(discriminator, weights, pair, train=True)

  def train_step(state, batch, key):
    given, real = batch['pairs'][source], batch['pairs'][target]
    key = jax.random.fold_in(key, state.step)
    g, d = state.generator, state.discriminator

    def make_fake(params):
      return apply(
        generator,
        Weights(params, g.model_state),
        given,
        train=True,
        noise_key=key_for(key, 'dropout'),
      )

    # The fake is made once: D sees it, then G answers the new D with it.
    fake, to_g, g_model_state = jax.vjp(
      make_fake, vary(g.params, axis_name), has_aux=True
    )

    def d_loss_fn(params):
      # Each in a pass of its own: BatchNorm sees data or samples, never both.
      on_real, new_model_state = judge(params, d.model_state, given, real)
      on_fake, _ = judge(params, d.model_state, given, fake)
      # Less than 1, it slows D down relative to G (section 3.3).
      value = loss.lambda_discriminator * d_loss(on_real, on_fake).mean()
      metrics = {
        'loss': value,
        'real_logit': on_real.mean(),
        'fake_logit': on_fake.mean(),
        'win_rate': jnp.mean(on_real > on_fake),  # of patches
      }
      return value, Aux(metrics, new_model_state)

    new_d, d_metrics = update_player(
      d, d_optimizer, d_loss_fn, state.step, axis_name=axis_name
    )

    def g_loss_fn(fake):
      on_real, _ = judge(new_d.params, new_d.model_state, given, real)
      on_fake, _ = judge(new_d.params, new_d.model_state, given, fake)
      value = g_loss(on_real, on_fake).mean()
      l1 = losses.l1_loss(fake, real).mean()
      total = loss.lambda_adversarial * value + loss.lambda_l1 * l1
      return total, {'loss': total, 'loss_adversarial': value, 'l1': l1}

    at_fake, metrics = jax.grad(g_loss_fn, has_aux=True)(fake)
    (g_gradients,) = to_g(at_fake)
    new_g, g_metrics = apply_gradients(
      g,
      g_optimizer,
      g_gradients,
      Aux(metrics, g_model_state),
      state.step,
      axis_name=axis_name,
    )
    state = state.replace(
      step=state.step + 1, generator=new_g, discriminator=new_d
    )
    return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)

  def translate(weights, image, key):
    def one(image, key):  # alone, so that its statistics are its own
      made, _ = apply(
        generator,
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
    init=init,
    train_step=train_step,
    networks={
      'generator': (generator, source_example),
      'discriminator': (discriminator, pair_example),
    },
    translate={direction: translate},
    side_multiple=2**num_levels,
  )
