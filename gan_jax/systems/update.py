"""Optimiser steps, moving averages and gradient accumulation of a player."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from gan_jax import ema
from gan_jax.config import Schedule, Units, changes, make_schedule
from gan_jax.core import trees
from gan_jax.core.collectives import vary
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.core.types import Array, Metrics, Params, PRNGKey
from gan_jax.data.spec import DataSpec, DomainSpec
from gan_jax.systems.state import Player, TrainState, Weights
from gan_jax.systems.system import Network


class Aux(NamedTuple):
  """Auxiliary outputs of a player's loss."""

  metrics: Metrics
  model_state: Params


class Optimizer(NamedTuple):
  """Update rule, learning rate, moving average and freezing of a player."""

  # (training step) -> the update rule, without the learning rate
  rule: Callable[[Array | int], optax.GradientTransformation]
  learning_rate: Schedule
  # (training step) -> the weight of the new weights in the moving average, that
  # is 1 - decay; None: no average
  share: Callable[[Array], Array] | None
  # (parameters) -> a pytree of whether each is trained; None: all are
  learns: Callable[[Params], Any] | None = None


def make_optimizer(config: Any, units: Units) -> Optimizer:
  """Builds the optimiser of a config group `optimizer.{generator, ...}`.

  All schedules are functions of the training step, not of the optimiser's own
  count, which advances faster for a player with several updates per step.
  """
  return Optimizer(
    _rule(config, units),
    make_schedule(config.schedule, config.learning_rate, units),
    _share(config.ema, units),
    None if config.freeze is None else _unmatched(re.compile(config.freeze)),
  )


def _rule(
  config: Any, units: Units
) -> Callable[[Array | int], optax.GradientTransformation]:
  if config.name == 'sgd':
    return lambda step: optax.identity()
  b2 = make_schedule(config.b2_schedule, config.b2, units)
  return lambda step: optax.scale_by_adam(
    b1=config.b1, b2=b2(step), eps=config.eps, eps_root=config.eps_root
  )


def _share(config: Any, units: Units) -> Callable[[Array], Array] | None:
  if config.name == 'none':
    return None
  if config.name == 'half_life':
    half_life = make_schedule(config.schedule, config.half_life, units)
    if not config.half_life and not changes(config.schedule):
      raise InputError(
        'config.optimizer has a moving average whose half-life is always 0; '
        'set ema.half_life or its schedule, or set ema.name to none'
      )
    return lambda step: ema.half_life_share(
      step,
      batch_size=units.batch_size,
      # A schedule may start at 0, where the average equals the new weights.
      half_life=jnp.maximum(half_life(step), 1e-3),
      ramp_up=config.ramp_up,
    )
  if config.name == 'power':
    return lambda step: ema.power_share(step, config.gamma)
  share = {'debiased': ema.debiased_share, 'warmup': ema.warmup_share}
  return lambda step: share[config.name](step, config.decay)


def _unmatched(frozen: re.Pattern) -> Callable[[Params], Any]:
  """Returns a function that marks the parameters outside the pattern."""
  return lambda params: jax.tree_util.tree_map_with_path(
    lambda path, _: frozen.search(trees.name(path)) is None, params
  )


def make_optimizers(
  config: ConfigDict, spec: DataSpec | DomainSpec
) -> tuple[Optimizer, Optimizer]:
  """Builds the optimisers of G and D from a config's group `optimizer`."""
  units = Units(spec.steps_per_epoch, config.data.batch_size)
  return (
    make_optimizer(config.optimizer.generator, units),
    make_optimizer(config.optimizer.discriminator, units),
  )


def new_player(
  params: Params, model_state: Params, optimizer: Optimizer
) -> Player:
  """Initialises a player from its weights.

  Raises:
    InputError: the optimiser's freeze pattern matches no parameter.
  """
  tx = optimizer.rule(0)
  if optimizer.learns is not None:
    learns = optimizer.learns(params)
    if all(jax.tree.leaves(learns)):
      raise InputError(
        'config.optimizer has a freeze that no parameter matches; they are: '
        f'{", ".join(trees.by_path(params))}'
      )
    tx = optax.masked(tx, learns)
  return Player(
    params,
    tx.init(params),
    model_state,
    new_average(params, model_state, optimizer),
  )


def new_average(
  params: Params, model_state: Params, optimizer: Optimizer
) -> Weights | None:
  """Initialises the moving average with the weights; None if it is off."""
  if optimizer.share is None:
    return None
  # A copy, since a buffer cannot be donated twice.
  return jax.tree.map(jnp.copy, Weights(params, model_state))


