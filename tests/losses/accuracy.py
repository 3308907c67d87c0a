"""Measures the accuracy of the losses: `python -m tests.losses.accuracy`.

Errors are the largest against the oracle over a fixed set of random inputs, in
units of their scale (`tests.losses.cases.Bound`).
"""

import argparse
import collections
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from tests.losses import cases, oracle
from tests.losses.oracle import mp

SCALES = (1.0, 30.0, 1e3, 1e4)
BEGIN = '<!-- accuracy: begin -->'
END = '<!-- accuracy: end -->'


def off_the_kinks(
  case: cases.Case, inputs: cases.Inputs, dtype: str
) -> list[np.ndarray]:
  """Moves inputs that are at a kink, or too near it, below it.

  Too near means that the rounding of a mean may move it to the other side.
  """
  size = max(1.0, cases.largest(inputs))
  margin = 16 * float(jnp.finfo(cases.WIDE[dtype]).eps) * size
  wide = [np.asarray(x, np.float64) for x in inputs]
  moved = [
    x if far is None else np.where(np.abs(far) > margin, x, x - size / 8)
    for x, far in zip(wide, case.kinks(*wide), strict=True)
  ]
  return [x.astype(jnp.dtype(dtype)) for x in moved]


@functools.cache
def value_and_gradients(case: cases.Case):
  """Returns a function to the result's elements and their sum's gradients.

  The sum is weighted, by powers of two: a plain one may be constant.
  """

  def call(*inputs):
    leaves = jax.tree.leaves(case.call(*inputs))
    return jnp.concatenate([x.ravel() for x in leaves])

  @jax.jit
  def both(*inputs):
    value, pull_back = jax.vjp(call, *inputs)
    cotangent = jnp.asarray(weights(value.size), value.dtype)
    return value, pull_back(cotangent)

  return both


def weights(num: int) -> list[float]:
  return [(1.0, 0.5, -2.0)[i % 3] for i in range(num)]


def in_units(actual, expected, floor: float, dtype: str) -> float:
  """Returns the largest error, in units of its scale (`cases.Bound`)."""
  wide = jnp.finfo(cases.WIDE[dtype])
  assert actual.dtype == dtype
  rounding = 0.0 if dtype == wide.dtype else 0.5 * float(jnp.finfo(dtype).eps)
  floor = max(floor, float(wide.tiny))
  # NumPy's maximum propagates NaN, Python's does not.
  return np.max(
    [
      float(
        max(0, abs(a - b) - rounding * abs(b))
        / (float(wide.eps) * max(abs(b), floor))
      )
      if mp.isfinite(a)
      else np.inf
      for a, b in zip(oracle.exact(actual).flat, expected, strict=True)
    ]
  )


def errors(
  case: cases.Case, inputs: cases.Inputs, dtype: str
) -> tuple[float, float]:
  """Returns the errors of value and gradient, in units of their scales.

  The value is taken at `inputs`, rounded to the dtype, the gradient off the
  kinks.
  """
  bound = cases.BOUNDS[case.row]
  drawn = [np.asarray(x, jnp.dtype(dtype)) for x in inputs]
  moved = off_the_kinks(case, drawn, dtype)
  of_value = []
  for inputs in [moved] if same(drawn, moved) else [drawn, moved]:
    with jax.enable_x64(True):
      value, gradients = value_and_gradients(case)(*inputs)
    expected = case.expected(*map(oracle.exact, inputs))
    floor = cases.FLOORS[bound.floor](inputs)
    of_value.append(in_units(value, expected, floor, dtype))

  def weighted(*inputs):
    result = case.expected(*inputs)
    return mp.fdot(zip(weights(len(result)), result, strict=True))

  expected = oracle.derivatives(weighted, [*map(oracle.exact, moved)])
  for i in case.constants:
    expected[i][...] = mp.mpf(0)
  floor = cases.FLOORS[bound.gradient_floor](moved)
  of_gradient = [
    in_units(x, y.flat, floor, dtype)
    for x, y in zip(gradients, expected, strict=True)
  ]
  return np.max(of_value), np.max(of_gradient)


def same(inputs, others) -> bool:
  return all(np.array_equal(*pair) for pair in zip(inputs, others, strict=True))


def draws(case: cases.Case, num: int):
  """Yields `num` random inputs per scale and shape; some are 0, some equal."""
  rng = np.random.default_rng(0)
  for scale in SCALES:
    for shapes in case.shapes:
      for _ in range(num):
        inputs = [rng.uniform(-scale, scale, shape) for shape in shapes]
        special = rng.choice([0.0, scale, -scale])
        yield [np.where(rng.random(x.shape) < 0.2, special, x) for x in inputs]


def measure(num: int) -> dict[str, dict[str, tuple[float, float]]]:
  """Returns the largest errors of value and gradient, by row and dtype."""
  worst = collections.defaultdict(dict)
  for case in cases.CASES:
    for dtype in cases.DTYPES:
      so_far = worst[case.row].get(dtype, (0.0, 0.0))
      for inputs in draws(case, num):
        so_far = np.maximum(so_far, errors(case, inputs, dtype))
      worst[case.row][dtype] = so_far
  return worst


def table(worst: dict[str, dict[str, tuple[float, float]]]) -> str:
  measured = ' | '.join(cases.DTYPES)
  lines = [
    '`|error| <= k eps max(|result|, floor, smallest normal number)`, where',
    'L is the largest input and l the length of the shortest row. In bfloat16,',
    'what is beyond the one rounding at the end, in eps of float32.',
    '',
    f'| function | value: {measured} | k | floor '
    f'| gradient: {measured} | k | floor |',
    '|---' * 11 + '|',
  ]
  for row, by_dtype in worst.items():
    value, gradient = (
      ' | '.join(f'{by_dtype[dtype][i]:.2f}' for dtype in cases.DTYPES)
      for i in (0, 1)
    )
    bound = cases.BOUNDS[row]
    lines.append(
      f'| {row} | {value} | {bound.value} | {bound.floor} '
      f'| {gradient} | {bound.gradient} | {bound.gradient_floor} |'
    )
  return '\n'.join(lines)


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--output', type=pathlib.Path, help='a file with markers')
  parser.add_argument('--num', type=int, default=8, help='draws per shape')
  args = parser.parse_args()
  text = table(measure(args.num))
  if args.output is None:
    print(text)
    return
  before, rest = args.output.read_text().split(BEGIN)
  _, after = rest.split(END)
  args.output.write_text(f'{before}{BEGIN}\n{text}\n{END}{after}')


if __name__ == '__main__':
  main()
