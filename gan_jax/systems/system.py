"""What a system is: a bundle of pure functions."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from gan_jax.core.types import Array, Batch, Metrics, PRNGKey
from gan_jax.data.spec import Stream
from gan_jax.systems.state import TrainState, Weights


class System(NamedTuple):
  """A GAN as a bundle of pure functions (cf. optax.GradientTransformation)."""

  batch_spec: Mapping[str, Stream]
  # (key, training images [init_rows, H, W, C] in [-1, 1], or None if init_rows
  # is 0): the state at step 0
  init: Callable[[PRNGKey, Array | None], TrainState]
  train_step: Callable[[TrainState, Batch, PRNGKey], tuple[TrainState, Metrics]]
  networks: Mapping[str, tuple[nn.Module, Array]]  # each with an example input
  init_rows: int = 0  # more if the initialisation depends on the data
  # (key, number of rows): z [rows, z_dim]
  sample_z: Callable[[PRNGKey, int], Array] | None = None
  # (z, another, t in [0, 1]): a likely z on the way from one to the other
  interpolate: Callable[[Array, Array, Array], Array] | None = None
  # (shape): NumPy's expression for z of that shape, of a generator `rng`
  z_in_numpy: Callable[[tuple[int, ...]], str] | None = None
  # (the generator's weights, z): panels of images in [-1, 1], by name
  generate: Callable[[Weights, Array], dict[str, Array]] | None = None
  # (the discriminator's weights, images [B, H, W, C]): class logits [B, K]
  predict: Callable[[Weights, Array], Array] | None = None
  # the same to the features [B, D] before the last layer, and the logits: what
  # a trained classifier measures other images by
  embed: Callable[[Weights, Array], tuple[Array, Array]] | None = None
  # 'a2b' and 'b2a', or one of them, to functions of (the generator's weights,
  # images [B, H, W, C] in [-1, 1], key) to images of the other domain
  translate: Mapping[str, Callable[[Weights, Array, PRNGKey], Array]] | None = (
    None
  )
  side_multiple: int = 1  # of the images that `translate` takes


def init_network(
  module: nn.Module,
  key: PRNGKey,
  *inputs: Array,
  noise_key: PRNGKey | None = None,
) -> Weights:
  """A network's initial parameters and model state.

  With a `noise_key`, noise acts on the inputs as in training, for networks
  whose initialisation depends on them.
  """
  train = noise_key is not None
  rngs = {'params': key} | ({'noise': noise_key} if train else {})
  variables = dict(module.init(rngs, *inputs, train=train))
  params = variables.pop('params')
  return Weights(params, variables)


def apply_network(
  module: nn.Module,
  weights: Weights,
  *inputs: Array,
  train: bool,
  noise_key: PRNGKey | None = None,
  dtype: str = 'float32',
  **options: Any,
) -> tuple[Any, Any]:
  """A network's outputs, and its model state after the pass.

  With train=False the model state comes back as it was. With dtype='bfloat16'
  parameters and inputs are rounded on their way in, so that the products are of
  bfloat16, and the outputs come back in float32; the model state, and what
  BatchNorm adds up, are float32 throughout.
  """
  params = weights.params
  if dtype != 'float32':
    params, inputs = _cast((params, inputs), dtype)
  variables = {'params': params, **weights.model_state}
  options['rngs'] = {} if noise_key is None else {'noise': noise_key}
  if train:
    outputs, model_state = module.apply(
      variables,
      *inputs,
      train=True,
      mutable=list(weights.model_state),
      **options,
    )
  else:
    outputs = module.apply(variables, *inputs, train=False, **options)
    model_state = weights.model_state
  if dtype != 'float32':
    outputs = _cast(outputs, 'float32')
  return outputs, model_state


def _cast(tree: Any, dtype: str) -> Any:
  return jax.tree.map(lambda x: x.astype(dtype), tree)


def applier(config: Any) -> Callable:
  """`apply_network` with the dtype of a config."""
  return functools.partial(apply_network, dtype=config.dtype)
