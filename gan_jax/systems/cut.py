"""CUT and FastCUT: one-sided unpaired image-to-image translation.

Park et al. 2020, "Contrastive Learning for Unpaired Image-to-Image
Translation", https://arxiv.org/abs/2007.15651. A generator plays against a
discriminator of its target domain. A patchwise contrastive loss preserves the
content: in the features of the generator's own encoder, an output patch must
match the input patch at the same location (equation 4). CUT also applies this
loss to images of the target domain, as an identity loss (equation 5); FastCUT
does not, and gives the contrastive loss a larger weight (section 4).
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import losses
from gan_jax.config import boolean, integer, integers, key, optimizer, real
from gan_jax.core.collectives import vary
from gan_jax.core.errors import InputError
from gan_jax.core.rng import bernoulli_rows, global_rows, key_for, keys_of
from gan_jax.core.types import Array, Batch, Metrics, Params, PRNGKey
from gan_jax.data.domains import DomainData
from gan_jax.data.spec import DomainSpec, Stream
from gan_jax.models.patch_heads import PatchHeads
from gan_jax.systems.parts import objectives, translation, view
from gan_jax.systems.parts.patches import mirror, take_patches
from gan_jax.systems.parts.view import See, View, unchanged
from gan_jax.systems.state import Player, TrainState, Weights
from gan_jax.systems.system import LOGITS, Network, Panel, System, Translator
from gan_jax.systems.update import (
  Aux,
  Optimizer,
  check_pieces,
  make_optimizers,
  new_player,
  prefixed,
  update_in_pieces,
)

OPTIONS = {
  'data.direction': translation.DIRECTION,
  'model.sync_batch_norm': translation.SYNC_BATCH_NORM,
  **translation.options(
    'resnet',
    'instance',
    downsampling='blur',
    upsampling='blur',
    initializer='xavier',
    kinds=('resnet',),
  ),
  'model.heads.layers': key(
    (0, 4, 8, 12, 16),
    integers(0),
    'layers of G whose features the contrastive loss compares, by their index '
    "in the authors' nn.Sequential",
  ),
  'model.heads.features': key(256, integer(1), 'units of the projection heads'),
  **objectives.options('least_squares'),
  'loss.lambda_adversarial': key(
    2.0, real(0.0), "weight of G's adversarial loss"
  ),
  'loss.lambda_discriminator': key(1.0, real(0.0), "weight of D's loss"),
  'loss.lambda_nce': key(1.0, real(0.0), 'weight of the contrastive loss'),
  'loss.nce_identity': key(
    True,
    boolean,
    'whether the contrastive loss also applies to images of the target domain '
    '(CUT)',
  ),
  'loss.nce_temperature': key(
    0.07, real(0.001), 'temperature of the contrastive loss'
  ),
  'loss.num_patches': key(256, integer(1), 'patches per image and layer'),
  'loss.flip_equivariance': key(
    False,
    boolean,
    "whether half of G's inputs are mirrored, and their output features "
    'mirrored back (FastCUT)',
  ),
  **view.OPTIONS,
  **optimizer('generator'),
  **optimizer('discriminator'),
}
SMOKE = {
  'model.generator.width': 4,
  'model.generator.num_blocks': 2,
  'model.discriminator.width': 4,
  'model.discriminator.patch_size': 16,
  'model.heads.layers': 12,
  'model.heads.features': 16,
  'loss.num_patches': 8,
}
DATA = DomainData


class Parts(NamedTuple):
  """Networks, optimisers and options of the step; constant over a run."""

  generator: Network
  heads: Network
  discriminator: Network
  g_optimizer: Optimizer
  d_optimizer: Optimizer
  d_objective: Callable[[Array, Array], Array]  # of the logits on real and fake
  g_objective: Callable[[Array, Array], Array]
  loss: ConfigDict  # config.loss
  layers: tuple[int, ...]  # of G, whose features are compared
  direction: str  # 'a2b' or 'b2a'
  view: View
  num_pieces: int
  axis_name: str | None


def make_parts(
  config: ConfigDict, spec: DomainSpec, axis_name: str | None = None
) -> Parts:
  """Builds the parts that `config` describes; see `OPTIONS` for its keys."""
  model, direction = config.model, config.data.direction
  shapes = {'a': spec.a_shape, 'b': spec.b_shape}
  source, target = (shapes[domain] for domain in direction.split('2'))
  if source != target:
    raise InputError(
      f'images of a are {shapes["a"]} and of b {shapes["b"]}, but one encoder '
      'looks at both; give them one size and the same channels, or choose '
      'system cyclegan'
    )
  generator = translation.make_generator(
    config, source, target[-1], axis_name, use_dropout=False
  )
  discriminator = translation.make_discriminator(
    config, jnp.zeros((1, *target)), axis_name
  )
  features = jax.eval_shape(
    functools.partial(
      generator.module.init_with_output, train=False, layers=model.heads.layers
    ),
    jax.random.key(0),
    *generator.example,
  )[0]
  heads = PatchHeads(
    model.heads.features,
    initializer=model.initializer,
    init_gain=model.init_gain,
  )
  example = tuple(jnp.zeros((1, 1, x.shape[-1])) for x in features)
  check_pieces(config, generator, discriminator)
  return Parts(
    generator,
    Network(heads, example, dtype=config.dtype),
    discriminator,
    *make_optimizers(config, spec),
    *objectives.make_losses(config.loss.adversarial, axis_name),
    config.loss,
    tuple(sorted({*model.heads.layers})),
    direction,
    view.make_view(config, spec, axis_name),
    config.train.num_microbatches,
    axis_name,
  )


def init(parts: Parts, key: PRNGKey, image: None) -> TrainState:
  """Initialises the state; G's player includes the projection heads."""
  del image  # nothing depends on the data
  networks = {'generator': parts.generator, 'heads': parts.heads}
  g = {name: each.init(key_for(key, name)) for name, each in networks.items()}
  d = parts.discriminator.init(key_for(key, 'discriminator'))
  params = {name: each.params for name, each in g.items()}
  return TrainState(
    step=jnp.int32(0),
    generator=new_player(params, g['generator'].model_state, parts.g_optimizer),
    discriminator=new_player(*d, parts.d_optimizer),
    extra={},
  )


