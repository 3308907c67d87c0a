import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.config import Units
from gan_jax.core.errors import InputError
from gan_jax.systems.update import (
  Aux,
  make_optimizer,
  new_player,
  update_player,
)


def optimizer(**changes):
  config = {
    'name': 'sgd',
    'learning_rate': 0.1,
    'b1': 0.5,
    'b2': 0.999,
    'eps': 1e-8,
    'eps_root': 0.0,
    'b2_schedule': {'name': 'constant'},
    'schedule': {'name': 'constant'},
    'ema': {'name': 'none'},
    'freeze': None,
  }
  units = Units(steps_per_epoch=10, batch_size=4)
  return make_optimizer(ConfigDict(config | changes), units)


def quadratic(params):
  loss = 0.5 * jnp.sum(params['w'] ** 2)
  return loss, Aux({'loss': loss}, {'seen': jnp.ones(())})


def player(opt):
  return new_player({'w': jnp.array([3.0, -4.0])}, {'seen': jnp.zeros(())}, opt)


def test_sgd_steps_down_the_gradient():
  opt = optimizer()
  new, metrics = update_player(player(opt), opt, quadratic, jnp.int32(0))
  assert_allclose(new.params['w'], [2.7, -3.6], rtol=1e-6)
  assert_allclose(metrics['grad_norm'], 5.0, rtol=1e-6)
  assert_allclose(metrics['loss'], 12.5, rtol=1e-6)
  assert_array_equal(new.model_state['seen'], 1.0)


def test_adam_follows_its_equations():
  opt = optimizer(name='adam', learning_rate=0.01, eps=1e-3)
  state = player(opt)
  w = np.array([3.0, -4.0])
  m = v = np.zeros(2)
  for t in (1, 2, 3):
    state, _ = update_player(state, opt, quadratic, jnp.int32(t - 1))
    m, v = 0.5 * m + 0.5 * w, 0.999 * v + 0.001 * w**2
    mean, square = m / (1 - 0.5**t), v / (1 - 0.999**t)
    w = w - 0.01 * mean / (np.sqrt(square) + 1e-3)
  assert_allclose(state.params['w'], w, rtol=1e-5)


def test_eps_root_is_inside_the_square_root():
  """In the first step, the debiased moments are the gradient and its square."""
  opt = optimizer(name='adam', learning_rate=1.0, eps=0.5, eps_root=7.0)
  new, _ = update_player(player(opt), opt, quadratic, jnp.int32(0))
  want = [3 - 3 / ((9 + 7) ** 0.5 + 0.5), -4 + 4 / ((16 + 7) ** 0.5 + 0.5)]
  assert_allclose(new.params['w'], want, rtol=1e-6)


@pytest.mark.parametrize(
  ('step', 'every', 'unit', 'rate'),
  [
    (0, 4, 'steps', 1.0),
    (3, 4, 'steps', 1.0),
    (4, 4, 'steps', 0.9),
    (8, 4, 'steps', 0.81),
    (10, 1, 'epochs', 0.9),
    (10, 8, 'images', 0.9**5),
  ],
)
def test_the_rate_decays_with_the_training_step(step, every, unit, rate):
  schedule = {
    'name': 'exponential',
    'unit': unit,
    'warmup': 0,
    'decay_rate': 0.9,
    'every': every,
  }
  opt = optimizer(learning_rate=1.0, schedule=schedule)
  assert_allclose(opt.learning_rate(jnp.int32(step)), rate, rtol=1e-6)


@pytest.mark.parametrize(
  ('step', 'rate'), [(0, 1), (20, 1), (25, 0.875), (40, 0.5), (60, 0), (90, 0)]
)
def test_the_rate_falls_to_zero_in_a_line(step, rate):
  schedule = {
    'name': 'linear', 'unit': 'epochs', 'warmup': 0, 'hold': 2, 'length': 4,
    'final': 0.0,
  }  # fmt: skip
  opt = optimizer(learning_rate=1.0, schedule=schedule)
  assert_allclose(opt.learning_rate(jnp.int32(step)), rate, rtol=1e-6)


