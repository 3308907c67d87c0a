"""Interface of a system: a bundle of pure functions."""

import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.core.types import Array, Batch, Metrics, PRNGKey
from gan_jax.data.spec import Stream
from gan_jax.systems.state import TrainState, Weights


class Latents(NamedTuple):
  """Inputs of a generator: a pytree with a leading axis of rows."""

  z: Array  # [rows, z_dim]
  # For a class-conditional generator: int32 [rows], or, when interpolating
  # between classes, weights of the K classes [rows, K].
  label: Array | None = None


class Network(NamedTuple):
  """A Flax module, with example inputs, properties and compute dtype."""

  module: nn.Module
  example: tuple[
    Array, ...
  ]  # inputs of one row, for initialisation and summaries
  uses_batch_statistics: bool = False  # BatchNorm, or other cross-row layers
  dtype: str = 'float32'  # of the computation

  def init(
    self, key: PRNGKey, *inputs: Array, noise_key: PRNGKey | None = None
  ) -> Weights:
    """Initialises the parameters and the model state.

    Args:
      key: random key for the parameters.
      *inputs: inputs for a data-dependent initialisation; by default the
        example.
      noise_key: if given, the network adds noise as in training.
    """
    train = noise_key is not None
    rngs = {'params': key} | ({'noise': noise_key} if train else {})
    variables = self.module.init(rngs, *(inputs or self.example), train=train)
    variables = dict(variables)
    params = variables.pop('params')
    return Weights(params, variables)

  def apply(
    self,
    weights: Weights,
    *inputs: Array,
    train: bool,
    noise_key: PRNGKey | None = None,
    **options: Any,
  ) -> tuple[Any, Any]:
    """Runs a forward pass; returns the outputs and the new model state.

    With train=False the model state is returned unchanged. With dtype
    'bfloat16' parameters and inputs are cast to bfloat16, so that products are
    computed in it, and outputs are cast back to float32; the model state and
    BatchNorm's statistics stay float32.
    """
    params = weights.params
    if self.dtype != 'float32':
      params, inputs = _cast((params, inputs), self.dtype)
    variables = {'params': params, **weights.model_state}
    options['rngs'] = {} if noise_key is None else {'noise': noise_key}
    if train:
      outputs, model_state = self.module.apply(
        variables,
        *inputs,
        train=True,
        mutable=list(weights.model_state),
        **options,
      )
    else:
      outputs = self.module.apply(variables, *inputs, train=False, **options)
      model_state = weights.model_state
    if self.dtype != 'float32':
      outputs = _cast(outputs, 'float32')
    return outputs, model_state


class Sampler(NamedTuple):
  """Sampling: draws latents, interpolates them and generates images."""

  # (key, number of rows) -> Latents; labels follow the training set's
  # distribution
  draw: Callable[[PRNGKey, int], Latents]
  # (a, b, t in [0, 1]) -> latents between a and b, likely under the prior
  interpolate: Callable[[Latents, Latents, Array], Latents]
  # (number of rows) -> for each field, a NumPy expression that draws it with a
  # random generator `rng`
  in_numpy: Callable[[int], dict[str, str]]
  # (the generator's weights, latents) -> panels of images in [-1, 1], by name
  generate: Callable[[Weights, Latents], dict[str, Array]]
  num_classes: int = 0  # of the generator; 0: unconditional


class Classifier(NamedTuple):
  """Classification of images [B, H, W, C] in [-1, 1]."""

  # (the discriminator's weights, images) -> class logits [B, K]
  predict: Callable[[Weights, Array], Array]
  # (the same) -> the features [B, D] before the last layer, and the logits, for
  # use as a feature extractor of metrics; None: it cannot serve as one
  embed: Callable[[Weights, Array], tuple[Array, Array]] | None = None


class Translator(NamedTuple):
  """Translation of images of one domain into the other."""

  # 'a2b', 'b2a' or both, each with its function (the generator's weights,
  # images [B, H, W, C] in [-1, 1], key) -> images of the other domain
  ways: Mapping[str, Callable[[Weights, Array, PRNGKey], Array]]
  side_multiple: int  # the sides of input images must be multiples of it
  has_noise: bool  # whether the result depends on the key


class Panel(NamedTuple):
  """Metrics that a report plots in one panel."""

  title: str
  values: str  # the label of the y axis
  pattern: str  # regular expression of the metrics' names


LOGITS = Panel("D's logits", 'mean logit', r'd_(real|fake)_logit')


class System(NamedTuple):
  """A GAN as a bundle of pure functions (cf. optax.GradientTransformation).

  Its capabilities are optional fields: test `system.sampler is not None`.
  """

  batch_spec: Mapping[str, Stream]
  # (key, training images [init_rows, H, W, C] in [-1, 1], or None if init_rows
  # is 0) -> the state at step 0
  init: Callable[[PRNGKey, Array | None], TrainState]
  train_step: Callable[[TrainState, Batch, PRNGKey], tuple[TrainState, Metrics]]
  networks: Mapping[str, Network]
  init_rows: int = 0  # positive if the initialisation depends on the data
  sampler: Sampler | None = None
  classifier: Classifier | None = None
  translator: Translator | None = None
  # The step's metrics in the progress line on the terminal, with their format.
  shown: Mapping[str, str] = types.MappingProxyType(
    {'d_loss': 'd_loss {:.3f}', 'g_loss': 'g_loss {:.4f}'}
  )
  panels: tuple[Panel, ...] = ()  # of the report, besides the common ones
  d_may_win: bool = False  # whether G still learns when D is far ahead


def _cast(tree: Any, dtype: str) -> Any:
  """Casts floating-point leaves; labels stay integers."""
  return jax.tree.map(
    lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x,
    tree,
  )