def generate(
  parts: Parts, g: Weights, image: Array, *, train: bool = True
) -> tuple[Array, Params]:
  """Translates images; also returns G's new model state."""
  weights = Weights(g.params['generator'], g.model_state)
  return parts.generator.apply(weights, image, train=train)


def embed(
  parts: Parts,
  g: Weights,
  image: Array,
  keys: PRNGKey,
  mirrored: Array | None = None,
) -> Sequence[Array]:
  """Computes L2-normalised features of random image patches.

  Args:
    parts: the system's parts.
    g: the weights of the generator and of the heads.
    image: [B, H, W, C].
    keys: [B], random keys for the patch locations.
    mirrored: bool [B]; the features of a mirrored image are mirrored back.
      None: no image is mirrored.

  Returns:
    For each layer [B, P, D].
  """
  weights = Weights(g.params['generator'], g.model_state)
  maps, _ = parts.generator.apply(
    weights, image, train=True, layers=parts.layers
  )
  patches = [
    take_patches(
      mirror(features, mirrored),
      jax.vmap(jax.random.fold_in, (0, None))(keys, i),
      parts.loss.num_patches,
    )
    for i, features in enumerate(maps)
  ]
  heads = Weights(g.params['heads'], {})
  return parts.heads.apply(heads, *patches, train=True)[0]


class Inputs(NamedTuple):
  """Inputs of G in a step: source images, then target images."""

  image: Array  # [B, H, W, C], or with `nce_identity` [2B, H, W, C]
  keys: PRNGKey  # one per image, for the patch locations
  mirrored: Array | None  # whether G gets the mirrored image


