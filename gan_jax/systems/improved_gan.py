"""The semi-supervised GAN by its paper's own protocol.

Salimans et al. 2016, "Improved Techniques for Training GANs",
https://arxiv.org/abs/1606.03498: section 5 (the classifier's loss), 3.1
(feature matching), 4 and 6.1 (networks and protocol for MNIST), and the
authors' code where the paper is silent.

Three independently shuffled streams: labelled images, repeated; unlabelled ones
for D; unlabelled ones for G. D moves first, then G on the new D. Images are in
[0, 1] here.
"""

import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.config import integer, integers, key, optimizer, real
from gan_jax.core.rng import key_for
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import DataSpec, Stream
from gan_jax.models.mlp import NoisyClassifier, SoftplusGenerator
from gan_jax.systems.prior import uniform_prior
from gan_jax.systems.state import TrainState, Weights
from gan_jax.systems.system import System, applier, init_network
from gan_jax.systems.update import (
  BATCH_NORM,
  Aux,
  make_optimizer,
  new_player,
  prefixed,
  refuse_pieces,
  update_player,
)

OPTIONS = {
  'model.z_dim': key(100, integer(1), 'dimension of the latents'),
  'model.generator.hidden': key(
    (500, 500), integers(1), 'units of the hidden layers'
  ),
  'model.discriminator.hidden': key(
    (1000, 500, 250, 250, 250), integers(1), 'units of the hidden layers'
  ),
  'model.discriminator.input_noise': key(
    0.3, real(0.0), 'standard deviation of the noise on images in [0, 1]'
  ),
  'model.discriminator.hidden_noise': key(
    0.5, real(0.0), 'standard deviation of the noise on hidden layers'
  ),
  'model.init_rows': key(
    500, integer(2), 'images that the initialisation normalises on'
  ),
  'loss.unlabelled_weight': key(
    1.0, real(0.0), 'of the loss on unlabelled and generated images'
  ),
  **optimizer('generator', learning_rate=3e-3),
  **optimizer('discriminator', learning_rate=3e-3),
}
SMOKE = {
  'model.generator.hidden': (20, 20),
  'model.discriminator.hidden': (20, 10),
  'model.init_rows': 20,
}
DATA = LabelledData
CLASSIFIES = True  # whether it has `predict`


def make_system(
  config, data_spec: DataSpec, axis_name: str | None = None
) -> System:
  """The system that `config` describes; see `OPTIONS` for its keys."""
  apply = applier(config)
  refuse_pieces(config, BATCH_NORM)
  model = config.model
  g_optimizer = make_optimizer(
    config.optimizer.generator, data_spec.steps_per_epoch
  )
  d_optimizer = make_optimizer(
    config.optimizer.discriminator, data_spec.steps_per_epoch
  )
  generator = SoftplusGenerator(
    image_shape=data_spec.image_shape,
    axis_name=axis_name,
    **model.generator,
  )
  discriminator = NoisyClassifier(
    num_logits=data_spec.num_classes,
    axis_name=axis_name,
    **model.discriminator,
  )
  prior = uniform_prior(model.z_dim, 0.0, 1.0)
  z_example = jnp.zeros((1, model.z_dim))
  image_example = jnp.zeros((1, *data_spec.image_shape))

  def init(key, image):
    g = init_network(generator, key_for(key, 'generator'), z_example)
    d = init_network(
      discriminator,
      key_for(key, 'discriminator'),
      to_zero_one(image),
      noise_key=key_for(key, 'noise_init'),
    )
    return TrainState(
      step=jnp.int32(0),
      generator=new_player(*g, g_optimizer),
      discriminator=new_player(*d, d_optimizer),
      extra={},
    )

  def samples(params, model_state, z):
    return apply(generator, Weights(params, model_state), z, train=True)

  def judge(params, model_state, image, noise_key):
    output, _ = apply(
      discriminator,
      Weights(params, model_state),
      image,
      train=True,
      noise_key=noise_key,
    )
    return output

  def train_step(state, batch, key):
    key = jax.random.fold_in(key, state.step)
    g, d = state.generator, state.discriminator
    labelled = batch['labelled']
    num_rows = len(labelled['image'])

    def draw_z(purpose):
      return prior.sample(key_for(key, purpose), num_rows, axis_name)

    fake, _ = samples(g.params, g.model_state, draw_z('z_for_d'))

    def d_loss_fn(params):
      def class_logits(image, purpose):
        noise_key = key_for(key, purpose)
        return judge(params, d.model_state, image, noise_key).class_logits

      on_labelled = class_logits(to_zero_one(labelled['image']), 'noise1')
      on_real = class_logits(
        to_zero_one(batch['unlabelled']['image']), 'noise2'
      )
      on_fake = class_logits(fake, 'noise3')
      supervised = losses.supervised_loss(
        on_labelled,
        labelled['label'],
        labelled['label_mask'],
        axis_name=axis_name,
      )
      unlabelled = losses.unlabelled_loss(on_real, on_fake, axis_name=axis_name)
      metrics = {
        'loss': supervised + config.loss.unlabelled_weight * unlabelled,
        'loss_supervised': supervised,
        'loss_real_fake': unlabelled,
        'real_probability': losses.real_probability(on_real).mean(),
        'fake_probability': losses.real_probability(on_fake).mean(),
        'win_rate': jnp.mean(
          losses.gan_logits(on_real) > losses.gan_logits(on_fake)
        ),
      }
      return metrics['loss'], Aux(metrics, d.model_state)

    new_d, d_metrics = update_player(
      d, d_optimizer, d_loss_fn, state.step, axis_name=axis_name
    )

    z = draw_z('z_for_g')

    def g_loss_fn(params):
      fake, model_state = samples(params, g.model_state, z)
      on_real, on_fake = (
        judge(
          new_d.params, d.model_state, image, key_for(key, purpose)
        ).features
        for image, purpose in (
          (to_zero_one(batch['unlabelled_for_g']['image']), 'noise4'),
          (fake, 'noise5'),
        )
      )
      loss = losses.feature_matching_loss(
        on_real, on_fake, squared=True, axis_name=axis_name
      )
      return loss, Aux({'loss': loss}, model_state)

    new_g, g_metrics = update_player(
      g, g_optimizer, g_loss_fn, state.step, axis_name=axis_name
    )
    state = state.replace(
      step=state.step + 1, generator=new_g, discriminator=new_d
    )
    return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)

  def generate(weights, z):
    fake, _ = apply(generator, weights, z, train=False)
    return {'samples': 2.0 * fake - 1.0}

  def predict(weights, image):
    output, _ = apply(discriminator, weights, to_zero_one(image), train=False)
    return output.class_logits

  rows = config.data.batch_size
  return System(
    batch_spec={
      'labelled': Stream('labelled', rows),
      'unlabelled': Stream('all', rows),
      'unlabelled_for_g': Stream('all', rows),
    },
    init=init,
    init_rows=model.init_rows,
    train_step=train_step,
    sample_z=prior.sample,
    interpolate=prior.interpolate,
    z_in_numpy=prior.in_numpy,
    generate=generate,
    predict=predict,
    networks={
      'generator': (generator, z_example),
      'discriminator': (discriminator, image_example),
    },
  )


def to_zero_one(image):
  """Images in [-1, 1] as images in [0, 1]."""
  return 0.5 * (image + 1.0)
