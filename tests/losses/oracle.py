"""The losses written as logs of probabilities, at 60 digits.

Nothing here avoids overflow or cancellation: the numbers have room for both.
Gradients are numerical derivatives, at that precision too.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import mpmath as mp
import numpy as np

mp.mp.dps = 60

# How many roundings, each of size eps, a result may show.
ROUNDINGS = 4

Row = Sequence[mp.mpf]


def softmax(logits: Row) -> list[mp.mpf]:
  weights = [mp.exp(logit) for logit in logits]
  return [weight / mp.fsum(weights) for weight in weights]


def real_and_fake(logits: Row, extra_class: bool) -> tuple[mp.mpf, mp.mpf]:
  """P(real | x) and P(fake | x)."""
  p = softmax(logits if extra_class else [*logits, 0])
  return mp.fsum(p[:-1]), p[-1]


def class_given_real(logits: Row, label: int, extra_class: bool) -> mp.mpf:
  p = softmax(logits if extra_class else [*logits, 0])
  return p[label] / mp.fsum(p[:-1])


def called_real(p_real: mp.mpf, p_fake: mp.mpf, smoothing: float) -> mp.mpf:
  """Cross-entropy with the target 1 - smoothing for "real"."""
  target = 1 - mp.mpf(smoothing)
  return -target * mp.log(p_real) - (1 - target) * mp.log(p_fake)


def called(logit: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
  """P(real | x) and P(fake | x) of one logit."""
  return real_and_fake([logit], extra_class=False)


def cross_entropy(row: Row, smoothing: float = 0.0) -> mp.mpf:
  """Of (D(x), D(G(z))), as all that follow."""
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
  """-log of the real one's share of the two: softmax, not a difference."""
  return -mp.log(softmax(row)[0])


def relativistic_generator(row: Row) -> mp.mpf:
  return -mp.log(softmax(row)[1])


def relativistic_average(
  real: Row, fake: Row, discriminator: bool
) -> list[mp.mpf]:
  """The losses of a whole batch, from P(more real than the average other)."""
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
  """`loss` of each row of `rows` [B, K], as float64 [B]."""
  rows = [[mp.mpf(float(logit)) for logit in row] for row in rows]
  return np.array([float(loss(row)) for row in rows])


def gradient(loss: Callable[[Row], mp.mpf], rows: np.ndarray) -> np.ndarray:
  """The derivatives of `loss` at each row of `rows`, as float64 [B, K]."""

  def derivative(row, k):
    at = [mp.mpf(float(logit)) for logit in row]
    return mp.diff(lambda x: loss([*at[:k], x, *at[k + 1 :]]), at[k])

  return np.array(
    [[float(derivative(row, k)) for k in range(len(row))] for row in rows]
  )


def assert_close(actual, expected: np.ndarray, logits: np.ndarray) -> None:
  """|error| <= ROUNDINGS * eps * max(|result|, |largest logit|, tiny).

  The logit stands there because the logit itself, as given, is only known to
  eps times its size: no method could do better with its last bit.
  """
  info = jnp.finfo(actual.dtype)
  eps = float(info.eps)
  largest = np.abs(np.asarray(logits, np.float64)).max()
  scale = np.maximum(np.abs(expected), max(largest, float(info.tiny)))
  error = np.abs(np.asarray(actual, np.float64) - expected)
  assert actual.shape == expected.shape
  assert (error <= ROUNDINGS * eps * scale).all(), error / eps / scale
