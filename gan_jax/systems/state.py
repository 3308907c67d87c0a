"""The state of a training run: everything that changes, and nothing else."""

from typing import Any, NamedTuple

import optax
from flax import struct

from gan_jax.core.types import Array, Params


class Weights(NamedTuple):
  """Parameters and model state of a network."""

  params: Params
  model_state: Params


@struct.dataclass
class Player:
  """One side of the game: its networks and their optimiser's memory."""

  params: Params  # any pytree
  opt_state: optax.OptState
  model_state: Params  # not trained: batch_stats; {} if none
  ema: Weights | None  # averaged weights, or None: no second copy when off

  @property
  def weights(self) -> Weights:
    """The weights in play."""
    return Weights(self.params, self.model_state)

  @property
  def averaged(self) -> Weights:
    """The weights to sample and classify with: the average where it is on."""
    return self.weights if self.ema is None else self.ema

  @property
  def which(self) -> str:
    """Name of the weights that `averaged` gives: 'averaged' or 'raw'."""
    return 'raw' if self.ema is None else 'averaged'


@struct.dataclass
class TrainState:
  """Both players and whatever else must be saved to resume."""

  step: Array  # int32, the number of steps done
  generator: Player
  discriminator: Player
  extra: Any  # what else a system must remember; {} if nothing
