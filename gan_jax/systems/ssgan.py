"""The semi-supervised GAN: a discriminator that is a classifier.

Salimans et al. 2016, "Improved Techniques for Training GANs",
https://arxiv.org/abs/1606.03498: section 5 (the classifier's loss), 3.1
(feature matching for the generator), 3.4 (one-sided label smoothing).
"""

import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.config import (
  boolean,
  integer,
  integers,
  key,
  one_of,
  optimizer,
  real,
)
from gan_jax.core.collectives import vary
from gan_jax.core.rng import key_for
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import DataSpec, Stream
from gan_jax.models.classifier import ConvClassifier
from gan_jax.models.dcgan import DeconvGenerator
from gan_jax.systems.prior import normal_prior
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
)

CLASSIFIER = {
  'model.discriminator.width': key(
    64, integer(1), 'channels of the first layers'
  ),
  'model.discriminator.strides': key(
    (2, 2, 2), integers(1, 2, length=3), 'of the first layer of each stage'
  ),
  'model.discriminator.dropout_rate': key(
    0.5, real(0.0, 1.0, exclusive=True), 'in training'
  ),
}
OPTIONS = {
  'model.z_dim': key(100, integer(1), 'dimension of the latents'),
  'model.extra_class': key(
    True, boolean, 'whether fake is a logit of its own, or fixed at 0'
  ),
  'model.generator.size_mult': key(
    32, integer(1), 'channels of the last hidden layer'
  ),
  'model.generator.base_size': key(
    4, integer(1), 'side of the first layer, in pixels'
  ),
  **CLASSIFIER,
  'loss.label_smoothing': key(
    0.1, real(0.0, 0.5, exclusive=True), 'of real in real or fake (one-sided)'
  ),
  'loss.feature_matching': key(
    'absolute', one_of('absolute', 'squared'), 'distance of the mean features'
  ),
  'loss.play': key(
    'simultaneous',
    one_of('simultaneous', 'alternating'),
    'whether G answers the old D or the new one',
  ),
  **optimizer('generator', learning_rate=3e-4),
  **optimizer('discriminator', learning_rate=3e-4),
}
SMOKE = {'model.generator.size_mult': 2, 'model.discriminator.width': 4}
DATA = LabelledData
CLASSIFIES = True  # whether it has `predict`


def make_system(
  config, data_spec: DataSpec, axis_name: str | None = None
) -> System:
  """The system that `config` describes; see `OPTIONS` for its keys."""
  apply = applier(config)
  refuse_pieces(config, BATCH_NORM)
  loss, model = config.loss, config.model
  g_optimizer = make_optimizer(
    config.optimizer.generator, data_spec.steps_per_epoch
  )
  d_optimizer = make_optimizer(
    config.optimizer.discriminator, data_spec.steps_per_epoch
  )
  generator = DeconvGenerator(
    image_shape=data_spec.image_shape,
    axis_name=axis_name,
    **model.generator,
  )
  discriminator = ConvClassifier(
    num_logits=data_spec.num_classes + int(model.extra_class),
    axis_name=axis_name,
    **model.discriminator,
  )
  prior = normal_prior(model.z_dim)
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
    """Generated images, and G's statistics after the pass."""
    return apply(generator, Weights(params, model_state), z, train=True)

  def judge(params, model_state, real, fake, key):
    """D's outputs on data and on samples, and its statistics of the data."""
    weights = Weights(params, model_state)

    def on(image, purpose):
      return apply(
        discriminator,
        weights,
        image,
        train=True,
        noise_key=key_for(key, purpose),
      )

    on_real, model_state = on(real, 'dropout_real')
    on_fake, _ = on(fake, 'dropout_fake')
    return (on_real, on_fake), model_state

  def d_loss_fn(outputs, rows):
    on_real, on_fake = (output.class_logits for output in outputs)
    supervised, real_fake = losses.semi_supervised_discriminator_loss(
      on_real,
      on_fake,
      rows['label'],
      rows['label_mask'],
      label_smoothing=loss.label_smoothing,
      extra_class=model.extra_class,
      axis_name=axis_name,
    )

    def called_real(class_logits):
      return losses.real_probability(
        class_logits, extra_class=model.extra_class
      ).mean()

    real_logits, fake_logits = (
      losses.gan_logits(class_logits, extra_class=model.extra_class)
      for class_logits in (on_real, on_fake)
    )
    metrics = {
      'loss': supervised + real_fake,
      'loss_supervised': supervised,
      'loss_real_fake': real_fake,
      'real_probability': called_real(on_real),
      'fake_probability': called_real(on_fake),
      'win_rate': jnp.mean(real_logits > fake_logits),
    }
    return metrics['loss'], metrics

  def g_loss_fn(outputs):
    on_real, on_fake = (output.features for output in outputs)
    matching = losses.feature_matching_loss(
      on_real,
      on_fake,
      squared=loss.feature_matching == 'squared',
      axis_name=axis_name,
    )
    return matching, {'loss': matching}

  def train_step(state, batch, key):
    rows = batch['train']
    key = jax.random.fold_in(key, state.step)
    num_rows = rows['image'].shape[0]
    z = prior.sample(key_for(key, 'z'), num_rows, axis_name)

    g, d, real = state.generator, state.discriminator, rows['image']

    # One forward pass of each network serves both players: the gradients are
    # taken of its outputs, and pulled back to the parameters of either.
    fake, to_g, g_model_state = jax.vjp(
      lambda params: samples(params, g.model_state, z),
      vary(g.params, axis_name),
      has_aux=True,
    )

    def judged(params, fake):
      return judge(params, d.model_state, real, fake, key)

    outputs, to_d, d_model_state = jax.vjp(
      judged, vary(d.params, axis_name), fake, has_aux=True
    )
    at_outputs, d_metrics = jax.grad(d_loss_fn, has_aux=True)(outputs, rows)
    d_gradients, _ = to_d(at_outputs)
    new_d, d_metrics = apply_gradients(
      d,
      d_optimizer,
      d_gradients,
      Aux(d_metrics, d_model_state),
      state.step,
      axis_name=axis_name,
    )
    if loss.play == 'alternating':  # G meets the new D
      outputs, to_d, _ = jax.vjp(
        judged, vary(new_d.params, axis_name), fake, has_aux=True
      )
    at_outputs, g_metrics = jax.grad(g_loss_fn, has_aux=True)(outputs)
    _, at_fake = to_d(at_outputs)
    (g_gradients,) = to_g(at_fake)
    new_g, g_metrics = apply_gradients(
      g,
      g_optimizer,
      g_gradients,
      Aux(g_metrics, g_model_state),
      state.step,
      axis_name=axis_name,
    )
    state = state.replace(
      step=state.step + 1, generator=new_g, discriminator=new_d
    )
    return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)

  def generate(weights, z):
    fake, _ = apply(generator, weights, z, train=False)
    return {'samples': fake}

  def predict(weights, image):
    output, _ = apply(discriminator, weights, image, train=False)
    return output.class_logits[:, : data_spec.num_classes]

  return System(
    batch_spec={'train': Stream('all', config.data.batch_size)},
    init=init,
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
