"""How one player is updated and averaged: the verbs all systems share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.core.collectives import vary
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.core.types import Array, Metrics, Params, PRNGKey
from gan_jax.ema import debiased_share
from gan_jax.systems.state import Player, TrainState, Weights
from gan_jax.systems.system import Network


class Aux(NamedTuple):
  """What a player's loss returns beside its value."""

  metrics: Metrics
  model_state: Params


class Optimizer(NamedTuple):
  """How a player learns: constant over a run."""

  tx: optax.GradientTransformation  # without the learning rate
  learning_rate: Callable[[Array], Array]  # of the training step
  ema_decay: float  # 0 for no average


def make_optimizer(config: Any, steps_per_epoch: int) -> Optimizer:
  """The optimiser that a config group `optimizer.{generator, ...}` describes.

  The learning rate is a function of the training step, not of the optimiser's
  own count, which runs faster in a player that is updated several times.
  """
  if config.name == 'adam':
    tx = optax.scale_by_adam(
      b1=config.b1, b2=config.b2, eps=config.eps, eps_root=config.eps_root
    )
  else:
    tx = optax.identity()  # sgd
  learning_rate = _schedule(config, steps_per_epoch)
  return Optimizer(tx, learning_rate, config.ema_decay)


def _schedule(config: Any, steps_per_epoch: int) -> Callable[[Array], Array]:
  rate, schedule = config.learning_rate, config.schedule
  if schedule.name == 'exponential':
    return optax.exponential_decay(
      rate,
      schedule.decay_every_steps or steps_per_epoch,
      schedule.decay_rate,
      staircase=True,
    )
  if schedule.name == 'linear':
    return optax.linear_schedule(
      rate,
      0.0,
      transition_steps=schedule.decay_epochs * steps_per_epoch,
      transition_begin=schedule.constant_epochs * steps_per_epoch,
    )
  return optax.constant_schedule(rate)


def make_optimizers(
  config: Any, steps_per_epoch: int
) -> tuple[Optimizer, Optimizer]:
  """Those of G and D, of a config's group `optimizer`."""
  return (
    make_optimizer(config.generator, steps_per_epoch),
    make_optimizer(config.discriminator, steps_per_epoch),
  )


def new_player(
  params: Params, model_state: Params, optimizer: Optimizer
) -> Player:
  """A player at the start."""
  ema = None
  if optimizer.ema_decay:  # A copy: one buffer cannot be donated twice.
    ema = jax.tree.map(jnp.copy, Weights(params, model_state))
  return Player(params, optimizer.tx.init(params), model_state, ema)


def new_state(key: PRNGKey, parts: Any) -> TrainState:
  """The state at step 0 of two players of a network each.

  Args:
    key: of the initial parameters.
    parts: with `generator` and `discriminator`, the networks, and `g_optimizer`
      and `d_optimizer`.
  """
  g = parts.generator.init(key_for(key, 'generator'))
  d = parts.discriminator.init(key_for(key, 'discriminator'))
  return TrainState(
    step=jnp.int32(0),
    generator=new_player(*g, parts.g_optimizer),
    discriminator=new_player(*d, parts.d_optimizer),
    extra={},
  )


def update_player(
  player: Player,
  optimizer: Optimizer,
  loss_fn: Callable[[Params], tuple[Array, Aux]],
  step: Array,
  *,
  axis_name: str | None = None,
) -> tuple[Player, Metrics]:
  """One optimiser step of one player on its loss; see `apply_gradients`.

  Args:
    player: the player to update.
    optimizer: how it learns.
    loss_fn: of the player's parameters; returns (scalar loss, Aux).
    step: the training step, from which the learning rate follows.
    axis_name: the mapped axis over which the batch is split, if any.

  Returns:
    The player after the step, and the loss's metrics with `grad_norm` added.
  """
  params = vary(player.params, axis_name)
  gradients, aux = jax.grad(loss_fn, has_aux=True)(params)
  return apply_gradients(
    player, optimizer, gradients, aux, step, axis_name=axis_name
  )


def apply_gradients(
  player: Player,
  optimizer: Optimizer,
  gradients: Params,
  aux: Aux,
  step: Array,
  *,
  axis_name: str | None = None,
) -> tuple[Player, Metrics]:
  """One optimiser step of one player, and its moving average's.

  Args:
    player: the player to update.
    optimizer: how it learns.
    gradients: of its parameters, from this replica's rows.
    aux: what its loss returned beside its value.
    step: the training step, from which the learning rate follows.
    axis_name: the mapped axis over which the batch is split, if any: gradients,
      metrics and model state are averaged over it.

  Returns:
    The player after the step, and the loss's metrics with `grad_norm` added.
  """
  if axis_name is not None:
    gradients, aux = jax.lax.pmean((gradients, aux), axis_name)
  updates, opt_state = optimizer.tx.update(
    gradients, player.opt_state, player.params
  )
  rate = optimizer.learning_rate(step)
  params = jax.tree.map(lambda p, u: p - rate * u, player.params, updates)
  weights = Weights(params, aux.model_state)
  ema = player.ema
  if ema is not None:
    # Debiased, as Adam's averages are: the first step's weights count in full.
    share = debiased_share(step, optimizer.ema_decay)
    ema = optax.incremental_update(weights, ema, share)
  metrics = aux.metrics | {'grad_norm': optax.tree.norm(gradients)}
  return Player(params, opt_state, aux.model_state, ema), metrics


def in_pieces(
  fn: Callable[[Any], tuple[Any, Any]], rows: Any, num: int
) -> tuple[Any, Any]:
  """`fn` of some rows at a time: gradient accumulation.

  It needs the memory of a piece, and gives what `fn` gives of all rows if that
  is a mean over rows.

  Args:
    fn: of rows, to (means over the rows, outputs for each row).
    rows: pytree of arrays [B, ...].
    num: of pieces, a divisor of B; with 1, this is `fn(rows)`.

  Returns:
    The means over all rows, and the outputs [B, ...].
  """
  if num == 1:
    return fn(rows)

  def split(x):
    return x.reshape(num, len(x) // num, *x.shape[1:])

  means, outputs = jax.lax.map(fn, jax.tree.map(split, rows))
  return (
    jax.tree.map(lambda x: x.mean(axis=0), means),
    jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), outputs),
  )


def check_pieces(config: Any, *networks: Network) -> None:
  """Raises InputError if gradients cannot be accumulated over pieces."""
  reason = None
  if any(network.uses_batch_statistics for network in networks):
    reason = 'BatchNorm takes the statistics of the whole batch'
  elif 'adversarial' in config.get('loss', {}) and (
    config.loss.adversarial.name == 'relativistic_average'
  ):
    reason = "the loss compares with the whole batch's averages"
  num = config.train.num_microbatches
  if num > 1 and reason is not None:
    raise InputError(
      f'config.train.num_microbatches = {num}, but {reason}, which pieces of '
      'a batch do not have; set it to 1'
    )


def prefixed(prefix: str, metrics: Metrics) -> Metrics:
  """`{'loss': x}` as `{'d_loss': x}` for the prefix 'd_'."""
  return {prefix + name: jnp.asarray(x) for name, x in metrics.items()}
