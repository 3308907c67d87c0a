"""A classifier trained on the labelled examples alone: the baseline.

The semi-supervised GAN's discriminator without its game: the same network,
trained by cross-entropy on full batches of labelled images.
"""

import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.config import optimizer
from gan_jax.core.rng import key_for
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import DataSpec, Stream
from gan_jax.models.classifier import ConvClassifier
from gan_jax.systems.ssgan import CLASSIFIER
from gan_jax.systems.state import Player, TrainState, Weights
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

OPTIONS = CLASSIFIER | optimizer('discriminator', learning_rate=3e-4)
SMOKE = {'model.discriminator.width': 4}
DATA = LabelledData
CLASSIFIES = True  # whether it has `predict`


def make_system(
  config, data_spec: DataSpec, axis_name: str | None = None
) -> System:
  """The system that `config` describes; see `OPTIONS` for its keys."""
  apply = applier(config)
  refuse_pieces(config, BATCH_NORM)
  optimizer = make_optimizer(
    config.optimizer.discriminator, data_spec.steps_per_epoch
  )
  classifier = ConvClassifier(
    num_logits=data_spec.num_classes,
    axis_name=axis_name,
    **config.model.discriminator,
  )
  image_example = jnp.zeros((1, *data_spec.image_shape))

  def init(key, image):
    del image  # nothing depends on the data
    # The key's purpose is the semi-supervised system's, and so are the weights.
    d = init_network(classifier, key_for(key, 'discriminator'), image_example)
    return TrainState(
      step=jnp.int32(0),
      generator=Player(params={}, opt_state=(), model_state={}, ema=None),
      discriminator=new_player(*d, optimizer),
      extra={},
    )

  def train_step(state, batch, key):
    rows = batch['labelled']
    key = jax.random.fold_in(key, state.step)

    def loss_fn(params):
      output, model_state = apply(
        classifier,
        Weights(params, state.discriminator.model_state),
        rows['image'],
        train=True,
        noise_key=key_for(key, 'dropout_real'),
      )
      loss = losses.supervised_loss(
        output.class_logits,
        rows['label'],
        rows['label_mask'],
        axis_name=axis_name,
      )
      return loss, Aux({'loss': loss}, model_state)

    new_d, metrics = update_player(
      state.discriminator, optimizer, loss_fn, state.step, axis_name=axis_name
    )
    state = state.replace(step=state.step + 1, discriminator=new_d)
    return state, prefixed('d_', metrics)

  def embed(weights, image):
    output, _ = apply(classifier, weights, image, train=False)
    return output.features, output.class_logits

  def predict(weights, image):
    return embed(weights, image)[1]

  return System(
    batch_spec={'labelled': Stream('labelled', config.data.batch_size)},
    init=init,
    train_step=train_step,
    predict=predict,
    embed=embed,
    networks={'discriminator': (classifier, image_example)},
  )
