import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from numpy.testing import assert_allclose, assert_array_equal

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
    'schedule': {'name': 'constant'},
    'ema_decay': 0.0,
  }
  return make_optimizer(ConfigDict(config | changes), steps_per_epoch=10)


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
  """The first step's corrected averages are the gradient and its square."""
  opt = optimizer(name='adam', learning_rate=1.0, eps=0.5, eps_root=7.0)
  new, _ = update_player(player(opt), opt, quadratic, jnp.int32(0))
  want = [3 - 3 / ((9 + 7) ** 0.5 + 0.5), -4 + 4 / ((16 + 7) ** 0.5 + 0.5)]
  assert_allclose(new.params['w'], want, rtol=1e-6)


@pytest.mark.parametrize(
  ('step', 'every', 'rate'),
  [(0, 4, 1.0), (3, 4, 1.0), (4, 4, 0.9), (8, 4, 0.81), (10, None, 0.9)],
)
def test_the_rate_decays_with_the_training_step(step, every, rate):
  schedule = {
    'name': 'exponential',
    'decay_rate': 0.9,
    'decay_every_steps': every,
  }
  opt = optimizer(learning_rate=1.0, schedule=schedule)
  assert_allclose(opt.learning_rate(jnp.int32(step)), rate, rtol=1e-6)


@pytest.mark.parametrize(
  ('step', 'rate'), [(0, 1), (20, 1), (25, 0.875), (40, 0.5), (60, 0), (90, 0)]
)
def test_the_rate_falls_to_zero_in_a_line(step, rate):
  schedule = {'name': 'linear', 'constant_epochs': 2, 'decay_epochs': 4}
  opt = optimizer(learning_rate=1.0, schedule=schedule)
  assert_allclose(opt.learning_rate(jnp.int32(step)), rate, rtol=1e-6)


def test_the_average_starts_from_a_copy():
  opt = optimizer(ema_decay=0.75)
  old = player(opt)
  assert_array_equal(old.ema.params['w'], old.params['w'])
  assert (
    old.ema.params['w'].unsafe_buffer_pointer()
    != old.params['w'].unsafe_buffer_pointer()
  )


# Of 1 - decay^t with a decay of 0.999, float32 keeps four digits at first.
@pytest.mark.parametrize(('decay', 'rtol'), [(0.75, 1e-6), (0.999, 1e-4)])
def test_the_average_is_debiased(decay, rtol):
  """sum_i (1 - d) d^(t - i) p_i / (1 - d^t): the start has no share in it."""
  opt = optimizer(ema_decay=decay)
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
