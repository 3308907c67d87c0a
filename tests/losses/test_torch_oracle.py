"""PyTorch, in float64, is a second oracle where it has the same loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import losses, penalties

try:
  import torch
except ImportError:
  pytest.skip('torch is not installed', allow_module_level=True)

from torch.nn import functional

# Both compute in float64, whose eps is 2e-16, but in a different order.
TOLERANCE = {'rtol': 1e-12, 'atol': 1e-13}


def bce(logits, target):
  return functional.binary_cross_entropy_with_logits(
    logits, torch.full_like(logits, target), reduction='none'
  )


def mse(x, target):
  return functional.mse_loss(x, torch.full_like(x, target), reduction='none')


def real_logits(x, extra_class):
  """Returns the logits of the real classes, and that of P(real)."""
  if extra_class:
    return x[..., :-1], torch.logsumexp(x[..., :-1], -1) - x[..., -1]
  return x, torch.logsumexp(x, -1)


def cross_entropy(x, extra_class):
  classes, _ = real_logits(x, extra_class)
  return functional.cross_entropy(
    classes, torch.as_tensor(np.where(MASK, LABELS, -100)), ignore_index=-100
  )


def real_fake(x, z, smoothing, extra_class):
  on_data = bce(real_logits(x, extra_class)[1], 1 - smoothing)
  return on_data.mean() + bce(real_logits(z, extra_class)[1], 0.0).mean()


LABELS = np.array([0, 2, -1, 1])
MASK = np.array([1, 1, 0, 1])

# PyTorch's losses of (real, fake) or (output, target), by our names.
OF_PAIRS = {
  'minimax_discriminator_loss': lambda x, z: bce(x, 1.0) + bce(z, 0.0),
  'minimax_generator_loss': lambda x, z: -bce(z, 0.0),
  'non_saturating_discriminator_loss': lambda x, z: bce(x, 1.0) + bce(z, 0.0),
  'non_saturating_generator_loss': lambda x, z: bce(z, 1.0),
  'least_squares_discriminator_loss': lambda x, z: (
    (mse(x, 1.0) + mse(z, 0.0)) / 2
  ),
  'least_squares_generator_loss': lambda x, z: mse(z, 1.0) / 2,
  'hinge_discriminator_loss': lambda x, z: (
    functional.relu(1 - x) + functional.relu(1 + z)
  ),
  'hinge_generator_loss': lambda x, z: -z,
  'wasserstein_discriminator_loss': lambda x, z: z - x,
  'wasserstein_generator_loss': lambda x, z: -z,
  'relativistic_discriminator_loss': lambda x, z: bce(x - z, 1.0),
  'relativistic_generator_loss': lambda x, z: bce(z - x, 1.0),
  'relativistic_average_discriminator_loss': lambda x, z: (
    bce(x - z.mean(), 1.0) + bce(z - x.mean(), 0.0)
  ),
  'relativistic_average_generator_loss': lambda x, z: (
    bce(x - z.mean(), 0.0) + bce(z - x.mean(), 1.0)
  ),
  'l1_loss': lambda x, z: functional.l1_loss(x, z, reduction='none'),
  'feature_matching_loss': lambda x, z: functional.l1_loss(
    x.mean(0), z.mean(0)
  ),
}
SMOOTHED = ('minimax_discriminator_loss', 'non_saturating_discriminator_loss')

# PyTorch's functions of class logits, by our names.
OF_CLASSES = {
  'gan_logits': lambda x, extra: real_logits(x, extra)[1],
  'real_probability': lambda x, extra: torch.sigmoid(real_logits(x, extra)[1]),
  'class_probabilities': lambda x, extra: torch.softmax(
    real_logits(x, extra)[0], -1
  ),
  'conditional_entropy': lambda x, extra: torch.distributions.Categorical(
    logits=real_logits(x, extra)[0]
  ).entropy(),
}
EXTRA_CLASS = pytest.mark.parametrize('extra_class', [False, True])


def arrays(*shapes, scale=3.0, seed=0):
  rng = np.random.default_rng(seed)
  return [rng.normal(0, scale, shape) for shape in shapes]


def assert_same(ours, theirs, inputs):
  """Compares values, and gradients of a sum with unequal weights."""
  tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
  expected = theirs(*tensors)
  weight = np.linspace(0.5, 1.5, expected.numel()).reshape(expected.shape)
  expected_gradients = torch.autograd.grad(
    (torch.as_tensor(weight) * expected).sum(), tensors, materialize_grads=True
  )
  with jax.enable_x64(True):
    value, pull_back = jax.vjp(ours, *map(jnp.asarray, inputs))
    gradients = pull_back(jnp.asarray(weight))
  assert value.dtype == 'float64'
  np.testing.assert_allclose(value, expected.detach().numpy(), **TOLERANCE)
  for gradient, by_torch in zip(gradients, expected_gradients, strict=True):
    np.testing.assert_allclose(gradient, by_torch.numpy(), **TOLERANCE)


@pytest.mark.parametrize('scale', [3.0, 300.0])
@pytest.mark.parametrize('name', OF_PAIRS)
def test_losses_of_pairs(name, scale):
  inputs = arrays((4, 3), (4, 3), scale=scale)
  assert_same(getattr(losses, name), OF_PAIRS[name], inputs)


@pytest.mark.parametrize('name', SMOOTHED)
def test_label_smoothing_is_another_target(name):
  assert_same(
    lambda x, z: getattr(losses, name)(x, z, label_smoothing=0.1),
    lambda x, z: bce(x, 0.9) + bce(z, 0.0),
    arrays((4, 3), (4, 3)),
  )


def test_squared_feature_matching():
  assert_same(
    lambda x, z: losses.feature_matching_loss(x, z, squared=True),
    lambda x, z: functional.mse_loss(x.mean(0), z.mean(0)),
    arrays((4, 2, 3), (3, 2, 3)),
  )


@pytest.mark.parametrize('name', ['cycle_consistency_loss', 'identity_loss'])
def test_losses_of_two_domains(name):
  assert_same(
    getattr(losses, name),
    lambda a, other_a, b, other_b: (
      functional.l1_loss(other_a, a) + functional.l1_loss(other_b, b)
    ),
    arrays((4, 3), (4, 3), (2, 5), (2, 5)),
  )


def test_pull_away_loss():
  def by_torch(x):
    cosines = functional.cosine_similarity(x[:, None], x[None], dim=-1)
    off_diagonal = ~torch.eye(len(x), dtype=bool)
    return (cosines[off_diagonal] ** 2).mean()

  assert_same(losses.pull_away_loss, by_torch, arrays((4, 3)))


def test_patch_nce_loss():
  """Follows the authors' code: the positive first, the diagonal at -10."""

  def by_torch(q, k):
    k = k.detach()
    positive = (q * k).sum(-1, keepdim=True)
    negative = torch.bmm(q, k.transpose(1, 2))
    diagonal = torch.eye(q.shape[1], dtype=torch.bool)[None]
    negative = negative.masked_fill(diagonal, -10.0)
    logits = torch.cat([positive, negative], -1).flatten(0, 1) / 0.07
    target = torch.zeros(len(logits), dtype=torch.long)
    loss = functional.cross_entropy(logits, target, reduction='none')
    return loss.reshape(q.shape[:2])

  rows = arrays((2, 5, 4), (2, 5, 4))
  unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in rows]
  assert_same(losses.patch_nce_loss, by_torch, unit)


