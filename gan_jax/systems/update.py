"""Updates of one player and of its average: the verbs all systems share."""

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
  """Update rule, learning rate, average and freezing of a player."""

  # Of the training step: the update rule, without the learning rate.
  rule: Callable[[Array | int], optax.GradientTransformation]
  learning_rate: Schedule
  # Of the training step: the share of the new weights in their moving average;
  # None for no average.
  share: Callable[[Array], Array] | None
  # Of the parameters: for each whether it learns; None if all do.
  learns: Callable[[Params], Any] | None = None


def make_optimizer(config: Any, units: Units) -> Optimizer:
  """The optimiser that a config group `optimizer.{generator, ...}` describes.

  Everything that changes is a function of the training step, not of the
  optimiser's own count, which runs faster in a player that is updated several
  times.
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
        'config.optimizer has an average whose half-life is 0 and stays so; '
        'set ema.half_life, its schedule, or ema.name to none'
      )
    return lambda step: ema.half_life_share(
      step,
      batch_size=units.batch_size,
      # It may grow from nothing, where the share is 1.
      half_life=jnp.maximum(half_life(step), 1e-3),
      ramp_up=config.ramp_up,
    )
  if config.name == 'power':
    return lambda step: ema.power_share(step, config.gamma)
  share = {'debiased': ema.debiased_share, 'warmup': ema.warmup_share}
  return lambda step: share[config.name](step, config.decay)


def _unmatched(frozen: re.Pattern) -> Callable[[Params], Any]:
  """Maps parameters to whether their paths do not match the pattern."""
  return lambda params: jax.tree_util.tree_map_with_path(
    lambda path, _: frozen.search(trees.name(path)) is None, params
  )


def make_optimizers(
  config: ConfigDict, spec: DataSpec | DomainSpec
) -> tuple[Optimizer, Optimizer]:
  """Makes the optimisers of G and D from a config's group `optimizer`."""
  units = Units(spec.steps_per_epoch, config.data.batch_size)
  return (
    make_optimizer(config.optimizer.generator, units),
    make_optimizer(config.optimizer.discriminator, units),
  )


def new_player(
  params: Params, model_state: Params, optimizer: Optimizer
) -> Player:
  """A player at the start.

  Raises:
    InputError: nothing is frozen where a pattern says that something is.
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
  """The moving average at the start: the weights; None if it is off."""
  if optimizer.share is None:
    return None
  # A copy: one buffer cannot be donated twice.
  return jax.tree.map(jnp.copy, Weights(params, model_state))


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
  tx = optimizer.rule(step)
  if optimizer.learns is not None:
    learns = optimizer.learns(player.params)
    tx = optax.masked(tx, learns)
    # Nobody reads a frozen parameter's gradient, so that XLA does not make it.
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


def update_in_pieces(
  player: Player,
  optimizer: Optimizer,
  gradients_of: Callable[[Any], tuple[tuple[Params, Aux], Any]],
  rows: Any,
  step: Array,
  parts: Any,
) -> tuple[Player, Metrics, Any]:
  """One optimiser step of one player, whose gradients may be accumulated.

  Args:
    player: the player to update.
    optimizer: how it learns.
    gradients_of: of rows, to ((gradients, what the loss returned beside its
      value), outputs for each row).
    rows: pytree of arrays [B, ...].
    step: the training step, from which the learning rate follows.
    parts: with `num_pieces`, into which the rows are split, and `axis_name`,
      see `apply_gradients`.

  Returns:
    As `apply_gradients`, and the outputs [B, ...].
  """
  (gradients, aux), outputs = in_pieces(gradients_of, rows, parts.num_pieces)
  player, metrics = apply_gradients(
    player, optimizer, gradients, aux, step, axis_name=parts.axis_name
  )
  return player, metrics, outputs


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
