"""Semi-supervised GAN, whose discriminator is a classifier.

Salimans et al. 2016, "Improved Techniques for Training GANs",
https://arxiv.org/abs/1606.03498: section 5 (the classifier's loss), 3.1
(feature matching for the generator), 3.4 (one-sided label smoothing).
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

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
from gan_jax.core.rng import global_rows, key_for
from gan_jax.core.types import Array, Batch, Metrics, Params, PRNGKey
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import DataSpec, Stream
from gan_jax.models.classifier import ClassifierOutput, ConvClassifier
from gan_jax.models.dcgan import DeconvGenerator
from gan_jax.systems.parts import view
from gan_jax.systems.parts.prior import Prior, normal_prior
from gan_jax.systems.parts.view import View
from gan_jax.systems.state import TrainState, Weights
from gan_jax.systems.system import Classifier, Network, Panel, System
from gan_jax.systems.update import (
  Aux,
  Optimizer,
  apply_gradients,
  check_pieces,
  make_optimizers,
  new_state,
  prefixed,
)

CLASSIFIER = {
  'model.discriminator.width': key(
    64, integer(1), 'channels of the first layers'
  ),
  'model.discriminator.strides': key(
    (1, 2, 1), integers(1, 2, length=3), 'strides of the first three layers'
  ),
  'model.discriminator.dropout_rate': key(
    0.5,
    real(0.0, 1.0, exclusive=True),
    'dropout rate in training; 2.5 times lower on the input',
  ),
}
OPTIONS = {
  'model.z_dim': key(100, integer(1), 'dimension of the latent space'),
  'model.extra_class': key(
    True, boolean, "whether the class 'fake' has its own logit, or a fixed 0"
  ),
  'model.generator.size_mult': key(
    32, integer(1), 'channels of the last hidden layer'
  ),
  'model.generator.base_size': key(
    2, integer(1), 'side of the first layer, in pixels'
  ),
  **CLASSIFIER,
  'loss.label_smoothing': key(
    0.1,
    real(0.0, 0.5, exclusive=True),
    'one-sided label smoothing: the label of real images is 1 minus this',
  ),
  'loss.feature_matching': key(
    'absolute', one_of('absolute', 'squared'), 'distance of the mean features'
  ),
  'loss.play': key(
    'simultaneous',
    one_of('simultaneous', 'alternating'),
    'whether G is updated against the old D or the new one',
  ),
  **view.OPTIONS,
  **optimizer('generator', learning_rate=3e-4),
  **optimizer('discriminator', learning_rate=3e-4),
}
SMOKE = {'model.generator.size_mult': 2, 'model.discriminator.width': 4}
DATA = LabelledData


class Parts(NamedTuple):
  """Networks, optimisers and options of the step; constant over a run."""

  generator: Network
  discriminator: Network
  g_optimizer: Optimizer
  d_optimizer: Optimizer
  prior: Prior
  loss: ConfigDict  # config.loss
  extra_class: bool
  view: View
  axis_name: str | None


def make_parts(
  config: ConfigDict, spec: DataSpec, axis_name: str | None = None
) -> Parts:
  """Builds the parts that `config` describes; see `OPTIONS` for its keys."""
  model = config.model
  generator = Network(
    DeconvGenerator(spec.image_shape, axis_name=axis_name, **model.generator),
    (jnp.zeros((1, model.z_dim)),),
    uses_batch_statistics=True,
    dtype=config.dtype,
  )
  num_logits = spec.num_classes + int(model.extra_class)
  discriminator = Network(
    ConvClassifier(num_logits, axis_name=axis_name, **model.discriminator),
    (jnp.zeros((1, *spec.image_shape)),),
    uses_batch_statistics=True,
    dtype=config.dtype,
  )
  check_pieces(config, generator, discriminator)
  return Parts(
    generator,
    discriminator,
    *make_optimizers(config, spec),
    normal_prior(model.z_dim),
    config.loss,
    model.extra_class,
    view.make_view(config, spec, axis_name),
    axis_name,
  )


def judge(
  parts: Parts,
  params: Params,
  model_state: Params,
  images: tuple[Array, Array],
  rows: Array,
  key: PRNGKey,
) -> tuple[tuple[ClassifierOutput, ClassifierOutput], Params]:
  """Applies D to data and samples; its new model state comes from the data.

  Args:
    parts: the system's parts.
    params: D's parameters.
    model_state: D's model state.
    images: real and fake images [B, H, W, C], already augmented.
    rows: their indices [B] in the global batch, for the dropout.
    key: random key for the dropout.
  """
  weights, (real, fake) = Weights(params, model_state), images

  def on(image, purpose):
    noise_key = key_for(key, purpose)
    return parts.discriminator.apply(
      weights, image, train=True, noise_key=noise_key, rows=rows
    )

  on_real, model_state = on(real, 'dropout_real')
  on_fake, _ = on(fake, 'dropout_fake')
  return (on_real, on_fake), model_state


def d_loss(
  parts: Parts,
  outputs: tuple[ClassifierOutput, ClassifierOutput],
  rows: Mapping[str, Array],
) -> tuple[Array, Metrics]:
  """Computes D's loss from its outputs on data and samples (section 5).

  Args:
    parts: the system's parts.
    outputs: D's outputs on real and on fake images.
    rows: 'label' and 'label_mask' [B] of the real images.
  """
  on_real, on_fake = (output.class_logits for output in outputs)
  extra_class = parts.extra_class
  supervised, real_fake = losses.semi_supervised_discriminator_loss(
    on_real,
    on_fake,
    rows['label'],
    rows['label_mask'],
    label_smoothing=parts.loss.label_smoothing,
    extra_class=extra_class,
    axis_name=parts.axis_name,
  )

  def called_real(class_logits):
    return losses.real_probability(class_logits, extra_class=extra_class).mean()

  real_logits, fake_logits = (
    losses.gan_logits(class_logits, extra_class=extra_class)
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


def g_loss(
  parts: Parts, outputs: tuple[ClassifierOutput, ClassifierOutput]
) -> tuple[Array, Metrics]:
  """Computes G's loss: feature matching (section 3.1)."""
  on_real, on_fake = (output.features for output in outputs)
  matching = losses.feature_matching_loss(
    on_real,
    on_fake,
    squared=parts.loss.feature_matching == 'squared',
    axis_name=parts.axis_name,
  )
  return matching, {'loss': matching}


