"""What a system is: a bundle of pure functions."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn

from gan_jax.data.spec import Stream
from gan_jax.training.state import TrainState, Weights
from gan_jax.types import Array, Batch, Metrics, PRNGKey


class System(NamedTuple):
  """A GAN as a bundle of pure functions (cf. optax.GradientTransformation)."""

  batch_spec: Mapping[str, Stream]
  init: Callable[[PRNGKey], TrainState]
  train_step: Callable[[TrainState, Batch, PRNGKey], tuple[TrainState, Metrics]]
  # (the generator's weights, key, number of samples): panels of images, by name
  generate: Callable[[Weights, PRNGKey, int], dict[str, Array]] | None
  # (the discriminator's weights, images [B, H, W, C]): class logits [B, K]
  predict: Callable[[Weights, Array], Array] | None
  networks: Mapping[str, tuple[nn.Module, Array]]  # each with an example input


def init_network(module: nn.Module, key: PRNGKey, *inputs: Array) -> Weights:
  """A network's initial parameters and model state."""
  variables = module.init({'params': key}, *inputs, train=False)
  params = variables.pop('params')
  return Weights(params, variables)


def apply_network(
  module: nn.Module,
  weights: Weights,
  *inputs: Array,
  train: bool,
  dropout_key: PRNGKey | None = None,
) -> tuple[Any, Any]:
  """A network's outputs, and its model state after the pass.

  With train=False the model state comes back as it was.
  """
  variables = {'params': weights.params, **weights.model_state}
  if not train:
    return module.apply(variables, *inputs, train=False), weights.model_state
  return module.apply(
    variables,
    *inputs,
    train=True,
    mutable=list(weights.model_state),
    rngs={} if dropout_key is None else {'dropout': dropout_key},
  )
