import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.losses import (
  class_probabilities,
  conditional_entropy,
  gan_logits,
  non_saturating_discriminator_loss,
  real_probability,
  semi_supervised_discriminator_loss,
  supervised_loss,
  unlabelled_loss,
)
from tests.losses import oracle, replicas

EXTRA_CLASS = pytest.mark.parametrize('extra_class', [False, True])
OF_LOGITS = pytest.mark.parametrize(
  'function',
  [gan_logits, real_probability, class_probabilities, conditional_entropy],
)
SCALES = pytest.mark.parametrize('scale', [1.0, 30.0, 1e3, 1e4])
WRAP = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])
K = 3


def class_logits(scale, extra_class, *, seed=0, rows=4, dtype='float32'):
  """Draws rows; the first two have all their logits at -scale and scale."""
  rng = np.random.default_rng(seed)
  x = rng.uniform(-scale, scale, (rows, K + extra_class))
  x[:2] = [[-scale], [scale]]
  return jnp.asarray(x, dtype)


def test_gan_logits_by_hand():
  logits = jnp.log(jnp.array([[1.0, 2.0, 5.0], [0.5, 0.25, 0.25]]))
  np.testing.assert_allclose(gan_logits(logits), [np.log(8), 0], atol=2e-7)
  np.testing.assert_allclose(
    gan_logits(logits, extra_class=True), [np.log(3 / 5), np.log(3)], rtol=4e-7
  )


def test_probabilities_by_hand():
  logits = jnp.log(jnp.array([1.0, 2.0, 5.0]))
  np.testing.assert_allclose(real_probability(logits), 8 / 9, rtol=2e-7)
  np.testing.assert_allclose(
    real_probability(logits, extra_class=True), 3 / 8, rtol=2e-7
  )
  np.testing.assert_allclose(
    class_probabilities(logits), [1 / 8, 1 / 4, 5 / 8], rtol=4e-7
  )
  np.testing.assert_allclose(
    class_probabilities(logits, extra_class=True), [1 / 3, 2 / 3], rtol=4e-7
  )


def test_supervised_loss_by_hand():
  logits = jnp.log(jnp.array([[1.0, 3.0], [4.0, 1.0], [7.0, 9.0]]))
  labels, mask = jnp.array([1, 1, 0]), jnp.array([1.0, 1.0, 0.0])
  by_hand = -(np.log(3 / 4) + np.log(1 / 5)) / 2
  loss = supervised_loss(logits, labels, mask)
  assert loss.shape == ()
  np.testing.assert_allclose(loss, by_hand, rtol=4e-7)


def test_semi_supervised_loss_by_hand():
  real = jnp.log(jnp.array([[1.0, 3.0], [2.0, 2.0]]))
  fake = jnp.log(jnp.array([[0.5, 0.5], [1.0, 2.0]]))
  supervised, real_fake = semi_supervised_discriminator_loss(
    real, fake, jnp.array([1, -1]), jnp.array([1, 0]), label_smoothing=0.1
  )
  np.testing.assert_allclose(supervised, -np.log(3 / 4), rtol=4e-7)
  on_real = -0.9 * np.log(4 / 5) - 0.1 * np.log(1 / 5)
  on_fake = -(np.log(1 / 2) + np.log(1 / 4)) / 2
  np.testing.assert_allclose(real_fake, on_real + on_fake, rtol=4e-7)


def test_conditional_entropy_by_hand():
  logits = jnp.log(jnp.array([[2.0, 1.0, 1.0], [5.0, 5.0, 5.0]]))
  expected = [1.5 * np.log(2), np.log(3)]
  np.testing.assert_allclose(conditional_entropy(logits), expected, rtol=2e-7)
  np.testing.assert_allclose(
    conditional_entropy(logits, extra_class=True),
    [-(2 * np.log(2 / 3) + np.log(1 / 3)) / 3, np.log(2)],
    rtol=2e-7,
  )


def test_a_decided_classifier_has_no_entropy():
  logits = jnp.array([[1e4, -1e4, 0.0], [0.0, -1e4, 1e4]])
  entropy, pull_back = jax.vjp(conditional_entropy, logits)
  np.testing.assert_array_equal(entropy, [0, 0])
  assert not np.signbit(entropy).any()
  assert not pull_back(entropy + 1)[0].any()  # NaN would count


