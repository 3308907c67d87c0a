"""Semi-supervised GAN, following the original paper's protocol.

Salimans et al. 2016, "Improved Techniques for Training GANs",
https://arxiv.org/abs/1606.03498: section 5 (the classifier's loss), 3.1
(feature matching), 4 and 6.1 (networks and protocol for MNIST), and the
authors' code where the paper is silent.

A step reads three independently shuffled streams: labelled images, repeated;
unlabelled ones for D; unlabelled ones for G. It updates D first, then G against
the new D. Images are in [0, 1] here.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import losses
from gan_jax.config import integer, integers, key, optimizer, real
from gan_jax.core.rng import global_rows, key_for
from gan_jax.core.types import Array, Batch, Metrics, Params, PRNGKey
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import DataSpec, Stream
from gan_jax.models.classifier import ClassifierOutput
from gan_jax.models.mlp import NoisyClassifier, SoftplusGenerator
from gan_jax.systems.parts.prior import Prior, uniform_prior
from gan_jax.systems.state import Player, TrainState, Weights
from gan_jax.systems.system import Classifier, Network, Panel, System
from gan_jax.systems.update import (
  Aux,
  Optimizer,
  check_pieces,
  make_optimizers,
  new_player,
  prefixed,
  update_player,
)

OPTIONS = {
  'model.z_dim': key(100, integer(1), 'dimension of the latent space'),
  'model.generator.hidden': key(
    (500, 500), integers(1), 'units of the hidden layers'
  ),
  'model.discriminator.hidden': key(
    (1000, 500, 250, 250, 250), integers(1), 'units of the hidden layers'
  ),
  'model.discriminator.input_noise': key(
    0.3, real(0.0), 'standard deviation of the noise added to images in [0, 1]'
  ),
  'model.discriminator.hidden_noise': key(
    0.5, real(0.0), 'standard deviation of the noise added to hidden layers'
  ),
  'model.init_rows': key(
    100, integer(2), 'images for the data-dependent initialisation'
  ),
  'loss.unlabelled_weight': key(
    1.0, real(0.0), 'weight of the loss on unlabelled and generated images'
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


class Parts(NamedTuple):
  """Networks, optimisers and options of the step; constant over a run."""

  generator: Network
  discriminator: Network
  g_optimizer: Optimizer
  d_optimizer: Optimizer
  prior: Prior
  unlabelled_weight: float
  axis_name: str | None


def make_parts(
  config: ConfigDict, spec: DataSpec, axis_name: str | None = None
) -> Parts:
  """Builds the parts that `config` describes; see `OPTIONS` for its keys."""
  model = config.model
  generator = Network(
    SoftplusGenerator(spec.image_shape, axis_name=axis_name, **model.generator),
    (jnp.zeros((1, model.z_dim)),),
    uses_batch_statistics=True,
    dtype=config.dtype,
  )
  discriminator = Network(
    NoisyClassifier(spec.num_classes, **model.discriminator),
    (jnp.zeros((1, *spec.image_shape)),),
    dtype=config.dtype,
  )
  check_pieces(config, generator, discriminator)
  return Parts(
    generator,
    discriminator,
    *make_optimizers(config, spec),
    uniform_prior(model.z_dim, 0.0, 1.0),
    config.loss.unlabelled_weight,
    axis_name,
  )


def init(parts: Parts, key: PRNGKey, image: Array) -> TrainState:
  """Initialises the state; normalises D's weights on images [B, H, W, C]."""
  g = parts.generator.init(key_for(key, 'generator'))
  d = parts.discriminator.init(
    key_for(key, 'discriminator'),
    to_zero_one(image),
    noise_key=key_for(key, 'noise_init'),
  )
  return TrainState(
    step=jnp.int32(0),
    generator=new_player(*g, parts.g_optimizer),
    discriminator=new_player(*d, parts.d_optimizer),
    extra={},
  )


def judge(
  parts: Parts,
  params: Params,
  model_state: Params,
  image: Array,
  noise_key: PRNGKey,
) -> ClassifierOutput:
  """Applies D to images in [0, 1]."""
  output, _ = parts.discriminator.apply(
    Weights(params, model_state),
    image,
    train=True,
    noise_key=noise_key,
    rows=global_rows(len(image), parts.axis_name),
  )
  return output


