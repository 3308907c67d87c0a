import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax import losses
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for, uniform_rows
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.metrics.diversity import stddev_over_z
from gan_jax.models.dcgan import ConvDiscriminator
from gan_jax.runs.program import build, init_state
from gan_jax.systems import gan
from gan_jax.systems.parts.objectives import LOSSES
from gan_jax.systems.system import Latents
from tests.changes import changed
from tests.systems.steps import (
  RATE,
  batch_of,
  by_hand,
  close,
  convolve,
  one_step,
  plain_config,
  train,
)
from tests.tiers import in_systems


@pytest.fixture
def config():
  config = plain_config('mnist_gan')
  config.loss.adversarial.label_smoothing = 0.0
  return config


def draw_key(program, step, turn):
  key = jax.random.fold_in(program.key('train'), step)
  return jax.random.fold_in(key, turn)


@pytest.mark.systems
@pytest.mark.parametrize(
  ('still', 'moving'),
  [('generator', 'discriminator'), ('discriminator', 'generator')],
)
def test_one_players_update_leaves_the_other_untouched(
  config, tiny_dataset, still, moving
):
  config.optimizer[still].learning_rate = 0.0
  old, new, _ = one_step(build(config, tiny_dataset))
  jax.tree.map(
    assert_array_equal, getattr(old, still).params, getattr(new, still).params
  )
  pairs = [getattr(x, moving).params['dense1']['kernel'] for x in (old, new)]
  assert abs(pairs[0] - pairs[1]).max() > 1e-4


def test_each_update_of_d_has_its_rows_and_the_rate_of_the_training_step(
  config, tiny_dataset
):
  """Then G is updated against the new D, on the samples of D's last update.

  The test computes two updates of D, on every other row, and one of G by hand.
  """
  config.loss.n_critic = 2
  for player in config.optimizer.values():
    player.schedule = ConfigDict({
      'name': 'exponential', 'unit': 'steps', 'warmup': 0, 'every': 1,
      'decay_rate': 0.5,
    })  # fmt: skip
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(program, step=3)
  image = batch_of(program)['train']['image']
  assert len(image) == 12
  generate, judge = (
    by_hand(program, player) for player in ('generator', 'discriminator')
  )
  g_params, d_params = old.generator.params, old.discriminator.params

  def descend(params, gradients):
    return jax.tree.map(lambda p, g: p - RATE / 8 * g, params, gradients)

  for turn in (0, 1):
    key = key_for(draw_key(program, 3, turn), 'z')
    z = uniform_rows(key, 6, (program.config.model.z_dim,), -1.0, 1.0)
    fake, _ = generate(g_params, {}, z)

    def d_loss(params, fake=fake, turn=turn):
      on_real, _ = judge(params, {}, image[turn::2])
      on_fake, _ = judge(params, {}, fake)
      return jnp.mean(jax.nn.softplus(-on_real) + jax.nn.softplus(on_fake))

    value, gradients = jax.jit(jax.value_and_grad(d_loss))(d_params)
    d_params = descend(d_params, gradients)
  assert_allclose(metrics['d_loss'], value, rtol=1e-5)
  close(new.discriminator.params, d_params)

  def g_loss(params):
    on_fake, _ = judge(d_params, {}, generate(params, {}, z)[0])
    return jnp.mean(jax.nn.softplus(-on_fake))

  value, gradients = jax.jit(jax.value_and_grad(g_loss))(g_params)
  assert_allclose(metrics['g_loss'], value, rtol=1e-5)
  close(new.generator.params, descend(g_params, gradients))


def test_the_optimisers_own_counts(config, tiny_dataset):
  config.loss.n_critic = 3
  players = [f'optimizer.{x}.name' for x in ('generator', 'discriminator')]
  config = changed(config, dict.fromkeys(players, 'adam'))
  _, new, _ = one_step(build(config, tiny_dataset))
  counts = (new.generator.opt_state.count, new.discriminator.opt_state.count)
  assert (*map(int, counts), int(new.step)) == (1, 3, 1)