def test_a_class_of_probability_zero_has_no_part_in_the_entropy():
  logits = jnp.array([[0.5, -jnp.inf, -1.0], [-jnp.inf, 3.0, -jnp.inf]])
  entropy, pull_back = jax.vjp(conditional_entropy, logits)
  without, pull_back_without = jax.vjp(conditional_entropy, logits[:1, ::2])
  np.testing.assert_array_equal(entropy, [*without, 0.0])
  (gradient,), (expected,) = (
    pull_back(entropy + 1),
    pull_back_without(without + 1),
  )
  np.testing.assert_array_equal(gradient[0, ::2], expected[0])
  np.testing.assert_array_equal(gradient[0, 1], 0.0)
  np.testing.assert_array_equal(gradient[1], 0.0)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_the_fake_logit_does_not_move_the_entropy(dtype):
  with jax.enable_x64(True):
    logits = class_logits(3.0, True, dtype=dtype)
    _, pull_back = jax.vjp(
      lambda x: conditional_entropy(x, extra_class=True), logits
    )
    (gradient,) = pull_back(jnp.ones(4, dtype))
    assert not gradient[:, -1].any()
    assert gradient[2:, :-1].all()
    assert not gradient[:2].any()  # equal logits are the entropy's maximum


def test_unlabelled_loss_by_hand():
  real = jnp.log(jnp.array([[1.0, 3.0], [2.0, 2.0]]))
  fake = jnp.log(jnp.array([[0.5, 0.5], [1.0, 2.0]]))
  loss = unlabelled_loss(real, fake)
  assert loss.shape == ()
  on_real, on_fake = np.log(5 / 4), (np.log(2) + np.log(4)) / 2
  np.testing.assert_allclose(loss, (on_real + on_fake) / 2, rtol=4e-7)
  fake_class = jnp.log(jnp.array([[2.0], [2.0]]))
  loss = unlabelled_loss(
    jnp.concatenate([real, fake_class], axis=1),
    jnp.concatenate([fake, fake_class], axis=1),
    extra_class=True,
  )
  on_real, on_fake = np.log(3 / 2), (np.log(3 / 2) + np.log(5 / 2)) / 2
  np.testing.assert_allclose(loss, (on_real + on_fake) / 2, rtol=4e-7)


@EXTRA_CLASS
def test_unlabelled_loss_is_half_the_real_fake_term(extra_class):
  real, fake = (class_logits(3.0, extra_class, seed=seed) for seed in (0, 1))
  _, real_fake = semi_supervised_discriminator_loss(
    real, fake, jnp.zeros(4, int), jnp.ones(4), extra_class=extra_class
  )
  loss = unlabelled_loss(real, fake, extra_class=extra_class)
  np.testing.assert_array_equal(loss, real_fake / 2)
  many = unlabelled_loss(
    real.reshape(2, 2, -1), fake.reshape(2, 2, -1), extra_class=extra_class
  )
  np.testing.assert_allclose(many, loss, rtol=3e-7)


@EXTRA_CLASS
def test_unlabelled_gradient_is_finite_difference(extra_class):
  with jax.enable_x64(True):
    check_grads(
      lambda *args: unlabelled_loss(*args, extra_class=extra_class),
      tuple(
        class_logits(3.0, extra_class, seed=seed, dtype='float64')
        for seed in (0, 1)
      ),
      order=1,
      eps=1e-5,
      atol=1e-9,
      rtol=1e-9,
    )


@EXTRA_CLASS
def test_unlabelled_loss_of_extreme_logits_is_finite(extra_class):
  real, fake = (class_logits(1e4, extra_class, seed=seed) for seed in (0, 1))
  value, gradients = jax.value_and_grad(unlabelled_loss, (0, 1))(
    real, fake, extra_class=extra_class
  )
  assert np.isfinite(value)
  assert np.isfinite(gradients).all()


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_unlabelled_loss_keeps_the_dtype(dtype):
  with jax.enable_x64(True):
    logits = class_logits(3.0, False, dtype=dtype)
    value, gradient = jax.value_and_grad(unlabelled_loss)(logits, logits)
    assert value.dtype == gradient.dtype == dtype


def test_jit_and_vmap_do_not_change_the_unlabelled_loss():
  real, fake = (
    class_logits(3.0, False, seed=seed, rows=8).reshape(2, 4, -1)
    for seed in (0, 1)
  )
  expected = [unlabelled_loss(*pair) for pair in zip(real, fake, strict=True)]
  losses = jax.jit(jax.vmap(unlabelled_loss))(real, fake)
  np.testing.assert_allclose(losses, expected, rtol=1e-6)