def d_loss(
  parts: Parts,
  params: Params,
  model_state: Params,
  batch: Batch,
  fake: Array,
  key: PRNGKey,
) -> tuple[Array, Aux]:
  """Computes D's loss on labelled, unlabelled and fake images (section 5)."""
  labelled = batch['labelled']

  def class_logits(image, purpose):
    noise_key = key_for(key, purpose)
    return judge(parts, params, model_state, image, noise_key).class_logits

  on_labelled = class_logits(to_zero_one(labelled['image']), 'noise1')
  on_real = class_logits(to_zero_one(batch['unlabelled']['image']), 'noise2')
  on_fake = class_logits(fake, 'noise3')
  supervised = losses.supervised_loss(
    on_labelled,
    labelled['label'],
    labelled['label_mask'],
    axis_name=parts.axis_name,
  )
  unlabelled = losses.unlabelled_loss(
    on_real, on_fake, axis_name=parts.axis_name
  )
  metrics = {
    'loss': supervised + parts.unlabelled_weight * unlabelled,
    'loss_supervised': supervised,
    'loss_real_fake': unlabelled,
    'real_probability': losses.real_probability(on_real).mean(),
    'fake_probability': losses.real_probability(on_fake).mean(),
    'win_rate': jnp.mean(
      losses.gan_logits(on_real) > losses.gan_logits(on_fake)
    ),
  }
  return metrics['loss'], Aux(metrics, model_state)


def g_loss(
  parts: Parts,
  params: Params,
  g: Player,
  d: Player,
  rows: Mapping[str, Array],
  key: PRNGKey,
) -> tuple[Array, Aux]:
  """Computes G's loss: feature matching (section 3.1).

  Args:
    parts: the system's parts.
    params: G's parameters.
    g: G, for its model state.
    d: D, whose features are matched.
    rows: 'image' [B, H, W, C] and 'z' [B, z_dim].
    key: random key for the noise in D.
  """
  fake, model_state = parts.generator.apply(
    Weights(params, g.model_state), rows['z'], train=True
  )
  on_real, on_fake = (
    judge(parts, d.params, d.model_state, image, key_for(key, purpose)).features
    for image, purpose in (
      (to_zero_one(rows['image']), 'noise4'),
      (fake, 'noise5'),
    )
  )
  loss = losses.feature_matching_loss(
    on_real, on_fake, squared=True, axis_name=parts.axis_name
  )
  return loss, Aux({'loss': loss}, model_state)


def train_step(
  parts: Parts, state: TrainState, batch: Batch, key: PRNGKey
) -> tuple[TrainState, Metrics]:
  """Updates D, then G against the new D."""
  key = jax.random.fold_in(key, state.step)
  g, d, axis_name = state.generator, state.discriminator, parts.axis_name
  num_rows = len(batch['labelled']['image'])

  def draw_z(purpose):
    return parts.prior.sample(key_for(key, purpose), num_rows, axis_name)

  fake, _ = parts.generator.apply(g.weights, draw_z('z_for_d'), train=True)
  new_d, d_metrics = update_player(
    d,
    parts.d_optimizer,
    lambda params: d_loss(parts, params, d.model_state, batch, fake, key),
    state.step,
    axis_name=axis_name,
  )
  rows = {'image': batch['unlabelled_for_g']['image'], 'z': draw_z('z_for_g')}
  # The old D's model state: the step does not change it.
  judging = new_d.replace(model_state=d.model_state)
  new_g, g_metrics = update_player(
    g,
    parts.g_optimizer,
    lambda params: g_loss(parts, params, g, judging, rows, key),
    state.step,
    axis_name=axis_name,
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
  rows = config.data.batch_size

  def generate(weights, latents):
    fake, _ = parts.generator.apply(weights, latents.z, train=False)
    return {'samples': 2.0 * fake - 1.0}

  def predict(weights, image):
    image = to_zero_one(image)
    output, _ = parts.discriminator.apply(weights, image, train=False)
    return output.class_logits

  return System(
    batch_spec={
      'labelled': Stream('labelled', rows),
      'unlabelled': Stream('all', rows),
      'unlabelled_for_g': Stream('all', rows),
    },
    init=functools.partial(init, parts),
    init_rows=config.model.init_rows,
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


def to_zero_one(image: Array) -> Array:
  """Maps images in [-1, 1] to [0, 1]."""
  return 0.5 * (image + 1.0)
