"""CycleGAN: unpaired image-to-image translation in both directions.

Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks", https://arxiv.org/abs/1703.10593. Two generators, a2b and
b2a, each play against a discriminator of their target domain (equation 1). The
L1 cycle-consistency loss makes them each other's inverse (equation 2). Both
generators are updated first, as in the authors' code; then both discriminators,
on fakes from a pool of past ones (section 4).
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import losses
from gan_jax.config import (
  integer,
  key,
  optimizer,
  real,
)
from gan_jax.core.collectives import vary
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.core.types import Array, Batch, Metrics, Params, PRNGKey
from gan_jax.data.domains import DomainData
from gan_jax.data.spec import DomainSpec, Stream
from gan_jax.image_pool import empty_pool, query_pool
from gan_jax.systems.parts import objectives, translation, view
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
  'model.sync_batch_norm': translation.SYNC_BATCH_NORM._replace(since=4),
  **translation.options('resnet', 'instance'),
  'model.pool_size': key(
    50, integer(0), 'generated images in the pool of each domain; 0: no pool'
  ),
  **objectives.options('least_squares'),
  'loss.lambda_adversarial': key(
    2.0, real(0.0), "weight of G's adversarial loss"
  ),
  'loss.lambda_discriminator': key(1.0, real(0.0), "weight of D's loss"),
  'loss.lambda_cycle': key(
    10.0, real(0.0), 'weight of the cycle-consistency loss'
  ),
  'loss.lambda_identity': key(5.0, real(0.0), 'weight of the identity loss'),
  **view.OPTIONS,
  **optimizer('generator'),
  **optimizer('discriminator'),
}
SMOKE = {
  'model.generator.width': 4,
  'model.generator.num_blocks': 1,
  'model.discriminator.width': 4,
  'model.discriminator.patch_size': 16,
  'model.pool_size': 3,
}
DATA = DomainData


class Parts(NamedTuple):
  """Networks, optimisers and options of the step; constant over a run."""

  generators: Mapping[str, Network]  # 'a2b', 'b2a'
  discriminators: Mapping[str, Network]  # 'a', 'b': the domain that each judges
  g_optimizer: Optimizer
  d_optimizer: Optimizer
  d_objective: Callable[[Array, Array], Array]  # of the logits on real and fake
  g_objective: Callable[[Array, Array], Array]
  loss: ConfigDict  # config.loss
  pool_size: int
  view: View
  num_pieces: int
  axis_name: str | None


def make_parts(
  config: ConfigDict, spec: DomainSpec, axis_name: str | None = None
) -> Parts:
  """Builds the parts that `config` describes; see `OPTIONS` for its keys."""
  model = config.model
  shapes = {'a': spec.a_shape, 'b': spec.b_shape}
  if config.loss.lambda_identity and shapes['a'] != shapes['b']:
    raise InputError(
      f'the images of domain a are {shapes["a"]} and those of b {shapes["b"]}, '
      'but the identity loss needs equal shapes; set '
      'config.loss.lambda_identity to 0'
    )
  generators = {
    way: translation.make_generator(
      config,
      shapes[way[0]],
      shapes[way[-1]][-1],
      axis_name,
      use_dropout=False,
    )
    for way in ('a2b', 'b2a')
  }
  discriminators = {
    domain: translation.make_discriminator(
      config, jnp.zeros((1, *shape)), axis_name
    )
    for domain, shape in shapes.items()
  }
  check_pieces(config, *generators.values(), *discriminators.values())
  return Parts(
    generators,
    discriminators,
    *make_optimizers(config, spec),
    *objectives.make_losses(config.loss.adversarial, axis_name),
    config.loss,
    model.pool_size,
    view.make_view(config, spec, axis_name),
    config.train.num_microbatches,
    axis_name,
  )


def init(parts: Parts, key: PRNGKey, image: None) -> TrainState:
  """Initialises the state, with empty pools."""
  del image  # nothing depends on the data
  g, d = (
    joined(
      {name: network.init(key_for(key, name)) for name, network in each.items()}
    )
    for each in (parts.generators, parts.discriminators)
  )
  return TrainState(
    step=jnp.int32(0),
    generator=new_player(*g, parts.g_optimizer),
    discriminator=new_player(*d, parts.d_optimizer),
    extra={
      domain: empty_pool(parts.pool_size, network.example[0].shape[1:])
      for domain, network in parts.discriminators.items()
    },
  )


def joined(weights: Mapping[str, Weights]) -> Weights:
  """Joins the weights of a player's networks, by name.

  Only networks with BatchNorm have a model state.
  """
  return Weights(
    {name: each.params for name, each in weights.items()},
    {
      name: each.model_state
      for name, each in weights.items()
      if each.model_state
    },
  )


def weights_of(player: Weights, name: str) -> Weights:
  """Returns the weights of one of a player's networks."""
  return Weights(player.params[name], player.model_state.get(name, {}))


def generate(
  parts: Parts, g: Weights, way: str, image: Array, *, train: bool = True
) -> tuple[Array, Params]:
  """Translates images in one direction; also returns G's new model state."""
  return parts.generators[way].apply(weights_of(g, way), image, train=train)


def judge(
  parts: Parts, d: Weights, domain: str, image: Array
) -> tuple[Array, Params]:
  """Applies a domain's discriminator: patch logits, and its model state."""
  weights = weights_of(d, domain)
  return parts.discriminators[domain].apply(weights, image, train=True)