def inputs_of(parts: Parts, rows: Mapping[str, Array], key: PRNGKey) -> Inputs:
  """Prepares G's inputs for some rows of the batch, independent of devices."""
  names = ('source', 'target') if parts.loss.nce_identity else ('source',)
  keys = [
    keys_of(key_for(key, f'patches of {name}'), rows['place']) for name in names
  ]
  mirrored = None
  if parts.loss.flip_equivariance:
    coins = keys_of(key_for(key, 'flip'), rows['place'])
    mirrored = jnp.tile(bernoulli_rows(coins, (), 0.5)[0], len(names))
  image = jnp.concatenate([rows[name] for name in names])
  return Inputs(image, jnp.concatenate(keys), mirrored)


# G's outputs, their VJP function to its parameters, and its model state.
Made = tuple[Array, Callable, Params]


def make(parts: Parts, g: Player, inputs: Inputs) -> Made:
  """Translates a batch; see `Made`."""

  def outputs(params):
    image = mirror(inputs.image, inputs.mirrored)
    return generate(parts, Weights(params, g.model_state), image)

  return jax.vjp(outputs, vary(g.params, parts.axis_name), has_aux=True)


def d_loss(
  parts: Parts,
  params: Params,
  model_state: Params,
  real: Array,
  fake: Array,
  see: See = unchanged,
) -> tuple[Array, Aux]:
  """Computes D's loss on images of the target domain and on translations."""
  weights = Weights(params, model_state)
  # Separate passes: BatchNorm sees a batch of either data or samples.
  (on_real, new_model_state), (on_fake, _) = (
    parts.discriminator.apply(weights, see(image, name), train=True)
    for image, name in ((real, 'real'), (fake, 'fake'))
  )
  weight = parts.loss.lambda_discriminator
  value = weight * parts.d_objective(on_real, on_fake).mean()
  metrics = {
    'loss': value,
    'real_logit': on_real.mean(),
    'fake_logit': on_fake.mean(),
    'win_rate': jnp.mean(on_real > on_fake),  # of patches
  }
  return value, Aux(metrics, new_model_state)


def g_loss(
  parts: Parts,
  params: Params,
  outputs: Array,
  model_state: Params,
  d: Player,
  real: Array,
  inputs: Inputs,
  see: See = unchanged,
) -> tuple[Array, Metrics]:
  """Computes G's adversarial and contrastive losses (equations 1, 4 and 5).

  Args:
    parts: the system's parts.
    params: G's parameters; its encoder and heads embed the patches.
    outputs: G's translations of `inputs`; the loss is differentiated with
      respect to them, too.
    model_state: G's model state.
    d: the discriminator.
    real: images of the target domain [B, H, W, C].
    inputs: G's inputs.
    see: D's view of images.
  """
  loss, g = parts.loss, Weights(params, model_state)
  fake = outputs[: len(real)]
  on_real, on_fake = (
    parts.discriminator.apply(d.weights, see(image, name), train=True)[0]
    for image, name in ((real, 'real'), (fake, 'fake'))
  )
  adversarial = parts.g_objective(on_real, on_fake).mean()
  queries = embed(parts, g, outputs, inputs.keys, inputs.mirrored)
  keys = embed(parts, g, inputs.image, inputs.keys)
  # Means over each layer's patches, then over layers: [B] or [2B].
  nce = jnp.mean(
    jnp.stack(
      [
        losses.patch_nce_loss(q, k, temperature=loss.nce_temperature).mean(1)
        for q, k in zip(queries, keys, strict=True)
      ]
    ),
    axis=0,
  )
  total = loss.lambda_adversarial * adversarial + loss.lambda_nce * nce.mean()
  metrics = {'loss_adversarial': adversarial, 'nce': nce[: len(real)].mean()}
  if loss.nce_identity:
    metrics['nce_identity'] = nce[len(real) :].mean()
  return total, metrics | {'loss': total}


