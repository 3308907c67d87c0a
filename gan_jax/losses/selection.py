"""Top-k training: the generator learns from its best samples only.

The scores alone select them. Nothing is drawn at random, so nothing here takes
a key.

In Sinha et al. 2020, https://arxiv.org/abs/2002.06224, k starts at the batch
size B and is multiplied by gamma = 0.99 every epoch until it is nu B, nu = 0.5.
"""

import decimal
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.core import checks, collectives
from gan_jax.core.types import Array, AxisName


def top_k_mean(
  values: Array,
  scores: Array,
  k: int | Array,
  *,
  axis_name: AxisName | None = None,
) -> Array:
  r"""Averages over the k rows that score highest.

  .. math:: \frac1k \sum_{i \in T_k} v_i, \quad
            T_k \text{ the } k \text{ largest of } s

  where v_i is the mean of row i, if it has several values. Ties go to the
  earlier row; NaN counts as lowest. The selection has no gradient.

  Args:
    values: the generator's loss, [B, ...], floating point.
    scores: D(G(z)), [B], floating point, one number per row.
    k: the number of rows of the whole batch, an integer. It may be traced; it
      is then not checked, and all rows are taken if it is too large.
    axis_name: a mapped axis over which the batch is split, if any. The k rows
      are chosen from the whole batch; ties go to the earlier replica.

  Returns:
    A scalar of the values' dtype.

  Raises:
    TypeError: values or scores that are not floating point, or a k that is not
      an integer.
    ValueError: empty values, scores that are not [B], or a k out of range.

  References:
    Sinha et al. 2020, https://arxiv.org/abs/2002.06224.

  >>> import jax.numpy as jnp
  >>> values, scores = jnp.array([4., 2., 1.]), jnp.array([-3., 0., 2.])
  >>> print(top_k_mean(values, scores, 2))
  1.5
  """
  dtype = checks.result_type(values)
  values = checks.floating('values', values)
  scores = checks.floating('scores', scores)
  checks.not_empty('values', values)
  if values.ndim < 1 or scores.shape != values.shape[:1]:
    raise ValueError(
      'values must be [B, ...] and scores [B], got '
      f'{values.shape} and {scores.shape}'
    )
  num_rows, first_row = len(scores), 0
  scores = jax.lax.stop_gradient(scores)
  if axis_name is not None:
    first_row = jax.lax.axis_index(axis_name) * num_rows
    scores = jax.lax.all_gather(scores, axis_name, tiled=True)
  _check_k(k, len(scores))
  order = jnp.argsort(-scores, stable=True)
  chosen = jnp.argsort(order) < k
  own = jax.lax.dynamic_slice_in_dim(chosen, first_row, num_rows)
  rows = values.reshape(num_rows, -1).mean(axis=1)
  total = collectives.psum(jnp.where(own, rows, 0.0).sum(), axis_name)
  return (total / chosen.sum()).astype(dtype)


def _check_k(k: int | Array, num_rows: int) -> None:
  if jnp.shape(k) != () or not jnp.issubdtype(jnp.result_type(k), jnp.integer):
    raise TypeError(f'k must be an integer, got {k!r}')
  checks.in_range('k', k, 1, num_rows + 1)


def top_k_schedule(
  batch_size: int, *, decay: float, minimum: int, every_steps: int
) -> Callable[[int | Array], Array]:
  r"""Returns a schedule of the number of rows that top-k training keeps.

  .. math:: \max\left(k_\text{min}, \left\lfloor B\,
            \gamma^{\lfloor t / n \rfloor} \right\rfloor\right)

  The numbers are computed in decimal arithmetic, where 0.99 is exact: in
  binary, 100 times its powers may fall just short of whole numbers.

  Args:
    batch_size: B, of the whole batch.
    decay: gamma, in [0, 1); 0.99 in the paper.
    minimum: k_min, at least 1 and at most B; B / 2 in the paper.
    every_steps: n, the steps between two decays; one epoch in the paper.

  Returns:
    A function of the step t, an integer that may be traced, to k, an int32
    scalar.

  Raises:
    TypeError: a count that is not an integer.
    ValueError: a number out of range.

  References:
    Sinha et al. 2020, https://arxiv.org/abs/2002.06224.

  >>> k_at = top_k_schedule(64, decay=0.99, minimum=32, every_steps=100)
  >>> print(k_at(0), k_at(100), k_at(1000), k_at(10**6))
  64 63 57 32
  """
  for name, value in (
    ('batch_size', batch_size),
    ('minimum', minimum),
    ('every_steps', every_steps),
  ):
    if not isinstance(value, int | np.integer):
      raise TypeError(f'{name} must be an integer, got {value!r}')
  checks.in_range('batch_size', batch_size, 1, math.inf)
  checks.in_range('minimum', minimum, 1, batch_size + 1)
  checks.in_range('every_steps', every_steps, 1, math.inf)
  checks.in_range('decay', decay, 0.0, 1.0)
  counts, kept = [], decimal.Decimal(int(batch_size))
  while int(kept) > minimum:
    counts.append(int(kept))
    kept *= decimal.Decimal(str(decay))
  table = np.array([*counts, minimum], np.int32)

  def k_at(step: int | Array) -> Array:
    return jnp.asarray(table)[jnp.minimum(step // every_steps, len(table) - 1)]

  return k_at