@WRAP
@pytest.mark.parametrize(
  ('real', 'fake', 'error', 'message'),
  [
    (np.zeros((4, 3), 'f'), np.zeros((2, 3), 'f'), ValueError, 'same shape'),
    (np.zeros((4, 3), 'f'), np.zeros((4, 4), 'f'), ValueError, 'same shape'),
    (np.zeros((4, 1), 'f'), np.zeros((4, 1), 'f'), ValueError, 'two real cl'),
    (np.zeros((0, 3), 'f'), np.zeros((0, 3), 'f'), ValueError, 'real_class_lo'),
    (np.zeros((4, 3), 'i'), np.zeros((4, 3), 'f'), TypeError, 'real_class_lo'),
    (np.zeros((4, 3), 'f'), np.zeros((4, 3), 'i'), TypeError, 'fake_class_lo'),
  ],
)
def test_bad_unlabelled_arguments_fail_while_tracing(
  wrap, real, fake, error, message
):
  with pytest.raises(error, match=message):
    wrap(unlabelled_loss)(real, fake)


@replicas.MODES
@EXTRA_CLASS
def test_unlabelled_loss_of_two_devices_matches_one(mode, extra_class):
  rng = np.random.default_rng(0)
  x, z = jnp.asarray(rng.normal(size=(2, 6, 5)), 'float32')
  replicas.assert_two_devices_match_one(
    mode,
    lambda weight, x, z, axis_name: unlabelled_loss(
      x @ weight, z @ weight, extra_class=extra_class, axis_name=axis_name
    ),
    jnp.asarray(rng.normal(size=(5, K + extra_class)), 'float32'),
    x,
    z,
  )


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@SCALES
@EXTRA_CLASS
def test_functions_of_logits_match_oracle(extra_class, scale, dtype):
  def gan_logit(row):
    p_real, p_fake = oracle.real_and_fake(row, extra_class)
    return oracle.mp.log(p_real / p_fake)

  def p_real(row):
    return oracle.real_and_fake(row, extra_class)[0]

  def p_first(row):
    return oracle.class_given_real(row, 0, extra_class)

  def entropy(row):
    p = [oracle.class_given_real(row, k, extra_class) for k in range(K)]
    return -oracle.mp.fsum(x * oracle.mp.log(x) for x in p)

  with jax.enable_x64(True):
    logits = class_logits(scale, extra_class, dtype=dtype)
    kwargs = {'extra_class': extra_class}
    for function, expected in (
      (lambda x: gan_logits(x, **kwargs), gan_logit),
      (lambda x: real_probability(x, **kwargs), p_real),
      (lambda x: class_probabilities(x, **kwargs)[..., 0], p_first),
      (lambda x: conditional_entropy(x, **kwargs), entropy),
    ):
      oracle.assert_close(
        function(logits), oracle.evaluate(expected, logits), logits
      )
      gradient = jax.grad(lambda x, f=function: f(x).sum())(logits)
      oracle.assert_close(gradient, oracle.gradient(expected, logits), logits)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@SCALES
@EXTRA_CLASS
def test_supervised_loss_matches_oracle(extra_class, scale, dtype):
  labels, mask = np.array([0, 2, 1, 0]), np.array([1, 0, 1, 1])
  with jax.enable_x64(True):
    logits = class_logits(scale, extra_class, dtype=dtype)
    loss, gradient = jax.value_and_grad(supervised_loss)(
      logits, labels, mask, extra_class=extra_class
    )
  value, expected = 0.0, np.zeros(logits.shape)
  for i in np.flatnonzero(mask):

    def of_row(row, label=labels[i]):
      return -oracle.mp.log(oracle.class_given_real(row, label, extra_class))

    row = logits[i : i + 1]
    value += oracle.evaluate(of_row, row)[0] / mask.sum()
    expected[i] = oracle.gradient(of_row, row)[0] / mask.sum()
  oracle.assert_close(loss, np.array(value), logits)
  oracle.assert_close(gradient, expected, logits)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@SCALES
