"""Training state: everything that changes, and nothing else."""

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
  """One player of the game: its networks and optimiser state."""

  params: Params  # any pytree
  opt_state: optax.OptState
  model_state: Params  # not trained, e.g. batch_stats; {} if none
  ema: Weights | None  # averaged weights; None if averaging is off

  @property
  def weights(self) -> Weights:
    """The current weights, as opposed to averaged ones."""
    return Weights(self.params, self.model_state)

  @property
  def averaged(self) -> Weights:
    """The weights for sampling and classifying: averaged if averaging is on."""
    return self.weights if self.ema is None else self.ema

  @property
  def which(self) -> str:
    """Name of the weights that `averaged` returns: 'averaged' or 'raw'."""
    return 'raw' if self.ema is None else 'averaged'


@struct.dataclass
class TrainState:
  """Both players and everything else that must be saved to resume."""

  step: Array  # int32, the number of completed steps
  generator: Player
  discriminator: Player
  extra: Any  # further state of a system, e.g. image pools; {} if none