def update_d(
  parts: Parts,
  d: Player,
  g: Player,
  rows: Mapping[str, Array],
  made: Made | None,
  key: PRNGKey,
  step: Array,
) -> tuple[Player, Metrics]:
  """Updates D; computes the translations itself if `made` is None."""

  def gradients_of(rows):
    outputs, *_ = made or make(parts, g, inputs_of(parts, rows, key))
    params = vary(d.params, parts.axis_name)
    see = parts.view.at(key_for(key, 'd'), rows, step)
    fake = outputs[: len(rows['target'])]
    gradient = jax.grad(d_loss, argnums=1, has_aux=True)
    return gradient(parts, params, d.model_state, rows['target'], fake, see), {}

  return update_in_pieces(
    d, parts.d_optimizer, gradients_of, rows, step, parts
  )[:2]


def update_g(
  parts: Parts,
  g: Player,
  d: Player,
  rows: Mapping[str, Array],
  made: Made | None,
  key: PRNGKey,
  step: Array,
) -> tuple[Player, Metrics]:
  """Updates G and the heads; computes the translations if `made` is None."""

  def gradients_of(rows):
    inputs = inputs_of(parts, rows, key)
    outputs, to_g, model_state = made or make(parts, g, inputs)
    params = vary(g.params, parts.axis_name)
    see = parts.view.at(key_for(key, 'g'), rows, step)
    gradient = jax.grad(g_loss, argnums=(1, 2), has_aux=True)
    (direct, at_outputs), metrics = gradient(
      parts, params, outputs, g.model_state, d, rows['target'], inputs, see
    )
    (through,) = to_g(at_outputs)
    gradients = jax.tree.map(jnp.add, direct, through)
    return (gradients, Aux(metrics, model_state)), {}

  return update_in_pieces(
    g, parts.g_optimizer, gradients_of, rows, step, parts
  )[:2]


def train_step(
  parts: Parts, state: TrainState, batch: Batch, key: PRNGKey
) -> tuple[TrainState, Metrics]:
  """Updates D, then G and the heads against the new D."""
  step, g, d = state.step, state.generator, state.discriminator
  key = jax.random.fold_in(key, step)
  source, target = (batch[x]['image'] for x in parts.direction.split('2'))
  rows = {
    'source': source,
    'target': target,
    'place': global_rows(len(source), parts.axis_name),
    **parts.view.rows(len(source)),
  }
  # Computed once for both players unless gradients are accumulated.
  made = None
  if parts.num_pieces == 1:
    made = make(parts, g, inputs_of(parts, rows, key))
  d, d_metrics = update_d(parts, d, g, rows, made, key, step)
  g, g_metrics = update_g(parts, g, d, rows, made, key, step)
  state = TrainState(step + 1, g, d, state.extra)
  return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)


def make_system(
  config: ConfigDict, spec: DomainSpec, axis_name: str | None = None
) -> System:
  """Builds the system that `config` describes; see `OPTIONS` for its keys."""
  parts = make_parts(config, spec, axis_name)

  def translate(weights, image, key):
    del key  # G is deterministic
    return generate(parts, weights, image, train=False)[0]

  return System(
    batch_spec={
      domain: Stream(domain, config.data.batch_size) for domain in 'ab'
    },
    init=functools.partial(init, parts),
    train_step=functools.partial(train_step, parts),
    networks={
      'generator': parts.generator,
      'heads': parts.heads,
      'discriminator': parts.discriminator,
    },
    translator=Translator(
      {parts.direction: translate},
      side_multiple=translation.side_multiple(config, parts.generator),
      has_noise=False,
    ),
    panels=(Panel("Parts of G's loss", 'loss', r'g_(loss_|nce)'), LOGITS),
  )
