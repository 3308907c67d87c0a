import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.losses import top_k_mean, top_k_schedule
from tests.losses import replicas

WRAP = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])
SCORES = np.array([1.0, 3.0, 3.0, 0.0, 3.0, 2.0], 'float32')
BEST_FIRST = [1, 2, 4, 5, 0, 3]


def normal(*shape, seed=0, dtype='float32'):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


@pytest.mark.parametrize(('k', 'by_hand'), [(1, 5.0), (2, 3.5), (3, 7 / 3)])
def test_by_hand(k, by_hand):
  values, scores = jnp.array([2.0, 0.0, 5.0]), jnp.array([-1.0, -9.0, 4.0])
  loss = top_k_mean(values, scores, k)
  assert loss.shape == ()
  np.testing.assert_allclose(loss, by_hand, rtol=2e-7)


def test_the_values_of_a_row_are_averaged():
  values = jnp.array([[[1.0], [3.0]], [[10.0], [20.0]], [[-5.0], [7.0]]])
  assert top_k_mean(values, jnp.array([2.0, 1.0, 3.0]), 2) == 1.5


@pytest.mark.parametrize('k', range(1, 7))
def test_exactly_k_rows_count_and_of_equals_the_earlier(k):
  values = 2.0 ** jnp.arange(6)  # so that a sum identifies its rows
  loss, gradient = jax.value_and_grad(top_k_mean)(values, SCORES, k)
  chosen = np.isin(np.arange(6), BEST_FIRST[:k])
  np.testing.assert_allclose(loss, values[chosen].sum() / k, rtol=2e-7)
  np.testing.assert_allclose(gradient, chosen / k, rtol=2e-7)


def test_zeros_of_either_sign_are_equal():
  values = jnp.array([1.0, 2.0])
  for scores in ([-0.0, 0.0], [0.0, -0.0]):
    assert top_k_mean(values, jnp.array(scores), 1) == 1.0


def test_an_undefined_score_is_the_lowest():
  scores = jnp.array([jnp.nan, 1.0, -jnp.inf, -jnp.nan])
  loss = top_k_mean(jnp.array([1.0, 2.0, 4.0, 8.0]), scores, 2)
  assert loss == 3.0


def test_rows_that_are_not_chosen_may_hold_anything():
  values = jnp.array([jnp.nan, 1.0, jnp.inf, 4.0])
  scores = jnp.array([0.0, 2.0, 1.0, 3.0])
  loss, gradient = jax.value_and_grad(top_k_mean)(values, scores, 2)
  assert loss == 2.5
  np.testing.assert_array_equal(gradient, [0, 0.5, 0, 0.5])
  assert np.isnan(top_k_mean(values, scores, 4))


def test_the_choice_has_no_gradient():
  with jax.enable_x64(True):
    values, scores = normal(5, dtype='float64'), normal(5, 2, dtype='float64')
    gradient = jax.grad(lambda s: top_k_mean(values, s.sum(axis=1), 2))(scores)
    assert not gradient.any()
    check_grads(
      lambda x: top_k_mean(jnp.tanh(x), x, 2),
      (values,),
      order=1,
      eps=1e-5,
      atol=1e-9,
      rtol=1e-9,
    )


def test_the_order_of_the_rows_does_not_matter():
  values, scores = normal(7, 3), normal(7, seed=1)
  order = np.random.default_rng(2).permutation(7)
  for k in (2, 5):
    np.testing.assert_allclose(
      top_k_mean(values[order], scores[order], k),
      top_k_mean(values, scores, k),
      rtol=1e-6,
    )


def test_k_may_be_traced():
  values, scores = normal(5, 2), normal(5, seed=1)
  loss = jax.jit(top_k_mean)
  for k in (1, 3, 5):
    np.testing.assert_allclose(
      loss(values, scores, k), top_k_mean(values, scores, k), rtol=1e-6
    )
  np.testing.assert_allclose(loss(values, scores, 9), values.mean(), rtol=1e-6)
  assert np.isnan(loss(values, scores, 0))


def test_vmap_changes_nothing():
  values, scores, k = (
    normal(3, 5, 2),
    normal(3, 5, seed=1),
    jnp.array([1, 4, 2]),
  )
  expected = [top_k_mean(*args) for args in zip(values, scores, k, strict=True)]
  losses = jax.jit(jax.vmap(top_k_mean))(values, scores, k)
  np.testing.assert_allclose(losses, expected, rtol=1e-6)


@pytest.mark.parametrize('of_scores', ['float32', 'bfloat16'])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_dtype_is_that_of_the_values(dtype, of_scores):
  with jax.enable_x64(True):
    value, gradient = jax.value_and_grad(top_k_mean)(
      normal(5, dtype=dtype), normal(5, dtype=of_scores), 2
    )
    assert value.dtype == gradient.dtype == dtype


def test_bfloat16_is_computed_in_float32():
  values, scores = normal(64, 3, dtype='bfloat16'), normal(64, seed=1)
  wide = top_k_mean(values.astype('float32'), scores, 50)
  assert top_k_mean(values, scores, 50) == wide.astype('bfloat16')


