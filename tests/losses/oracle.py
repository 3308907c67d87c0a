"""Oracles: the losses as logs of probabilities, computed with 60 digits.

Nothing here avoids overflow or cancellation: the precision suffices for both.
Gradients are numerical derivatives at the same precision.
"""

import functools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import mpmath as mp
import numpy as np

mp.mp.dps = 60

# The number of roundings, each of size eps, that a result may show.
ROUNDINGS = 4

Row = Sequence[mp.mpf]


def softmax(logits: Row) -> list[mp.mpf]:
  weights = [mp.exp(logit) for logit in logits]
  return [weight / mp.fsum(weights) for weight in weights]


def real_and_fake(logits: Row, extra_class: bool) -> tuple[mp.mpf, mp.mpf]:
  """Computes P(real | x) and P(fake | x)."""
  p = softmax(logits if extra_class else [*logits, 0])
  return mp.fsum(p[:-1]), p[-1]


def class_given_real(logits: Row, label: int, extra_class: bool) -> mp.mpf:
  p = softmax(logits if extra_class else [*logits, 0])
  return p[label] / mp.fsum(p[:-1])


def called_real(p_real: mp.mpf, p_fake: mp.mpf, smoothing: float) -> mp.mpf:
  """Computes the cross-entropy with the target 1 - smoothing for "real"."""
  target = 1 - mp.mpf(smoothing)
  return -target * mp.log(p_real) - (1 - target) * mp.log(p_fake)


