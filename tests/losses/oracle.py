"""The losses written as logs of probabilities, at 60 digits.

Nothing here avoids overflow or cancellation: the numbers have room for both.
Gradients are numerical derivatives, at that precision too.
"""

from collections.abc import Callable, Sequence

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
  info = np.finfo(actual.dtype)
  largest = np.abs(np.asarray(logits, np.float64)).max()
  scale = np.maximum(np.abs(expected), max(largest, float(info.tiny)))
  error = np.abs(np.asarray(actual, np.float64) - expected)
  assert actual.shape == expected.shape
  assert (error <= ROUNDINGS * info.eps * scale).all(), error / info.eps / scale