def new_state(key: PRNGKey, parts: Any) -> TrainState:
  """Initialises the state of two players with one network each.

  Args:
    key: random key for the initial parameters.
    parts: has the networks `generator` and `discriminator`, and their
      optimisers `g_optimizer` and `d_optimizer`.
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
  """Updates a player by one optimiser step; see `apply_gradients`.

  Args:
    player: the player to update.
    optimizer: its optimiser.
    loss_fn: maps the player's parameters to (scalar loss, Aux).
    step: the training step, which the learning rate depends on.
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
  """Applies gradients to a player, and updates its moving average.

  Args:
    player: the player to update.
    optimizer: its optimiser.
    gradients: gradients of its parameters, from this replica's rows.
    aux: the loss's auxiliary outputs.
    step: the training step, which the learning rate depends on.
    axis_name: the mapped axis over which the batch is split, if any: gradients,
      metrics and model state are averaged over it.

  Returns:
    The player after the step, and the loss's metrics with `grad_norm` added.
  """
  tx = optimizer.rule(step)
  if optimizer.learns is not None:
    learns = optimizer.learns(player.params)
    tx = optax.masked(tx, learns)
    # Then frozen parameters' gradients are unused, and XLA eliminates them.
    gradients = jax.tree.map(
      lambda g, learns: g if learns else jnp.zeros_like(g), gradients, learns
    )
  if axis_name is not None:
    gradients, aux = jax.lax.pmean((gradients, aux), axis_name)
  updates, opt_state = tx.update(gradients, player.opt_state, player.params)
  rate = optimizer.learning_rate(step)
  params = jax.tree.map(lambda p, u: p - rate * u, player.params, updates)
  weights = Weights(params, aux.model_state)
  average = player.ema
  if average is not None:
    average = optax.incremental_update(weights, average, optimizer.share(step))
  metrics = aux.metrics | {'grad_norm': optax.tree.norm(gradients)}
  return Player(params, opt_state, aux.model_state, average), metrics


def in_pieces(
  fn: Callable[[Any], tuple[Any, Any]], rows: Any, num: int
) -> tuple[Any, Any]:
  """Gradient accumulation: runs `fn` on `num` equal chunks and averages.

  Peak memory is that of one chunk. The result equals `fn(rows)` if `fn` is a
  mean over rows.

  Args:
    fn: maps rows to (means over the rows, outputs per row).
    rows: pytree of arrays [B, ...].
    num: number of chunks, a divisor of B; with 1, this is `fn(rows)`.

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


def update_in_pieces(
  player: Player,
  optimizer: Optimizer,
  gradients_of: Callable[[Any], tuple[tuple[Params, Aux], Any]],
  rows: Any,
  step: Array,
  parts: Any,
) -> tuple[Player, Metrics, Any]:
  """Updates a player by one optimiser step, with gradient accumulation.

  Args:
    player: the player to update.
    optimizer: its optimiser.
    gradients_of: maps rows to ((gradients, the loss's auxiliary outputs),
      outputs per row).
    rows: pytree of arrays [B, ...].
    step: the training step, which the learning rate depends on.
    parts: has `num_pieces`, the number of chunks, and `axis_name`; see
      `apply_gradients`.

  Returns:
    The results of `apply_gradients`, and the outputs [B, ...].
  """
  (gradients, aux), outputs = in_pieces(gradients_of, rows, parts.num_pieces)
  player, metrics = apply_gradients(
    player, optimizer, gradients, aux, step, axis_name=parts.axis_name
  )
  return player, metrics, outputs


def check_pieces(config: Any, *networks: Network) -> None:
  """Raises InputError if gradient accumulation would change the loss."""
  reason = None
  if any(network.uses_batch_statistics for network in networks):
    reason = 'BatchNorm needs the statistics of the whole batch'
  elif 'adversarial' in config.get('loss', {}) and (
    config.loss.adversarial.name == 'relativistic_average'
  ):
    reason = "the loss needs the whole batch's averages"
  num = config.train.num_microbatches
  if num > 1 and reason is not None:
    raise InputError(
      f'config.train.num_microbatches = {num}, but {reason}, which a '
      'microbatch lacks; set it to 1'
    )


def prefixed(prefix: str, metrics: Metrics) -> Metrics:
  """Adds a prefix to names of metrics: `{'loss': x}` to `{'d_loss': x}`."""
  return {prefix + name: jnp.asarray(x) for name, x in metrics.items()}