@WRAP
@pytest.mark.parametrize(
  ('values', 'scores', 'k', 'error', 'message'),
  [
    ((4,), (3,), 1, ValueError, r'scores \[B\], got \(4,\) and \(3,\)'),
    ((4, 1), (4, 1), 1, ValueError, r'scores \[B\]'),
    ((), (), 1, ValueError, r'values must be \[B, ...\]'),
    ((0,), (0,), 1, ValueError, 'values must not be empty'),
    ((4,), (4,), 0, ValueError, r'k must lie in \[1, 5\), got 0'),
    ((4,), (4,), 5, ValueError, r'k must lie in \[1, 5\), got 5'),
    ((4,), (4,), 2.0, TypeError, 'k must be an integer, got 2.0'),
    ((4,), (4,), True, TypeError, 'k must be an integer'),
    ((4,), (4,), np.array([2]), TypeError, 'k must be an integer'),
  ],
)
def test_bad_arguments_fail_while_tracing(
  wrap, values, scores, k, error, message
):
  loss = wrap(lambda values, scores: top_k_mean(values, scores, k))
  with pytest.raises(error, match=message):
    loss(np.zeros(values, 'f'), np.zeros(scores, 'f'))


@pytest.mark.parametrize('name', ['values', 'scores'])
def test_integers_are_refused(name):
  arguments = {'values': jnp.zeros(3), 'scores': jnp.zeros(3)}
  arguments[name] = jnp.zeros(3, int)
  with pytest.raises(TypeError, match=f'{name} must be floating'):
    top_k_mean(**arguments, k=1)


@replicas.MODES
@pytest.mark.parametrize('k', [1, 2, 5])
def test_two_devices_match_one(mode, k):
  """Scores tie across devices; for k = 2 all rows are the first device's."""
  replicas.assert_two_devices_match_one(
    mode,
    lambda weight, z, scores, axis_name: top_k_mean(
      jnp.tanh(z @ weight), scores, k, axis_name=axis_name
    ),
    normal(3, 4, seed=2),
    normal(6, 3),
    SCORES,
  )


def test_k_is_checked_against_the_whole_batch():
  def loss(values, k):
    return jax.pmap(
      lambda x: top_k_mean(x, x, k, axis_name='batch'),
      axis_name='batch',
      devices=jax.devices()[:2],
    )(values)

  values = jnp.arange(6.0).reshape(2, 3)
  np.testing.assert_array_equal(loss(values, 6), [2.5, 2.5])
  with pytest.raises(ValueError, match=r'k must lie in \[1, 7\), got 7'):
    loss(values, 7)


def test_schedule_by_hand():
  k_at = top_k_schedule(100, decay=0.7, minimum=20, every_steps=3)
  by_hand = [100] * 3 + [70] * 3 + [49] * 3 + [34] * 3 + [24] * 3 + [20] * 3
  assert [int(k_at(step)) for step in range(18)] == by_hand
  assert k_at(2**31 - 1) == 20


@pytest.mark.parametrize(
  ('decay', 'minimum', 'by_hand'),
  [
    (0.99, 97, [100, 99, 98, 97, 97]),
    (0.5, 1, [100, 50, 25, 12, 6]),
    (0.0, 3, [100, 3, 3, 3, 3]),
    (0.5, 100, [100, 100, 100, 100, 100]),
  ],
)
def test_other_schedules_by_hand(decay, minimum, by_hand):
  k_at = top_k_schedule(100, decay=decay, minimum=minimum, every_steps=1)
  assert [int(k_at(step)) for step in range(5)] == by_hand


def test_the_papers_schedule_halves_the_batch_in_69_epochs():
  k_at = top_k_schedule(1000, decay=0.99, minimum=500, every_steps=1)
  counts = np.array([k_at(step) for step in range(80)])
  assert (counts[:69] > 500).all()
  assert (counts[69:] == 500).all()
  expected = np.maximum(500, np.floor(1000 * 0.99 ** np.arange(80)))
  np.testing.assert_array_equal(counts, expected)


def test_the_step_may_be_traced():
  k_at = top_k_schedule(16, decay=0.9, minimum=4, every_steps=2)
  expected = [int(k_at(step)) for step in range(40)]
  traced = jax.jit(jax.vmap(k_at))(jnp.arange(40))
  assert traced.dtype == k_at(0).dtype == 'int32'
  assert traced.tolist() == expected
  assert len(set(expected)) > 5

  @jax.jit
  def loss(step):
    return top_k_mean(jnp.arange(16.0), jnp.arange(16.0), k_at(step))

  assert loss(0) == 7.5
  assert loss(40) == 13.5


@pytest.mark.parametrize(
  ('changed', 'error', 'message'),
  [
    ({'batch_size': 0}, ValueError, 'batch_size must lie in'),
    ({'batch_size': 8.0}, TypeError, 'batch_size must be an integer'),
    ({'minimum': 0}, ValueError, r'minimum must lie in \[1, 9\)'),
    ({'minimum': 9}, ValueError, r'minimum must lie in \[1, 9\)'),
    ({'minimum': 0.5}, TypeError, 'minimum must be an integer'),
    ({'every_steps': 0}, ValueError, 'every_steps must lie in'),
    ({'every_steps': 1.5}, TypeError, 'every_steps must be an integer'),
    ({'decay': 1.0}, ValueError, 'decay must lie in'),
    ({'decay': -0.1}, ValueError, 'decay must lie in'),
    ({'decay': float('nan')}, ValueError, 'decay must lie in'),
  ],
)
def test_bad_schedules(changed, error, message):
  arguments = {'batch_size': 8, 'decay': 0.9, 'minimum': 4, 'every_steps': 1}
  with pytest.raises(error, match=message):
    top_k_schedule(**arguments | changed)