def test_the_average_starts_from_a_copy():
  opt = optimizer(ema={'name': 'debiased', 'decay': 0.75})
  old = player(opt)
  assert_array_equal(old.ema.params['w'], old.params['w'])
  assert (
    old.ema.params['w'].unsafe_buffer_pointer()
    != old.params['w'].unsafe_buffer_pointer()
  )


# float32 has only four digits of 1 - 0.999^t at first.
@pytest.mark.parametrize(('decay', 'rtol'), [(0.75, 1e-6), (0.999, 1e-4)])
def test_the_average_is_debiased(decay, rtol):
  """It is sum_i (1 - d) d^(t - i) p_i / (1 - d^t), excluding the start."""
  opt = optimizer(ema={'name': 'debiased', 'decay': decay})
  state = player(opt)
  params, seen = [], []

  def loss_fn(params):
    loss, _ = quadratic(params)
    return loss, Aux({}, {'seen': params['w'][0] ** 2})

  for t in range(1, 7):
    state, _ = update_player(state, opt, loss_fn, jnp.int32(t - 1))
    params.append(state.params['w'])
    seen.append(state.model_state['seen'])
    share = (1 - decay) * decay ** np.arange(t - 1, -1, -1) / (1 - decay**t)
    assert_allclose(state.ema.params['w'], share @ np.array(params), rtol=rtol)
    want = share @ np.array(seen)
    assert_allclose(state.ema.model_state['seen'], want, rtol=rtol)


def test_without_an_average_there_is_no_second_copy():
  assert player(optimizer()).ema is None


def test_gradients_and_metrics_are_averaged_over_replicas():
  opt = optimizer()

  def step(rows):
    def loss_fn(params):
      loss = jnp.mean(rows @ params['w'])
      return loss, Aux({'loss': loss}, {'seen': rows.mean()})

    return update_player(
      player(opt), opt, loss_fn, jnp.int32(0), axis_name='batch'
    )

  rows = np.arange(8.0, dtype=np.float32).reshape(2, 2, 2)
  new, metrics = jax.pmap(step, axis_name='batch', out_axes=None)(rows)
  gradient = rows.reshape(4, 2).mean(axis=0)
  assert_allclose(new.params['w'], [3, -4] - 0.1 * gradient, rtol=1e-6)
  assert_allclose(metrics['loss'], gradient @ [3, -4], rtol=1e-6)
  assert_allclose(new.model_state['seen'], 3.5, rtol=1e-6)


def test_adams_b2_changes_with_the_step():
  """It equals changing `betas` in PyTorch: the step's b2 debiases."""
  schedule = {
    'name': 'linear', 'unit': 'steps', 'warmup': 0, 'hold': 0, 'length': 2,
    'final': 0.5,
  }  # fmt: skip
  opt = optimizer(
    name='adam', b1=0.0, b2=0.9, b2_schedule=schedule, learning_rate=0.01
  )
  state = player(opt)
  w, v = np.array([3.0, -4.0]), np.zeros(2)
  for t, b2 in enumerate((0.9, 0.7, 0.5, 0.5)):
    state, _ = update_player(state, opt, quadratic, jnp.int32(t))
    v = b2 * v + (1 - b2) * w**2
    w = w - 0.01 * w / (np.sqrt(v / (1 - b2 ** (t + 1))) + 1e-8)
  assert_allclose(state.params['w'], w, rtol=1e-6)


# Share of the new weights in the average at step t, for a batch of 4.
SHARES = {
  'debiased': ({'decay': 0.75}, lambda t: 0.25 / (1 - 0.75 ** (t + 1))),
  'warmup': ({'decay': 0.75}, lambda t: 1 - min(0.75, (1 + t) / (10 + t))),
  'half_life': (
    {'half_life': 8.0, 'ramp_up': None, 'schedule': {'name': 'constant'}},
    lambda t: 1 - 0.5**0.5,
  ),
  'power': ({'gamma': 1.0}, lambda t: 1 - (1 - 1 / (t + 1)) ** 2),
}


