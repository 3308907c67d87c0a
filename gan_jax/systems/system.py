"""The contract of a system: a bundle of pure functions."""

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
  """Inputs of a generator: a pytree whose leaves have rows."""

  z: Array  # [rows, z_dim]
  # Of a generator that has classes: int32 [rows], or, between two of them,
  # weights of the K classes [rows, K].
  label: Array | None = None


class Network(NamedTuple):
  """A Flax module, and what others need to know of it."""

  module: nn.Module
  example: tuple[
    Array, ...
  ]  # inputs of one row, to initialise it and for tables
  uses_batch_statistics: bool = False  # BatchNorm, or what looks at other rows
  dtype: str = 'float32'  # in which it computes

  def init(
    self, key: PRNGKey, *inputs: Array, noise_key: PRNGKey | None = None
  ) -> Weights:
    """The initial parameters and model state.

    Args:
      key: of the parameters.
      *inputs: of a network whose initialisation depends on them, else the
        example's.
      noise_key: if given, noise acts on the inputs as in training.
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
    """The outputs, and the model state after the pass.

    With train=False the model state comes back as it was. With dtype 'bfloat16'
    parameters and inputs are rounded on their way in, so that the products are
    of bfloat16, and the outputs come back in float32; the model state, and what
    BatchNorm adds up, are float32 throughout.
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
  """Capability of sampling: latents, ways between them, images from them."""

  # (key, number of rows): Latents, of labels as the training set has them
  draw: Callable[[PRNGKey, int], Latents]
  # (latents, others, t in [0, 1]): likely ones on the way from these to those
  interpolate: Callable[[Latents, Latents, Array], Latents]
  # (number of rows): NumPy's expression of each field, of a generator `rng`
  in_numpy: Callable[[int], dict[str, str]]
  # (the generator's weights, latents): panels of images in [-1, 1], by name
  generate: Callable[[Weights, Latents], dict[str, Array]]
  num_classes: int = 0  # of the generator; 0: it has none


class Classifier(NamedTuple):
  """Capability of classifying images [B, H, W, C] in [-1, 1]."""

  # (the discriminator's weights, images): class logits [B, K]
  predict: Callable[[Weights, Array], Array]
  # the same to the features [B, D] before the last layer, and the logits: what
  # a trained classifier measures other images by; None: it is no extractor
  embed: Callable[[Weights, Array], tuple[Array, Array]] | None = None


class Translator(NamedTuple):
  """Capability of translating images of one domain into the other."""

  # 'a2b' and 'b2a', or one of them, to functions of (the generator's weights,
  # images [B, H, W, C] in [-1, 1], key) to images of the other domain
  ways: Mapping[str, Callable[[Weights, Array, PRNGKey], Array]]
  side_multiple: int  # of the images that it takes
  has_noise: bool  # whether the key matters


class Panel(NamedTuple):
  """Metrics that a report draws in one panel."""

  title: str
  values: str  # what they are of, beside the axis
  pattern: str  # a regular expression that their names match


LOGITS = Panel("D's logits", 'mean logit', r'd_(real|fake)_logit')


class System(NamedTuple):
  """A GAN as a bundle of pure functions (cf. optax.GradientTransformation).

  What it can do is asked for in one way: `system.sampler is not None`.
  """

  batch_spec: Mapping[str, Stream]
  # (key, training images [init_rows, H, W, C] in [-1, 1], or None if init_rows
  # is 0): the state at step 0
  init: Callable[[PRNGKey, Array | None], TrainState]
  train_step: Callable[[TrainState, Batch, PRNGKey], tuple[TrainState, Metrics]]
  networks: Mapping[str, Network]
  init_rows: int = 0  # more if the initialisation depends on the data
  sampler: Sampler | None = None
  classifier: Classifier | None = None
  translator: Translator | None = None
  # How the line of a report on the terminal shows which of the step's metrics.
  shown: Mapping[str, str] = types.MappingProxyType(
    {'d_loss': 'd_loss {:.3f}', 'g_loss': 'g_loss {:.4f}'}
  )
  panels: tuple[Panel, ...] = ()  # of the report, beside those of all systems
  d_may_win: bool = False  # whether G learns, however far D is ahead


def _cast(tree: Any, dtype: str) -> Any:
  """Casts floating-point leaves; labels stay integers."""
  return jax.tree.map(
    lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x,
    tree,
  )