@pytest.mark.usefixtures('plain_convolutions')
def test_batch_norm_sees_data_or_samples_and_keeps_statistics_of_data(
  config, tiny_dataset
):
  convolve(config, 'batch')
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(program)
  _, other, others_metrics = one_step(program, purpose='other samples')
  assert metrics['d_fake_logit'] != others_metrics['d_fake_logit']
  assert_array_equal(metrics['d_real_logit'], others_metrics['d_real_logit'])
  d = old.discriminator
  logits, statistics = by_hand(program, 'discriminator')(
    d.params, d.model_state, batch_of(program)['train']['image']
  )
  assert_allclose(metrics['d_real_logit'], logits.mean(), atol=1e-6)
  close(new.discriminator.model_state, statistics)
  jax.tree.map(
    assert_array_equal,
    new.discriminator.model_state,
    other.discriminator.model_state,
  )


@pytest.mark.usefixtures('plain_convolutions')
def test_the_generator_meets_data_and_samples_apart(config, tiny_dataset):
  """Computes G's step against a new D with BatchNorm by hand."""
  convolve(config, 'batch')
  # A loss that looks at the data, too.
  config = changed(config, {'loss.adversarial.name': 'relativistic'})
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(program)
  z = program.system.sampler.draw(key_for(draw_key(program, 0, 0), 'z'), 6).z
  d = new.discriminator

  def loss(params):
    fake, statistics = by_hand(program, 'generator')(
      params, old.generator.model_state, z
    )
    on_real, on_fake = (
      by_hand(program, 'discriminator')(d.params, d.model_state, x)[0]
      for x in (batch_of(program)['train']['image'], fake)
    )
    return jax.nn.softplus(on_real - on_fake).mean(), statistics

  (value, statistics), gradients = jax.jit(
    jax.value_and_grad(loss, has_aux=True)
  )(old.generator.params)
  assert_allclose(metrics['g_loss'], value, rtol=1e-5)
  want = jax.tree.map(
    lambda p, g: p - RATE * g, old.generator.params, gradients
  )
  close(new.generator.params, want)
  close(new.generator.model_state, statistics)


@pytest.mark.systems
@pytest.mark.usefixtures('plain_convolutions')
def test_spectral_norms_become_one(config, tiny_dataset):
  """After 100 power iterations, D equals D with kernels over their norms."""
  convolve(config, 'spectral')
  for player in config.optimizer.values():
    player.learning_rate = 0.0
  program = build(config, tiny_dataset)
  state, run = init_state(program), jax.jit(program.system.train_step)
  initial, batch = state.discriminator.params, batch_of(program)
  for _ in range(100):
    state, _ = run(state, batch, program.key('train'))
  d = state.discriminator
  jax.tree.map(assert_array_equal, d.params, initial)
  divided, image = {}, batch['train']['image']
  for name, layer in d.params.items():
    kernel = layer['kernel']
    matrix = np.reshape(kernel, (-1, kernel.shape[-1]))
    norm = np.linalg.norm(matrix, 2)
    sigma = d.model_state['batch_stats'][f'{name}_norm'][f'{name}/kernel/sigma']
    assert_allclose(norm / sigma, 1, atol=1e-3)
    divided[name] = {'kernel': kernel / norm, 'bias': layer['bias']}
  network = program.system.networks['discriminator'].module
  logits = network.apply(
    {'params': d.params, **d.model_state}, image, train=False
  )
  plain = ConvDiscriminator(2, base_size=2, normalization='none')
  want = plain.apply({'params': divided}, image, train=False)
  assert_allclose(logits, want, rtol=1e-3, atol=1e-4)