def averages(opt, num_steps=4):
  """Returns the weights and their average after each step."""
  state = player(opt)
  params = [np.asarray(state.params['w'], 'float64')]
  for t in range(num_steps):
    state, _ = update_player(state, opt, quadratic, jnp.int32(t))
    params.append(np.asarray(state.params['w'], 'float64'))
  return params, state.ema.params['w']


@pytest.mark.parametrize('name', SHARES)
def test_each_average(name):
  settings, share = SHARES[name]
  params, average = averages(optimizer(ema={'name': name, **settings}))
  want = params[0]
  for t, p in enumerate(params[1:]):
    want = share(t) * p + (1 - share(t)) * want
  assert_allclose(average, want, rtol=1e-6)


def test_a_half_life_that_grows_from_nothing():
  """At step 0 the average is the weights; at 2 the half-life is one batch."""
  schedule = {
    'name': 'linear', 'unit': 'steps', 'warmup': 0, 'hold': 0, 'length': 2,
    'final': 4.0,
  }  # fmt: skip
  settings = {'half_life': 0.0, 'ramp_up': None, 'schedule': schedule}
  opt = optimizer(ema={'name': 'half_life', **settings})
  params, average = averages(opt, num_steps=1)
  assert_allclose(average, params[1], rtol=1e-6)
  params, average = averages(opt, num_steps=3)
  want = params[1]
  for p, share in ((params[2], 0.75), (params[3], 0.5)):
    want = share * p + (1 - share) * want
  assert_allclose(average, want, rtol=1e-6)


TWO_LAYERS = {
  'conv1': {'kernel': np.float32([3.0, -4.0]), 'bias': np.float32([0.1])},
  'conv2': {'kernel': np.float32([1.0, 2.0])},
}


def sum_of_squares(params):
  total = sum(jnp.sum(x**2) for x in jax.tree.leaves(params))
  return 0.5 * total, Aux({}, {})


@pytest.mark.parametrize('name', ['sgd', 'adam'])
def test_what_is_frozen_stays_to_the_bit(name):
  opt = optimizer(
    name=name, freeze='conv1/', ema={'name': 'debiased', 'decay': 0.9}
  )
  params = jax.tree.map(jnp.asarray, TWO_LAYERS)
  state = new_player(params, {}, opt)
  step = jax.jit(lambda state, t: update_player(state, opt, sum_of_squares, t))
  for t in range(3):
    before = state.params['conv2']['kernel']
    state, metrics = step(state, jnp.int32(t))
  jax.tree.map(assert_array_equal, state.params['conv1'], TWO_LAYERS['conv1'])
  jax.tree.map(
    assert_array_equal, state.ema.params['conv1'], TWO_LAYERS['conv1']
  )
  moved = np.asarray(state.params['conv2']['kernel']) - [1.0, 2.0]
  assert abs(moved).min() > 1e-3
  assert_allclose(metrics['grad_norm'], np.linalg.norm(before), rtol=1e-6)
  shapes = [x.shape for x in jax.tree.leaves(state.opt_state)]
  assert shapes == ([(), (2,), (2,)] if name == 'adam' else [])


def test_a_frozen_gradient_is_not_computed():
  """Training one weight takes two products, and training two takes three."""
  weights = {x: {'kernel': jnp.ones((8, 8))} for x in ('conv1', 'conv2')}

  def loss(params):
    x = jnp.ones((4, 8))
    for name in ('conv1', 'conv2'):
      x = jnp.tanh(x @ params[name]['kernel'])
    return x.sum(), Aux({}, {})

  def num_products(freeze):
    opt = optimizer(freeze=freeze)
    state = new_player(weights, {}, opt)
    compiled = (
      jax.jit(lambda state: update_player(state, opt, loss, jnp.int32(0)))
      .lower(state)
      .compile()
    )
    return compiled.as_text().count(' dot(')

  assert num_products(None) - num_products('conv1') == 2


def test_a_pattern_that_freezes_nothing():
  with pytest.raises(InputError, match=r'no parameter matches; they are: w'):
    player(optimizer(freeze='conv1'))
