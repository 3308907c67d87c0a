"""Supervised baseline: a classifier trained on the labelled images alone.

It is the semi-supervised GAN's discriminator, trained without a generator by
cross-entropy on full batches of labelled images.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import losses
from gan_jax.config import Units
from gan_jax.config import optimizer as optimizer_options
from gan_jax.core.rng import global_rows, key_for
from gan_jax.core.types import Array, Batch, Metrics, Params, PRNGKey
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import DataSpec, Stream
from gan_jax.models.classifier import ConvClassifier
from gan_jax.systems.ssgan import CLASSIFIER
from gan_jax.systems.state import Player, TrainState, Weights
from gan_jax.systems.system import Classifier, Network, System
from gan_jax.systems.update import (
  Aux,
  Optimizer,
  check_pieces,
  make_optimizer,
  new_player,
  prefixed,
  update_player,
)

OPTIONS = CLASSIFIER | optimizer_options('discriminator', learning_rate=3e-4)
SMOKE = {'model.discriminator.width': 4}
DATA = LabelledData


class Parts(NamedTuple):
  """Networks, optimisers and options of the step; constant over a run."""

  classifier: Network
  optimizer: Optimizer
  axis_name: str | None


def make_parts(
  config: ConfigDict, spec: DataSpec, axis_name: str | None = None
) -> Parts:
  """Builds the parts that `config` describes; see `OPTIONS` for its keys."""
  module = ConvClassifier(
    spec.num_classes, axis_name=axis_name, **config.model.discriminator
  )
  example = (jnp.zeros((1, *spec.image_shape)),)
  classifier = Network(
    module, example, uses_batch_statistics=True, dtype=config.dtype
  )
  check_pieces(config, classifier)
  learning = config.optimizer.discriminator
  units = Units(spec.steps_per_epoch, config.data.batch_size)
  optimizer = make_optimizer(learning, units)
  return Parts(classifier, optimizer, axis_name)


def init(parts: Parts, key: PRNGKey, image: None) -> TrainState:
  """Initialises the state: a discriminator without a generator."""
  del image  # nothing depends on the data
  # The same key purpose as in `ssgan`, hence the same initial weights.
  d = parts.classifier.init(key_for(key, 'discriminator'))
  return TrainState(
    step=jnp.int32(0),
    generator=Player(params={}, opt_state=(), model_state={}, ema=None),
    discriminator=new_player(*d, parts.optimizer),
    extra={},
  )


def loss(
  parts: Parts,
  params: Params,
  model_state: Params,
  rows: Mapping[str, Array],
  key: PRNGKey,
) -> tuple[Array, Aux]:
  """Computes the cross-entropy of 'label' [B], given 'image' [B, H, W, C]."""
  output, model_state = parts.classifier.apply(
    Weights(params, model_state),
    rows['image'],
    train=True,
    noise_key=key_for(key, 'dropout_real'),
    rows=global_rows(len(rows['image']), parts.axis_name),
  )
  value = losses.supervised_loss(
    output.class_logits,
    rows['label'],
    rows['label_mask'],
    axis_name=parts.axis_name,
  )
  return value, Aux({'loss': value}, model_state)


def train_step(
  parts: Parts, state: TrainState, batch: Batch, key: PRNGKey
) -> tuple[TrainState, Metrics]:
  """Updates the classifier on labelled images."""
  key = jax.random.fold_in(key, state.step)
  d, rows = state.discriminator, batch['labelled']
  new_d, metrics = update_player(
    d,
    parts.optimizer,
    lambda params: loss(parts, params, d.model_state, rows, key),
    state.step,
    axis_name=parts.axis_name,
  )
  state = state.replace(step=state.step + 1, discriminator=new_d)
  return state, prefixed('d_', metrics)


def make_system(
  config: ConfigDict, spec: DataSpec, axis_name: str | None = None
) -> System:
  """Builds the system that `config` describes; see `OPTIONS` for its keys."""
  parts = make_parts(config, spec, axis_name)

  def embed(weights, image):
    output, _ = parts.classifier.apply(weights, image, train=False)
    return output.features, output.class_logits

  def predict(weights, image):
    return embed(weights, image)[1]

  return System(
    batch_spec={'labelled': Stream('labelled', config.data.batch_size)},
    init=functools.partial(init, parts),
    train_step=functools.partial(train_step, parts),
    networks={'discriminator': parts.classifier},
    classifier=Classifier(predict, embed),
  )