def g_loss(
  parts: Parts,
  params: Params,
  model_state: Params,
  d: Player,
  real: Mapping[str, Array],
  see: See = unchanged,
) -> tuple[Array, tuple[Aux, dict[str, Array]]]:
  """Computes the generators' loss (equation 3; identity term, section 5.2).

  Args:
    parts: the system's parts.
    params: the parameters of both generators.
    model_state: their model states.
    d: the discriminators.
    real: images of 'a' and 'b' [B, H, W, C].
    see: the discriminators' view of images.

  Returns:
    The loss, and (its auxiliary outputs, the fakes by domain).
  """
  loss, metrics, fakes, total = parts.loss, {}, {}, 0.0
  g, states = Weights(params, model_state), {}
  for way, back in (('a2b', 'b2a'), ('b2a', 'a2b')):
    source, target = way.split('2')
    # Only this pass of a generator stores BatchNorm statistics.
    fake, state = generate(parts, g, way, real[source])
    fakes[target], states[way] = fake, Weights({}, state)
    on_real, on_fake = (
      judge(parts, d.weights, target, see(image, f'{name} {target}'))[0]
      for image, name in ((real[target], 'real'), (fake, 'fake'))
    )
    value = parts.g_objective(on_real, on_fake).mean()
    again, _ = generate(parts, g, back, fake)
    cycle = losses.l1_loss(again, real[source]).mean()
    metrics |= {f'loss_{way}': value, f'cycle_{source}': cycle}
    total += loss.lambda_adversarial * value + loss.lambda_cycle * cycle
    if loss.lambda_identity:
      same, _ = generate(parts, g, way, real[target])
      identity = losses.l1_loss(same, real[target]).mean()
      metrics[f'identity_{target}'] = identity
      total += loss.lambda_identity * identity
  aux = Aux(metrics | {'loss': total}, joined(states).model_state)
  return total, (aux, fakes)


def d_loss(
  parts: Parts,
  params: Params,
  model_state: Params,
  real: Mapping[str, Array],
  shown: Mapping[str, Array],
  see: See = unchanged,
) -> tuple[Array, Aux]:
  """Computes the discriminators' loss on data and on the pools' fakes."""
  d, states, metrics, total = Weights(params, model_state), {}, {}, 0.0
  for domain in 'ab':
    # Separate passes: BatchNorm sees a batch of either data or samples.
    on_real, state = judge(
      parts, d, domain, see(real[domain], f'real {domain}')
    )
    on_fake, _ = judge(parts, d, domain, see(shown[domain], f'fake {domain}'))
    states[domain] = Weights({}, state)
    # A weight below 1 slows D down relative to G (appendix 7.1).
    weight = parts.loss.lambda_discriminator
    value = weight * parts.d_objective(on_real, on_fake).mean()
    metrics |= {
      f'loss_{domain}': value,
      f'real_logit_{domain}': on_real.mean(),
      f'fake_logit_{domain}': on_fake.mean(),
      f'win_rate_{domain}': jnp.mean(on_real > on_fake),  # of patches
    }
    total += value
  return total, Aux(metrics | {'loss': total}, joined(states).model_state)


def train_step(
  parts: Parts, state: TrainState, batch: Batch, key: PRNGKey
) -> tuple[TrainState, Metrics]:
  """Updates both generators, then both discriminators on pooled fakes."""
  real = {domain: batch[domain]['image'] for domain in 'ab'}
  key = jax.random.fold_in(key, state.step)
  g, d, axis_name = state.generator, state.discriminator, parts.axis_name

  rows = {'real': real, **parts.view.rows(len(real['a']))}

  def g_gradients(rows):
    params = vary(g.params, axis_name)
    see = parts.view.at(key_for(key, 'g'), rows, state.step)
    gradient = jax.grad(g_loss, argnums=1, has_aux=True)
    gradients, (aux, fakes) = gradient(
      parts, params, g.model_state, d, rows['real'], see
    )
    return (gradients, aux), fakes

  new_g, g_metrics, fakes = update_in_pieces(
    g, parts.g_optimizer, g_gradients, rows, state.step, parts
  )

  pools, shown = {}, {}
  for domain, pool in state.extra.items():
    pools[domain], shown[domain] = query_pool(
      pool, fakes[domain], key_for(key, f'pool_{domain}'), axis_name
    )

  def d_gradients(rows):
    params = vary(d.params, axis_name)
    see = parts.view.at(key_for(key, 'd'), rows, state.step)
    gradient = jax.grad(d_loss, argnums=1, has_aux=True)
    return gradient(
      parts, params, d.model_state, rows['real'], rows['shown'], see
    ), {}

  rows |= {'shown': shown}
  new_d, d_metrics, _ = update_in_pieces(
    d, parts.d_optimizer, d_gradients, rows, state.step, parts
  )
  state = TrainState(state.step + 1, new_g, new_d, pools)
  return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)


def make_system(
  config: ConfigDict, spec: DomainSpec, axis_name: str | None = None
) -> System:
  """Builds the system that `config` describes; see `OPTIONS` for its keys."""
  parts = make_parts(config, spec, axis_name)

  def translate(weights, image, key, *, way):
    del key  # G is deterministic
    return generate(parts, weights, way, image, train=False)[0]

  return System(
    batch_spec={
      domain: Stream(domain, config.data.batch_size) for domain in 'ab'
    },
    init=functools.partial(init, parts),
    train_step=functools.partial(train_step, parts),
    networks={
      **{f'generator {way}': x for way, x in parts.generators.items()},
      **{f'discriminator {k}': x for k, x in parts.discriminators.items()},
    },
    translator=Translator(
      {way: functools.partial(translate, way=way) for way in parts.generators},
      side_multiple=translation.side_multiple(config, parts.generators['a2b']),
      has_noise=False,
    ),
    panels=(
      Panel("Parts of G's loss", 'loss', r'g_(loss_|cycle|identity)'),
      LOGITS,
    ),
  )