def called(logit: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
  """Computes P(real | x) and P(fake | x) from one logit."""
  return real_and_fake([logit], extra_class=False)


def cross_entropy(row: Row, smoothing: float = 0.0) -> mp.mpf:
  """Computes the loss of (D(x), D(G(z))), as do all functions that follow."""
  real, fake = row
  on_real = called_real(*called(real), smoothing)
  return on_real + called_real(*called(fake), 1.0)


def minimax_generator(row: Row) -> mp.mpf:
  return mp.log(called(row[1])[1])


def non_saturating_generator(row: Row) -> mp.mpf:
  return -mp.log(called(row[1])[0])


def least_squares_discriminator(row: Row) -> mp.mpf:
  real, fake = row
  return ((real - 1) ** 2 + (fake - 0) ** 2) / 2


def least_squares_generator(row: Row) -> mp.mpf:
  return (row[1] - 1) ** 2 / 2


def hinge_discriminator(row: Row) -> mp.mpf:
  real, fake = row
  return -min(0, -1 + real) - min(0, -1 - fake)


def critic(row: Row) -> mp.mpf:
  real, fake = row
  return fake - real


def minus_score(row: Row) -> mp.mpf:
  return -row[1]


def relativistic_discriminator(row: Row) -> mp.mpf:
  """Computes -log softmax over the two logits, not from their difference."""
  return -mp.log(softmax(row)[0])


def relativistic_generator(row: Row) -> mp.mpf:
  return -mp.log(softmax(row)[1])


def relativistic_average(
  real: Row, fake: Row, discriminator: bool
) -> list[mp.mpf]:
  """Computes a batch's losses from P(more realistic than the average other)."""
  real_mean = mp.fsum(real) / len(real)
  fake_mean = mp.fsum(fake) / len(fake)
  losses = []
  for x, z in zip(real, fake, strict=True):
    real_wins, real_loses = softmax([x, fake_mean])
    fake_wins, fake_loses = softmax([z, real_mean])
    if discriminator:
      losses.append(-mp.log(real_wins) - mp.log(fake_loses))
    else:
      losses.append(-mp.log(real_loses) - mp.log(fake_wins))
  return losses


def evaluate(loss: Callable[[Row], mp.mpf], rows: np.ndarray) -> np.ndarray:
  """Computes `loss` for each row of `rows` [B, K], as float64 [B]."""
  rows = [[mp.mpf(float(logit)) for logit in row] for row in rows]
  return np.array([float(loss(row)) for row in rows])


def gradient(loss: Callable[[Row], mp.mpf], rows: np.ndarray) -> np.ndarray:
  """Differentiates `loss` at each row of `rows`, as float64 [B, K]."""

  def derivative(row, k):
    at = [mp.mpf(float(logit)) for logit in row]
    return mp.diff(lambda x: loss([*at[:k], x, *at[k + 1 :]]), at[k])

  return np.array(
    [[float(derivative(row, k)) for k in range(len(row))] for row in rows]
  )


def assert_close(actual, expected: np.ndarray, logits: np.ndarray) -> None:
  """Asserts |error| <= ROUNDINGS * eps * max(|result|, |largest logit|, tiny).

  The logit is in the bound because it is itself only known to eps times its
  size: no method could do better.
  """
  info = jnp.finfo(actual.dtype)
  eps = float(info.eps)
  largest = np.abs(np.asarray(logits, np.float64)).max()
  scale = np.maximum(np.abs(expected), max(largest, float(info.tiny)))
  error = np.abs(np.asarray(actual, np.float64) - expected)
  assert actual.shape == expected.shape
  assert (error <= ROUNDINGS * eps * scale).all(), error / eps / scale


# The following functions take whole batches, as NumPy arrays of mpf, and return
# the elements of the result in order.


def exact(x) -> np.ndarray:
  """Converts `x` to mpf exactly: bfloat16 to float64 fit in a Python float."""
  flat = np.asarray(x, np.float64).ravel()
  numbers = np.empty(flat.size, object)
  numbers[:] = [mp.mpf(float(number)) for number in flat]
  return numbers.reshape(np.shape(x))


def derivatives(
  loss: Callable[..., mp.mpf], inputs: Sequence[np.ndarray]
) -> list[np.ndarray]:
  """Differentiates `loss` by each element of its inputs.

  Central differences with steps of 1e-20 are wrong by 1e-40 times the third
  derivative, and by as much times the loss, which has 60 digits.
  """
  step = mp.mpf(10) ** -20
  inputs = [x.copy() for x in inputs]
  gradients = []
  for x in inputs:
    gradient = np.empty(x.shape, object)
    for index in np.ndindex(x.shape):
      at = x[index]
      x[index] = at + step
      above = loss(*inputs)
      x[index] = at - step
      gradient[index] = (above - loss(*inputs)) / (2 * step)
      x[index] = at
    gradients.append(gradient)
  return gradients


def each(loss: Callable[[Row], mp.mpf]) -> Callable[..., list[mp.mpf]]:
  """Maps `loss` of (D(x), D(G(z))) over the elements of the two arrays."""
  # A derivative moves one element, so the losses of the others can be cached.
  loss = functools.lru_cache(maxsize=64)(loss)
  return lambda real, fake: [
    loss(row) for row in zip(real.flat, fake.flat, strict=True)
  ]


def rows(x: np.ndarray) -> list[Row]:
  return list(x.reshape(-1, x.shape[-1]))


def mean(numbers: Sequence[mp.mpf]) -> mp.mpf:
  return mp.fsum(numbers) / len(numbers)


def gan_logits(x: np.ndarray, extra_class: bool) -> list[mp.mpf]:
  p = [real_and_fake(row, extra_class) for row in rows(x)]
  return [mp.log(p_real / p_fake) for p_real, p_fake in p]


def real_probability(x: np.ndarray, extra_class: bool) -> list[mp.mpf]:
  return [real_and_fake(row, extra_class)[0] for row in rows(x)]


def class_probabilities(x: np.ndarray, extra_class: bool) -> list[mp.mpf]:
  return [
    class_given_real(row, label, extra_class)
    for row in rows(x)
    for label in range(len(row) - extra_class)
  ]


def conditional_entropy(x: np.ndarray, extra_class: bool) -> list[mp.mpf]:
  return [
    -mp.fsum(p * mp.log(p) for p in class_probabilities(row, extra_class))
    for row in rows(x)
  ]


def supervised(
  x: np.ndarray, labels: Sequence[int], mask: Sequence[int], extra_class: bool
) -> mp.mpf:
  return mean(
    [
      -mp.log(class_given_real(row, label, extra_class))
      for row, label, labelled in zip(rows(x), labels, mask, strict=True)
      if labelled
    ]
  )


def real_fake(
  x: np.ndarray, z: np.ndarray, smoothing: float, extra_class: bool
) -> mp.mpf:
  """Computes the mean real/fake cross-entropy on data plus that on samples."""
  on_data = [real_and_fake(row, extra_class) for row in rows(x)]
  on_samples = [real_and_fake(row, extra_class) for row in rows(z)]
  return mean([called_real(*p, smoothing) for p in on_data]) + mean(
    [called_real(*p, 1.0) for p in on_samples]
  )


def feature_matching(x: np.ndarray, z: np.ndarray, power: int) -> mp.mpf:
  x, z = x.reshape(len(x), -1), z.reshape(len(z), -1)
  gaps = [mean(x[:, f]) - mean(z[:, f]) for f in range(x.shape[1])]
  return mean([abs(gap) ** power for gap in gaps])


def mean_difference(x: np.ndarray, y: np.ndarray) -> mp.mpf:
  return mean([abs(a - b) for a, b in zip(x.flat, y.flat, strict=True)])


def historical_averaging(params, average) -> mp.mpf:
  return mp.fsum(
    (a - b) ** 2
    for x, y in zip(params, average, strict=True)
    for a, b in zip(x.flat, y.flat, strict=True)
  )


def pull_away(x: np.ndarray) -> mp.mpf:
  x = x.reshape(len(x), -1)

  def squared_cosine(a, b):
    product = mp.fsum(p * q for p, q in zip(a, b, strict=True))
    norms = mp.fsum(p * p for p in a) * mp.fsum(q * q for q in b)
    return product**2 / norms if norms else mp.mpf(0)

  n = len(x)
  return mean(
    [squared_cosine(x[i], x[j]) for i in range(n) for j in range(n) if i != j]
  )


def patch_nce(q: np.ndarray, k: np.ndarray, temperature: float) -> list:
  def loss(row, i):
    products = [
      mp.fsum(a * b for a, b in zip(row[0][i], other, strict=True))
      / mp.mpf(temperature)
      for other in row[1]
    ]
    return -mp.log(mp.exp(products[i]) / mp.fsum(map(mp.exp, products)))

  rows = list(zip(q, k, strict=True))
  return [loss(row, i) for row in rows for i in range(len(row[0]))]


def low_density(x: np.ndarray, threshold: float) -> list[mp.mpf]:
  return [number if number > threshold else mp.mpf(0) for number in x.flat]


def top_k_mean(x: np.ndarray, scores: Sequence[float], k: int) -> mp.mpf:
  # Sorting is stable, so ties go to the earlier row.
  best = sorted(range(len(x)), key=lambda i: -scores[i])[:k]
  return mean(list(x.reshape(len(x), -1)[best].flat))