@pytest.mark.parametrize('scale', [3.0, 300.0])
@EXTRA_CLASS
@pytest.mark.parametrize('name', OF_CLASSES)
def test_functions_of_class_logits(name, extra_class, scale):
  assert_same(
    lambda x: getattr(losses, name)(x, extra_class=extra_class),
    lambda x: OF_CLASSES[name](x, extra_class),
    arrays((2, 2, 3 + extra_class), scale=scale),
  )


@EXTRA_CLASS
def test_supervised_loss_ignores_the_unlabelled(extra_class):
  assert_same(
    lambda x: losses.supervised_loss(x, LABELS, MASK, extra_class=extra_class),
    lambda x: cross_entropy(x, extra_class),
    arrays((4, 3 + extra_class)),
  )


@EXTRA_CLASS
def test_semi_supervised_discriminator_loss(extra_class):
  assert_same(
    lambda x, z: jnp.stack(
      losses.semi_supervised_discriminator_loss(
        x, z, LABELS, MASK, label_smoothing=0.1, extra_class=extra_class
      )
    ),
    lambda x, z: torch.stack(
      [cross_entropy(x, extra_class), real_fake(x, z, 0.1, extra_class)]
    ),
    arrays((4, 3 + extra_class), (4, 3 + extra_class)),
  )


@EXTRA_CLASS
def test_unlabelled_loss(extra_class):
  assert_same(
    lambda x, z: losses.unlabelled_loss(x, z, extra_class=extra_class),
    lambda x, z: real_fake(x, z, 0.0, extra_class) / 2,
    arrays((4, 3 + extra_class), (4, 3 + extra_class)),
  )


def test_top_k_mean():
  scores = np.array([0.5, 2.0, -1.0, 1.0])

  def by_torch(x):
    best = torch.topk(torch.as_tensor(scores), 2).indices
    return x[best].mean()

  assert_same(
    lambda x: losses.top_k_mean(x, jnp.asarray(scores), 2),
    by_torch,
    arrays((4, 3)),
  )


def slope(weights, x):
  """Returns a two-layer critic's input gradient, itself differentiable."""
  first, last = weights
  logits = torch.tanh(x @ first) @ last
  return torch.autograd.grad(logits.sum(), x, create_graph=True)[0]


def half_square(weights, x):
  return (slope(weights, x) ** 2).sum(1) / 2


def between(weights, x, z, epsilon, target):
  at = epsilon[:, None] * x + (1 - epsilon[:, None]) * z
  return (slope(weights, at).norm(dim=1) - target) ** 2


PENALTIES = {
  'r1': (
    lambda d_fn, x, z, epsilon: penalties.r1_penalty(d_fn, x),
    lambda weights, x, z, epsilon: half_square(weights, x),
  ),
  'r2': (
    lambda d_fn, x, z, epsilon: penalties.r2_penalty(d_fn, z),
    lambda weights, x, z, epsilon: half_square(weights, z),
  ),
  'gradient penalty': (
    penalties.gradient_penalty,
    lambda weights, x, z, epsilon: between(weights, x, z, epsilon, 1.0),
  ),
  'gradient penalty to 0': (
    lambda *args: penalties.gradient_penalty(*args, target=0.0),
    lambda weights, x, z, epsilon: between(weights, x, z, epsilon, 0.0),
  ),
}


@pytest.mark.parametrize('name', PENALTIES)
def test_penalties_and_their_gradients_for_the_parameters(name):
  ours, theirs = PENALTIES[name]
  first, last, x, z = arrays((3, 5), (5, 1), (4, 3), (4, 3), scale=0.7)
  epsilon = np.array([0.0, 0.3, 0.6, 1.0])
  assert_same(
    lambda first, last, x, z: ours(
      lambda x: jnp.tanh(x @ first) @ last, x, z, jnp.asarray(epsilon)
    ),
    lambda first, last, x, z: theirs(
      (first, last), x, z, torch.as_tensor(epsilon)
    ),
    [first, last, x, z],
  )