@pytest.mark.systems
def test_penalties_enter_the_loss_with_their_weights(config, tiny_dataset):
  config.loss.r1_gamma, config.loss.r2_gamma = 0.5, 0.25
  config.loss.lambda_gp = 2.0
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(program)
  real, key = batch_of(program)['train']['image'], draw_key(program, 0, 0)
  z = program.system.sampler.draw(key_for(key, 'z'), 6).z
  fake, _ = by_hand(program, 'generator')(old.generator.params, {}, z)
  epsilon = jax.vmap(
    lambda i: jax.random.uniform(jax.random.fold_in(key_for(key, 'epsilon'), i))
  )(jnp.arange(6))[:, None, None, None]

  def terms(params):
    def judge(x):
      return by_hand(program, 'discriminator')(params, {}, x)[0]

    def square(x):
      slope = jax.vmap(jax.grad(lambda row: judge(row[None])[0]))(x)
      return jnp.sum(slope**2, axis=(1, 2, 3))

    adversarial = jax.nn.softplus(-judge(real)) + jax.nn.softplus(judge(fake))
    between = epsilon * real + (1 - epsilon) * fake
    return {
      'd_loss_adversarial': adversarial.mean(),
      'd_r1': 0.5 * square(real).mean(),
      'd_r2': 0.5 * square(fake).mean(),
      'd_gp': jnp.mean((jnp.sqrt(square(between)) - 1) ** 2),
    }

  def total(params):
    adversarial, r1, r2, gp = terms(params).values()
    return adversarial + 0.5 * r1 + 0.25 * r2 + 2.0 * gp

  params = old.discriminator.params
  for name, value in terms(params).items():
    assert_allclose(metrics[name], value, rtol=1e-5)
  value, gradients = jax.jit(jax.value_and_grad(total))(params)
  assert_allclose(metrics['d_loss'], value, rtol=1e-5)
  want = jax.tree.map(lambda p, g: p - RATE * g, params, gradients)
  close(new.discriminator.params, want)


@pytest.mark.parametrize('key', ['r1_gamma', 'r2_gamma', 'lambda_gp'])
def test_a_penalty_on_batch_norm_is_refused(config, tiny_dataset, key):
  convolve(config, 'batch')
  config.loss[key] = 0.1
  with pytest.raises(InputError, match=f'{key}.*discriminator.normalization'):
    build(config, tiny_dataset)


def test_the_average_of_a_critic_is_refused(config, tiny_dataset):
  config.optimizer.discriminator.ema = {'name': 'debiased', 'decay': 0.9}
  build(config, tiny_dataset)
  config.loss.n_critic = 2
  with pytest.raises(InputError, match=r'discriminator\.ema\.name to none'):
    build(config, tiny_dataset)


@pytest.mark.parametrize('name', LOSSES)
def test_each_loss_is_the_one_of_its_name(config, tiny_dataset, name):
  config = changed(config, {'loss.adversarial.name': name})
  options = {}
  if name in ('minimax', 'non_saturating'):
    options['label_smoothing'] = config.loss.adversarial.label_smoothing = 0.1
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(program)
  assert all(np.isfinite(value) for value in metrics.values())
  z = program.system.sampler.draw(key_for(draw_key(program, 0, 0), 'z'), 6).z
  fake, _ = by_hand(program, 'generator')(old.generator.params, {}, z)
  images = batch_of(program)['train']['image'], fake

  def loss(player, state, **options):
    judge = by_hand(program, 'discriminator')
    logits = [judge(state.discriminator.params, {}, x)[0] for x in images]
    return getattr(losses, f'{name}_{player}_loss')(*logits, **options).mean()

  want = loss('discriminator', old, **options)
  assert_allclose(metrics['d_loss'], want, rtol=1e-5, atol=1e-6)
  # Not rtol alone: a mean of logits of both signs may be near 0.
  want = loss('generator', new)
  assert_allclose(metrics['g_loss'], want, rtol=1e-5, atol=1e-6)


def test_samples_come_from_the_averaged_generator(config, tiny_dataset):
  config.optimizer.generator.ema = {'name': 'debiased', 'decay': 0.9}
  config.optimizer.generator.learning_rate = 5.0
  program = build(config, tiny_dataset)
  state, _ = train(config, tiny_dataset, 'jit', 3)
  z = program.system.sampler.draw(program.key('fixed samples'), 100).z
  averaged, in_play = (
    stddev_over_z(
      program.system.sampler.generate(weights, Latents(z))['samples']
    )
    for weights in (state.generator.ema, state.generator.weights)
  )
  score = Evaluator(program).scores(state)['samples_std']
  assert_allclose(score, averaged, rtol=1e-5)
  assert abs(in_play / averaged - 1) > 1e-3