@EXTRA_CLASS
def test_real_fake_loss_matches_oracle(extra_class, scale, smoothing, dtype):
  with jax.enable_x64(True):
    real, fake = (
      class_logits(scale, extra_class, seed=seed, dtype=dtype)
      for seed in (0, 1)
    )

    def real_fake_loss(real, fake):
      return semi_supervised_discriminator_loss(
        real,
        fake,
        np.zeros(len(real), int),
        np.zeros(len(real)),
        label_smoothing=smoothing,
        extra_class=extra_class,
      )[1]

    loss, gradients = jax.value_and_grad(real_fake_loss, (0, 1))(real, fake)

  def on_real(row):
    p = oracle.real_and_fake(row, extra_class)
    return oracle.called_real(*p, smoothing)

  def on_fake(row):
    return oracle.called_real(*oracle.real_and_fake(row, extra_class), 1.0)

  value = oracle.evaluate(on_real, real) + oracle.evaluate(on_fake, fake)
  oracle.assert_close(loss, value.mean(), [real, fake])
  for part, x, gradient in zip(
    (on_real, on_fake), (real, fake), gradients, strict=True
  ):
    expected = oracle.gradient(part, x) / len(x)
    oracle.assert_close(gradient, expected, x)


@EXTRA_CLASS
def test_gradients_are_finite_differences(extra_class):
  with jax.enable_x64(True):
    real, fake = (
      class_logits(3.0, extra_class, seed=seed, dtype='float64')
      for seed in (0, 1)
    )
    check_grads(
      lambda real, fake: semi_supervised_discriminator_loss(
        real,
        fake,
        jnp.array([0, 1, 2, -1]),
        jnp.array([1, 1, 1, 0]),
        label_smoothing=0.1,
        extra_class=extra_class,
      ),
      (real, fake),
      order=1,
      eps=1e-5,
      atol=1e-8,
      rtol=1e-8,
    )


def test_parameterisations_agree_when_the_fake_logit_is_zero():
  implicit = class_logits(5.0, False)
  explicit = jnp.pad(implicit, [(0, 0), (0, 1)])
  other = class_logits(5.0, False, seed=1)
  labels, mask = jnp.array([0, 1, 2, 0]), jnp.array([1, 1, 0, 1])
  for function in (gan_logits, real_probability, class_probabilities):
    np.testing.assert_array_equal(
      function(implicit), function(explicit, extra_class=True)
    )
  np.testing.assert_array_equal(
    semi_supervised_discriminator_loss(implicit, other, labels, mask),
    semi_supervised_discriminator_loss(
      explicit,
      jnp.pad(other, [(0, 0), (0, 1)]),
      labels,
      mask,
      extra_class=True,
    ),
  )


def test_shifting_all_logits_changes_nothing():
  with jax.enable_x64(True):
    real, fake = (
      class_logits(5.0, True, seed=seed, dtype='float64') for seed in (0, 1)
    )
    labels, mask = jnp.array([0, 1, 2, 0]), jnp.array([1, 1, 0, 1])

    def everything(real, fake):
      return (
        gan_logits(real, extra_class=True),
        class_probabilities(real, extra_class=True),
        *semi_supervised_discriminator_loss(
          real, fake, labels, mask, extra_class=True
        ),
      )

    before = everything(real, fake)
    after = everything(real + 100.0, fake - 50.0)
  for x, y in zip(before, after, strict=True):
    np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)


def test_class_probabilities_sum_to_one_without_the_fake_class():
  p = class_probabilities(class_logits(5.0, True), extra_class=True)
  assert p.shape == (4, K)
  np.testing.assert_allclose(p.sum(-1), np.ones(4), rtol=3e-7)


@EXTRA_CLASS
@pytest.mark.parametrize('junk', [-1, 999, 2, -(2**31)])
def test_unlabelled_rows_hold_any_label(junk, extra_class):
  logits = class_logits(5.0, extra_class)
  mask = jnp.array([1.0, 0.0, 1.0, 0.0])

  def loss_and_gradient(labels):
    return jax.value_and_grad(supervised_loss)(
      logits, labels, mask, extra_class=extra_class
    )

  expected, expected_gradient = loss_and_gradient(jnp.array([0, 0, 1, 0]))
  loss, gradient = loss_and_gradient(jnp.array([0, junk, 1, junk]))
  assert loss == expected
  np.testing.assert_array_equal(gradient, expected_gradient)
  assert not gradient[mask == 0].any()
  assert gradient[mask == 1].any(axis=1).all()