def train_step(
  parts: Parts, state: TrainState, batch: Batch, key: PRNGKey
) -> tuple[TrainState, Metrics]:
  """Updates both players on the same images: D, and G by feature matching."""
  rows, axis_name = batch['train'], parts.axis_name
  key = jax.random.fold_in(key, state.step)
  z = parts.prior.sample(key_for(key, 'z'), len(rows['image']), axis_name)
  g, d, real = state.generator, state.discriminator, rows['image']

  def make(params):
    weights = Weights(params, g.model_state)
    return parts.generator.apply(weights, z, train=True)

  places = global_rows(len(real), axis_name)
  see = parts.view.at(key, parts.view.rows(len(real)), state.step)

  def judged(params, fake):
    images = see(real, 'real'), see(fake, 'fake')
    return judge(parts, params, d.model_state, images, places, key)

  # One forward pass of each network serves both players: each loss is
  # differentiated with respect to D's outputs, and a VJP gives the gradients of
  # either player's parameters.
  fake, to_g, g_model_state = jax.vjp(
    make, vary(g.params, axis_name), has_aux=True
  )
  outputs, to_d, d_model_state = jax.vjp(
    judged, vary(d.params, axis_name), fake, has_aux=True
  )
  d_gradient = jax.grad(d_loss, argnums=1, has_aux=True)
  at_outputs, metrics = d_gradient(parts, outputs, rows)
  gradients, _ = to_d(at_outputs)
  aux = Aux(metrics, d_model_state)
  new_d, d_metrics = apply_gradients(
    d, parts.d_optimizer, gradients, aux, state.step, axis_name=axis_name
  )
  if parts.loss.play == 'alternating':  # G plays against the new D
    outputs, to_d, _ = jax.vjp(
      judged, vary(new_d.params, axis_name), fake, has_aux=True
    )
  g_gradient = jax.grad(g_loss, argnums=1, has_aux=True)
  at_outputs, metrics = g_gradient(parts, outputs)
  _, at_fake = to_d(at_outputs)
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
  config: ConfigDict, spec: DataSpec, axis_name: str | None = None
) -> System:
  """Builds the system that `config` describes; see `OPTIONS` for its keys."""
  parts = make_parts(config, spec, axis_name)

  def generate(weights, latents):
    fake, _ = parts.generator.apply(weights, latents.z, train=False)
    return {'samples': fake}

  def predict(weights, image):
    output, _ = parts.discriminator.apply(weights, image, train=False)
    return output.class_logits[:, : spec.num_classes]

  return System(
    batch_spec={'train': Stream('all', config.data.batch_size)},
    init=lambda key, image: new_state(key, parts),
    train_step=functools.partial(train_step, parts),
    networks={
      'generator': parts.generator,
      'discriminator': parts.discriminator,
    },
    sampler=parts.prior.sampler(generate),
    classifier=Classifier(predict),
    panels=(
      Panel('What D calls real', 'mean probability', r'd_.*_probability'),
    ),
    d_may_win=True,  # G matches D's features
  )