def test_g_answers_on_a_batch_of_its_own(config, tiny_dataset):
  """R3GAN's order: three batches a step, the last one G's, with new latents."""
  config.loss.n_critic, config.loss.g_batch = 2, 'fresh'
  config = changed(config, {'loss.adversarial.name': 'relativistic'})
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(program)
  image = batch_of(program)['train']['image']
  assert len(image) == 18
  assert program.plan.steps_per_epoch == program.data.num_train // 18
  generate, judge = (
    by_hand(program, player) for player in ('generator', 'discriminator')
  )
  z = uniform_rows(
    key_for(draw_key(program, 0, 2), 'z'), 6, (config.model.z_dim,), -1.0, 1.0
  )

  def g_loss(params):
    on_fake, _ = judge(new.discriminator.params, {}, generate(params, {}, z)[0])
    on_real, _ = judge(new.discriminator.params, {}, image[2::3])
    return jnp.mean(jax.nn.softplus(on_real - on_fake))

  value, gradients = jax.jit(jax.value_and_grad(g_loss))(old.generator.params)
  assert_allclose(metrics['g_loss'], value, rtol=1e-5)
  close(
    new.generator.params,
    jax.tree.map(lambda p, g: p - RATE * g, old.generator.params, gradients),
  )


def test_lecam_by_hand(config, tiny_dataset):
  config.loss.lambda_lecam = 0.5
  config.loss.n_critic = 1
  program = build(config, tiny_dataset)
  state = init_state(program).replace(
    step=jnp.int32(4),
    extra={'real': jnp.float32(0.3), 'fake': jnp.float32(-0.2)},
  )
  new, metrics = jax.jit(program.system.train_step)(
    state, batch_of(program), program.key('train')
  )
  generate, judge = (
    by_hand(program, player) for player in ('generator', 'discriminator')
  )
  z = uniform_rows(
    key_for(draw_key(program, 4, 0), 'z'), 6, (config.model.z_dim,), -1.0, 1.0
  )
  d = state.discriminator.params
  on_real, _ = judge(d, {}, batch_of(program)['train']['image'])
  on_fake, _ = judge(d, {}, generate(state.generator.params, {}, z)[0])
  want = np.maximum(on_real + 0.2, 0) ** 2 + np.maximum(0.3 - on_fake, 0) ** 2
  assert_allclose(metrics['d_lecam'], want.mean(), rtol=1e-5)
  share = 0.01 / (1 - 0.99**5)
  assert_allclose(
    new.extra['real'], 0.3 + share * (on_real.mean() - 0.3), rtol=1e-5
  )
  assert_allclose(
    new.extra['fake'], -0.2 + share * (on_fake.mean() + 0.2), rtol=1e-5
  )


