"""CycleGAN: images of one domain from those of another, without pairs.

Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks", https://arxiv.org/abs/1703.10593. Two generators, a2b and
b2a, each against a discriminator of its target domain (equation 1), and held to
be each other's inverse by the cycle's L1 distance (equation 2). Both generators
move first, as in the authors' code; then both discriminators, on generated
images out of a pool of the past (section 4).
"""

import jax
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.config import boolean, integer, key, one_of, optimizer, real
from gan_jax.core.collectives import vary
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.data.domains import DomainData
from gan_jax.data.spec import DomainSpec, Stream
from gan_jax.image_pool import empty_pool, query_pool
from gan_jax.models.patchgan import PATCH_SIZES, PatchDiscriminator
from gan_jax.models.resnet import MULTIPLE, ResNetGenerator
from gan_jax.systems import objectives
from gan_jax.systems.state import TrainState, Weights
from gan_jax.systems.system import System, applier, init_network
from gan_jax.systems.update import (
  Aux,
  apply_gradients,
  in_pieces,
  make_optimizer,
  new_player,
  prefixed,
  refuse_pieces,
)

OPTIONS = {
  'model.generator.width': key(64, integer(1), 'channels of the first layer'),
  'model.generator.num_blocks': key(9, integer(1), 'residual blocks'),
  'model.generator.remat': key(
    False, boolean, 'whether blocks are computed anew for gradients, not kept'
  ),
  'model.discriminator.width': key(
    64, integer(1), 'channels of the first layer'
  ),
  'model.discriminator.patch_size': key(
    70, one_of(*PATCH_SIZES), 'side of what a logit sees, in pixels'
  ),
  'model.discriminator.normalization': key(
    'instance', one_of('instance', 'none'), 'of the layers'
  ),
  'model.pool_size': key(
    50, integer(0), 'generated images of each domain in the pool; 0: no pool'
  ),
  **objectives.options('least_squares'),
  'loss.lambda_adversarial': key(2.0, real(0.0), "of G's adversarial loss"),
  'loss.lambda_discriminator': key(1.0, real(0.0), "of D's loss"),
  'loss.lambda_cycle': key(10.0, real(0.0), 'of the cycle-consistency loss'),
  'loss.lambda_identity': key(5.0, real(0.0), 'of the identity loss'),
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
CLASSIFIES = False  # whether it has `predict`


def make_system(
  config, data_spec: DomainSpec, axis_name: str | None = None
) -> System:
  """The system that `config` describes; see `OPTIONS` for its keys."""
  apply = applier(config)
  loss, model = config.loss, config.model
  shapes = {'a': data_spec.a_shape, 'b': data_spec.b_shape}
  if loss.lambda_identity and shapes['a'] != shapes['b']:
    raise InputError(
      f'images of a are {shapes["a"]} and of b {shapes["b"]}, which have no '
      'identity; set config.loss.lambda_identity to 0'
    )
  g_optimizer = make_optimizer(
    config.optimizer.generator, data_spec.steps_per_epoch
  )
  d_optimizer = make_optimizer(
    config.optimizer.discriminator, data_spec.steps_per_epoch
  )
  generators = {
    'a2b': ResNetGenerator(channels=shapes['b'][-1], **model.generator),
    'b2a': ResNetGenerator(channels=shapes['a'][-1], **model.generator),
  }
  discriminator = PatchDiscriminator(**model.discriminator)
  d_loss, g_loss = objectives.make_losses(loss.adversarial, axis_name)
  num_pieces = config.train.num_microbatches
  if loss.adversarial.name == 'relativistic_average':
    refuse_pieces(config, "the loss compares with the whole batch's averages")
  examples = {name: jnp.zeros((1, *shape)) for name, shape in shapes.items()}

  def init(key, image):
    del image  # nothing depends on the data
    g = {
      way: init_network(network, key_for(key, way), examples[way[0]]).params
      for way, network in generators.items()
    }
    d = {
      domain: init_network(discriminator, key_for(key, domain), example).params
      for domain, example in examples.items()
    }
    return TrainState(
      step=jnp.int32(0),
      generator=new_player(g, {}, g_optimizer),
      discriminator=new_player(d, {}, d_optimizer),
      extra={
        domain: empty_pool(model.pool_size, shape)
        for domain, shape in shapes.items()
      },
    )

  def generate(params, way, image):
    weights = Weights(params[way], {})
    return apply(generators[way], weights, image, train=True)[0]

  def judge(params, domain, image):
    weights = Weights(params[domain], {})
    return apply(discriminator, weights, image, train=True)[0]

  def train_step(state, batch, key):
    real = {domain: batch[domain]['image'] for domain in 'ab'}
    key = jax.random.fold_in(key, state.step)
    g, d = state.generator, state.discriminator

    def g_loss_fn(params, real):
      metrics, fakes, total = {}, {}, 0.0
      for way, back in (('a2b', 'b2a'), ('b2a', 'a2b')):
        source, target = way.split('2')
        fake = fakes[target] = generate(params, way, real[source])
        value = g_loss(
          judge(d.params, target, real[target]), judge(d.params, target, fake)
        ).mean()
        cycle = losses.l1_loss(
          generate(params, back, fake), real[source]
        ).mean()
        metrics |= {f'loss_{way}': value, f'cycle_{source}': cycle}
        total += loss.lambda_adversarial * value + loss.lambda_cycle * cycle
        if loss.lambda_identity:
          same = generate(params, way, real[target])
          identity = losses.l1_loss(same, real[target]).mean()
          metrics[f'identity_{target}'] = identity
          total += loss.lambda_identity * identity
      return total, (Aux(metrics | {'loss': total}, {}), fakes)

    def g_gradients(real):
      gradients, (aux, fakes) = jax.grad(g_loss_fn, has_aux=True)(
        vary(g.params, axis_name), real
      )
      return (gradients, aux), fakes

    (gradients, aux), fakes = in_pieces(g_gradients, real, num_pieces)
    new_g, g_metrics = apply_gradients(
      g, g_optimizer, gradients, aux, state.step, axis_name=axis_name
    )

    pools, shown = {}, {}
    for domain, pool in state.extra.items():
      pools[domain], shown[domain] = query_pool(
        pool, fakes[domain], key_for(key, f'pool_{domain}'), axis_name
      )

    def d_loss_fn(params, real, shown):
      metrics, total = {}, 0.0
      for domain in 'ab':
        on_real = judge(params, domain, real[domain])
        on_fake = judge(params, domain, shown[domain])
        # Less than 1, it slows D down relative to G (appendix 7.1).
        value = loss.lambda_discriminator * d_loss(on_real, on_fake).mean()
        metrics |= {
          f'loss_{domain}': value,
          f'real_logit_{domain}': on_real.mean(),
          f'fake_logit_{domain}': on_fake.mean(),
          f'win_rate_{domain}': jnp.mean(on_real > on_fake),  # of patches
        }
        total += value
      return total, Aux(metrics | {'loss': total}, {})

    def d_gradients(rows):
      params = vary(d.params, axis_name)
      return jax.grad(d_loss_fn, has_aux=True)(params, **rows), {}

    (gradients, aux), _ = in_pieces(
      d_gradients, {'real': real, 'shown': shown}, num_pieces
    )
    new_d, d_metrics = apply_gradients(
      d, d_optimizer, gradients, aux, state.step, axis_name=axis_name
    )
    state = TrainState(state.step + 1, new_g, new_d, pools)
    return state, prefixed('d_', d_metrics) | prefixed('g_', g_metrics)

  def translator(way):
    def translate(weights, image, key):
      del key  # there is no noise
      return generate(weights.params, way, image)

    return translate

  return System(
    batch_spec={
      domain: Stream(domain, config.data.batch_size) for domain in 'ab'
    },
    init=init,
    train_step=train_step,
    networks={
      'generator a2b': (generators['a2b'], examples['a']),
      'generator b2a': (generators['b2a'], examples['b']),
      'discriminator a': (discriminator, examples['a']),
      'discriminator b': (discriminator, examples['b']),
    },
    translate={way: translator(way) for way in generators},
    side_multiple=MULTIPLE,
  )