def test_unlabelled_rows_may_be_as_large_as_can_be():
  logits = jnp.array([[1.0, 2.0], [3e38, -3e38], [3e38, 3e38]])
  loss, gradient = jax.value_and_grad(supervised_loss)(
    logits, jnp.array([0, 1, 1]), jnp.array([1, 0, 0])
  )
  np.testing.assert_allclose(loss, np.log1p(np.e), rtol=4e-7)
  p = 1 / (1 + np.exp(-1.0))
  np.testing.assert_allclose(gradient, [[-p, p], [0, 0], [0, 0]], rtol=4e-7)


@EXTRA_CLASS
@pytest.mark.parametrize('junk', [np.inf, -np.inf, np.nan])
def test_unlabelled_rows_contribute_nothing_whatever_they_hold(
  junk, extra_class
):
  labels, mask = jnp.array([0, 1, 1, 0]), jnp.array([1.0, 0.0, 1.0, 0.0])

  def loss_and_gradient(logits):
    return jax.value_and_grad(supervised_loss)(
      logits, labels, mask, extra_class=extra_class
    )

  logits = class_logits(5.0, extra_class)
  expected, expected_gradient = loss_and_gradient(logits)
  loss, gradient = loss_and_gradient(logits.at[1].set(junk).at[3, 0].set(junk))
  assert loss == expected
  np.testing.assert_array_equal(gradient, expected_gradient)
  assert not gradient[1::2].any()


@EXTRA_CLASS
def test_no_labelled_row_gives_zero(extra_class):
  loss, gradient = jax.value_and_grad(supervised_loss)(
    class_logits(1e4, extra_class),
    jnp.full(4, -1),
    jnp.zeros(4),
    extra_class=extra_class,
  )
  assert loss == 0.0
  assert not gradient.any()  # NaN would count


@pytest.mark.parametrize('dtype', ['bool', 'int32', 'float32'])
def test_mask_of_any_dtype(dtype):
  logits, labels = class_logits(5.0, False), jnp.array([0, 1, 2, 0])
  mask = jnp.array([1, 0, 1, 1])
  expected = supervised_loss(logits, labels, mask)
  assert supervised_loss(logits, labels, mask.astype(dtype)) == expected


@EXTRA_CLASS
def test_extreme_logits_are_finite(extra_class):
  def loss(real, fake):
    supervised, real_fake = semi_supervised_discriminator_loss(
      real,
      fake,
      jnp.array([0, 1] * 4),
      jnp.ones(8),
      label_smoothing=0.1,
      extra_class=extra_class,
    )
    return supervised + real_fake

  columns = K + extra_class
  corners = np.indices((2,) * columns).reshape(columns, -1).T * 2e4 - 1e4
  real = jnp.asarray(corners[:8], 'float32')
  fake = jnp.asarray(corners[-8:], 'float32')
  value, gradients = jax.value_and_grad(loss, (0, 1))(real, fake)
  assert np.isfinite(value)
  assert np.isfinite(gradients).all()


@OF_LOGITS
@EXTRA_CLASS
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_functions_of_logits_keep_the_dtype(function, extra_class, dtype):
  with jax.enable_x64(True):
    logits = class_logits(3.0, extra_class, dtype=dtype)
    gradient = jax.grad(lambda x: function(x, extra_class=extra_class).sum())
    assert function(logits, extra_class=extra_class).dtype == dtype
    assert gradient(logits).dtype == dtype


@EXTRA_CLASS
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float64'])
def test_losses_keep_the_dtype(extra_class, dtype):
  with jax.enable_x64(True):
    logits = class_logits(3.0, extra_class, dtype=dtype)

    def losses(logits):
      terms = semi_supervised_discriminator_loss(
        logits,
        logits,
        jnp.array([0, 1, 2, 0]),
        jnp.ones(4),
        label_smoothing=0.1,
        extra_class=extra_class,
      )
      return sum(terms), terms

    (_, terms), gradient = jax.value_and_grad(losses, has_aux=True)(logits)
    assert {x.dtype.name for x in (*terms, gradient)} == {dtype}