def test_lecam_counts_the_updates_of_d(config, tiny_dataset):
  """With debiasing, the averages are the mean of all logits so far."""
  config.loss.lambda_lecam, config.loss.lecam_decay = 0.5, 0.999
  config.loss.n_critic = 2
  program = build(config, tiny_dataset)
  parts = gan.make_parts(config, program.data.spec)
  averages = {'real': jnp.float32(50.0), 'fake': jnp.float32(-50.0)}
  for i in range(6):
    logits = {'real_logit': float(i), 'fake_logit': -2.0 * i}
    averages = gan.new_averages(
      parts, averages, logits, jnp.int32(i // 2), i % 2
    )
  assert_allclose(averages['real'], 2.5, rtol=1e-2)
  assert_allclose(averages['fake'], -5.0, rtol=1e-2)


@pytest.mark.parametrize(
  ('weight', 'schedule', 'metric'),
  [
    ('r1_gamma', 'r1_schedule', 'r1'),
    *in_systems(
      ('r2_gamma', 'r2_schedule', 'r2'),
      ('lambda_gp', 'gp_schedule', 'gp'),
      ('lambda_lecam', 'lecam_schedule', 'lecam'),
    ),
  ],
)
def test_the_weight_of_a_penalty_changes(
  config, tiny_dataset, weight, schedule, metric
):
  """It rises from 0 to 3 at step 4: at step 2 a cosine is half-way."""
  group = f'loss.{schedule}'
  config = changed(
    config,
    {
      f'loss.{weight}': 0.0,
      f'{group}.name': 'cosine',
      f'{group}.unit': 'steps',
      f'{group}.hold': 0,
      f'{group}.length': 4,
      f'{group}.final': 3.0,
    },
  )
  program = build(config, tiny_dataset)
  for step, want in ((0, 0.0), (2, 1.5), (9, 3.0)):
    _, _, metrics = one_step(program, step=step)
    rest = metrics['d_loss'] - metrics['d_loss_adversarial']
    assert_allclose(rest, want * metrics[f'd_{metric}'], rtol=1e-4, atol=1e-6)


def test_simultaneous_players_both_play_against_the_old_opponent(
  config, tiny_dataset
):
  """Both updates by hand, on the same samples."""
  config.loss.n_critic, config.loss.play = 1, 'simultaneous'
  program = build(config, tiny_dataset)
  old, new, metrics = one_step(program)
  generate, judge = (
    by_hand(program, player) for player in ('generator', 'discriminator')
  )
  g_params, d_params = old.generator.params, old.discriminator.params
  key = key_for(draw_key(program, 0, 0), 'z')
  z = uniform_rows(key, 6, (program.config.model.z_dim,), -1.0, 1.0)

  def g_loss(g_params):
    on_fake, _ = judge(d_params, {}, generate(g_params, {}, z)[0])
    return jnp.mean(jax.nn.softplus(-on_fake))

  value, gradients = jax.jit(jax.value_and_grad(g_loss))(g_params)
  assert_allclose(metrics['g_loss'], value, rtol=1e-5)
  descended = jax.tree.map(lambda p, g: p - RATE * g, g_params, gradients)
  close(new.generator.params, descended)
  config.loss.play = 'alternating'
  _, other, _ = one_step(build(config, tiny_dataset))
  close(new.discriminator.params, other.discriminator.params)
  change = jax.tree.map(
    lambda a, b: jnp.abs(a - b).max(),
    new.generator.params,
    other.generator.params,
  )
  assert max(jax.tree.leaves(change)) > 1e-4


def test_simultaneous_play_needs_one_update_of_d(config, tiny_dataset):
  config.loss.n_critic, config.loss.play = 2, 'simultaneous'
  with pytest.raises(InputError, match='with n_critic = 2: G would be'):
    build(config, tiny_dataset)


@pytest.mark.systems
def test_packs_by_hand(config, tiny_dataset):
  """D's loss with R1 and R2 on packs of two, and the number of images."""
  config.loss.n_critic, config.model.packing = 1, 2
  config.loss.r1_gamma, config.loss.r2_gamma = 2.0, 3.0
  program = build(config, tiny_dataset)
  old, _, metrics = one_step(program)
  image = batch_of(program)['train']['image']
  assert len(image) == 12
  generate, judge = (
    by_hand(program, player) for player in ('generator', 'discriminator')
  )
  key = key_for(draw_key(program, 0, 0), 'z')
  z = uniform_rows(key, 12, (program.config.model.z_dim,), -1.0, 1.0)
  fake, _ = generate(old.generator.params, {}, z)
  real, fake = (
    jnp.stack([
      jnp.concatenate([x[2 * i], x[2 * i + 1]], axis=-1) for i in range(6)
    ])
    for x in (image, fake)
  )  # fmt: skip

  def logits(x):
    return judge(old.discriminator.params, {}, x)[0]

  def penalty(x):
    slopes = jax.vmap(jax.grad(lambda one: logits(one[None])[0]))(x)
    return 0.5 * (slopes**2).sum(axis=(1, 2, 3)).mean()

  on_real, on_fake = logits(real), logits(fake)
  adversarial = jax.nn.softplus(-on_real) + jax.nn.softplus(on_fake)
  assert_allclose(metrics['d_r1'], penalty(real), rtol=1e-4)
  assert_allclose(metrics['d_r2'], penalty(fake), rtol=1e-4)
  assert_allclose(
    metrics['d_loss'],
    adversarial.mean() + 2.0 * penalty(real) + 3.0 * penalty(fake),
    rtol=1e-4,
  )


def test_an_epoch_of_packs_is_a_pass_over_the_images(config, tiny_dataset):
  config.loss.n_critic = 1
  single = build(config, tiny_dataset).plan.steps_per_epoch
  config.model.packing = 3
  program = build(config, tiny_dataset)
  assert program.plan.steps_per_epoch == single // 3
  assert program.system.batch_spec['train'].rows == 18


def test_packs_have_no_class(config, tiny_dataset):
  config.model.packing = 2
  config.model.conditioning = 'concat_projection'
  with pytest.raises(InputError, match='of different classes; set packing'):
    build(config, tiny_dataset)