@EXTRA_CLASS
@pytest.mark.parametrize(
  'function',
  [
    gan_logits,
    class_probabilities,
    conditional_entropy,
    lambda x, **kwargs: supervised_loss(
      x, jnp.arange(16) % K, jnp.ones(16), **kwargs
    ),
    lambda x, **kwargs: unlabelled_loss(x, x / 4, **kwargs),
  ],
)
def test_bfloat16_is_computed_in_float32(function, extra_class):
  narrow = class_logits(9.0, extra_class, rows=16, dtype='bfloat16')
  wide = function(narrow.astype('float32'), extra_class=extra_class)
  np.testing.assert_array_equal(
    function(narrow, extra_class=extra_class), wide.astype('bfloat16')
  )


@OF_LOGITS
@EXTRA_CLASS
@pytest.mark.parametrize('shape', [(), (1,), (2, 3)])
def test_functions_of_logits_keep_leading_shape(function, extra_class, shape):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(*shape, K + extra_class)).astype(np.float32)
  last = (K,) if function is class_probabilities else ()
  result = function(logits, extra_class=extra_class)
  assert result.shape == (*shape, *last)
  flat = function(
    logits.reshape(-1, K + extra_class), extra_class=extra_class
  ).reshape(result.shape)
  np.testing.assert_allclose(result, flat, rtol=1e-6, atol=1e-7)


@EXTRA_CLASS
def test_jit_and_vmap_change_nothing(extra_class):
  real, fake = (
    class_logits(3.0, extra_class, seed=seed, rows=8).reshape(2, 4, -1)
    for seed in (0, 1)
  )
  labels = jnp.array([[0, 1, 2, 0], [1, -1, -1, 2]])
  mask = jnp.array([[1, 1, 1, 1], [1, 0, 0, 1]])

  def loss(*args):
    return jnp.stack(
      semi_supervised_discriminator_loss(*args, extra_class=extra_class)
    )

  batches = real, fake, labels, mask
  expected = [loss(*batch) for batch in zip(*batches, strict=True)]
  for transformed in (jax.vmap(loss), jax.jit(jax.vmap(loss))):
    np.testing.assert_allclose(transformed(*batches), expected, rtol=1e-6)


def test_second_term_is_the_adversarial_loss_on_gan_logits():
  real, fake = (class_logits(3.0, False, seed=seed) for seed in (0, 1))
  _, real_fake = semi_supervised_discriminator_loss(
    real, fake, jnp.zeros(4, int), jnp.ones(4), label_smoothing=0.2
  )
  expected = non_saturating_discriminator_loss(
    gan_logits(real), gan_logits(fake), label_smoothing=0.2
  ).mean()
  np.testing.assert_allclose(real_fake, expected, rtol=3e-7)


@WRAP
@OF_LOGITS
@pytest.mark.parametrize(
  ('logits', 'extra_class', 'error', 'message'),
  [
    (np.zeros((4, 1), 'f'), False, ValueError, 'at least two real classes'),
    (np.zeros((4, 2), 'f'), True, ValueError, 'and the fake one'),
    (np.float32(0.0), False, ValueError, 'at least two real classes'),
    (np.zeros((0, 3), 'f'), False, ValueError, r'not be empty.*\(0, 3\)'),
    (np.zeros((4, 3), 'i'), False, TypeError, 'class_logits .* int32'),
  ],
)
def test_bad_logits_fail_while_tracing(
  wrap, function, logits, extra_class, error, message
):
  with pytest.raises(error, match=message):
    wrap(lambda x: function(x, extra_class=extra_class))(logits)


@WRAP
@pytest.mark.parametrize(
  ('logits', 'labels', 'mask', 'error', 'message'),
  [
    ((4, 3), np.zeros(4, 'f'), np.ones(4), TypeError, 'labels .* float32'),
    ((4, 3), np.zeros((4, 1), 'i'), np.ones(4), ValueError, r'\(4, 1\)'),
    ((4, 3), np.zeros(4, 'i'), np.ones((4, 1), 'f'), ValueError, r'\(4, 1\)'),
    ((4, 3), np.zeros(1, 'i'), np.ones(4), ValueError, r'labels \[B\]'),
    ((4, 3), np.zeros(4, 'i'), np.ones(1, 'f'), ValueError, r'labels \[B\]'),
    ((3,), np.zeros((), 'i'), np.ones(()), ValueError, r'\[B, K\]'),
    ((2, 4, 3), np.zeros(2, 'i'), np.ones(2), ValueError, r'\[B, K\]'),
    ((4, 1), np.zeros(4, 'i'), np.ones(4), ValueError, 'two real classes'),
    ((0, 3), np.zeros(0, 'i'), np.ones(0), ValueError, 'empty'),
  ],
)
def test_bad_supervised_arguments_fail_while_tracing(
  wrap, logits, labels, mask, error, message
):
  with pytest.raises(error, match=message):
    wrap(supervised_loss)(
      jnp.zeros(logits), labels, np.asarray(mask, 'float32')
    )


@WRAP
@pytest.mark.parametrize(
  ('fake_shape', 'smoothing', 'message'),
  [
    ((4, 3), -0.1, 'label_smoothing .* -0.1'),
    ((4, 3), 0.5, 'label_smoothing .* 0.5'),
    ((4, 3), float('nan'), 'label_smoothing .* nan'),
    ((2, 3), 0.0, 'same shape'),
    ((4, 4), 0.0, 'same shape'),
    ((0, 3), 0.0, 'same shape'),
  ],
)
def test_bad_semi_supervised_arguments_fail_while_tracing(
  wrap, fake_shape, smoothing, message
):
  def loss(real, fake):
    return semi_supervised_discriminator_loss(
      real,
      fake,
      jnp.zeros(4, int),
      jnp.ones(4),
      label_smoothing=smoothing,
    )

  with pytest.raises(ValueError, match=message):
    wrap(loss)(jnp.zeros((4, 3)), jnp.zeros(fake_shape))


@EXTRA_CLASS
@pytest.mark.parametrize(
  'mask', [[1, 1, 1, 0, 0, 1], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]
)
def test_two_devices_with_uneven_labels_match_one(mask, extra_class):
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(6, 5)), 'float32')
  weight = jnp.asarray(rng.normal(size=(5, K + extra_class)), 'float32')
  labels = jnp.where(jnp.array(mask) == 1, jnp.arange(6) % K, -1)

  def loss(weight, x, labels, mask, axis_name=None):
    return supervised_loss(
      x @ weight,
      labels,
      mask,
      extra_class=extra_class,
      axis_name=axis_name,
    )

  def replica(weight, *rows):
    value, gradient = jax.value_and_grad(loss)(weight, *rows, 'batch')
    return value, jax.lax.pmean(gradient, 'batch')

  rows = x, labels, jnp.array(mask, 'float32')
  expected = jax.value_and_grad(loss)(weight, *rows)
  values, gradients = jax.pmap(
    replica,
    axis_name='batch',
    in_axes=(None, 0, 0, 0),
    devices=jax.devices()[:2],
  )(weight, *(r.reshape(2, 3, *r.shape[1:]) for r in rows))
  for device in range(2):
    np.testing.assert_allclose(values[device], expected[0], rtol=1e-6)
    np.testing.assert_allclose(
      gradients[device], expected[1], rtol=1e-6, atol=1e-7
    )


def test_axis_name_reaches_the_supervised_term():
  rng = np.random.default_rng(0)
  real, fake = jnp.asarray(rng.normal(size=(2, 6, K)), 'float32')
  labels, mask = jnp.arange(6) % K, jnp.array([1, 1, 1, 0, 1, 0])

  def replica(*rows):
    return semi_supervised_discriminator_loss(*rows, axis_name='batch')

  expected = semi_supervised_discriminator_loss(real, fake, labels, mask)
  supervised, real_fake = jax.pmap(
    replica, axis_name='batch', devices=jax.devices()[:2]
  )(*(r.reshape(2, 3, *r.shape[1:]) for r in (real, fake, labels, mask)))
  np.testing.assert_allclose(supervised, [expected[0]] * 2, rtol=1e-6)
  np.testing.assert_allclose(real_fake.mean(), expected[1], rtol=1e-6)


@pytest.mark.parametrize('label', [-1, K, 999])
def test_a_labelled_row_with_an_impossible_label_is_nan(label):
  logits = class_logits(1.0, False)
  labels, mask = jnp.array([0, label, 1, 2]), jnp.array([1, 1, 0, 1])
  assert np.isnan(supervised_loss(logits, labels, mask))
  assert np.isfinite(supervised_loss(logits, labels, mask.at[1].set(0)))


def test_bfloat16_probabilities_are_rounded_once():
  logits = class_logits(4.0, False, rows=200, dtype='bfloat16')
  once = real_probability(logits.astype('float32')).astype('bfloat16')
  np.testing.assert_array_equal(real_probability(logits), once)
