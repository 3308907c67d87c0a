"""Winograd convolutions by minimal filtering: fewer products, more sums.

Two neighbouring outputs of a filter with three taps need six products; with
sums before and after, four are enough (Winograd 1980; for convolutional
networks Lavin and Gray 2015, https://arxiv.org/abs/1509.09308), and three
instead of four for two taps. Over both axes the savings multiply: 16 of 36
products for a 3x3 kernel. A strided or larger filter is split into filters of
at most three taps: 49 of 100 products for a 5x5 kernel at stride 2, and the
same for a transposed one.

The images are cut into tiles of 2x2 outputs. Each product of a filter is then
one matrix product, [tiles, C] times [C, D]. All weights are 0, ±1 and ±1/2, so
errors stay at the rounding of a tile's largest terms. A value that is not
finite spoils its whole tile.

One operation computes all sums and another all products: XLA compiles each
operation of a program separately, so operations for each product would take
many times longer to compile. Large batches are processed in parts that fit into
the processor's cache.

Every function takes its two arrays and a `Geometry`, as in
`gan_jax.ops.lowerings`.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.core.collectives import like
from gan_jax.core.types import Array
from gan_jax.ops.calls import as_call
from gan_jax.ops.filters import (
  Class,
  Filter,
  Term,
  classes_of,
  conv_axes,
  terms_of,
  transposed_axes,
  transposed_tiles,
)
from gan_jax.ops.geometry import (
  Geometry,
  interleave,
  output_size,
  pad,
  transposed_output_size,
)

# The summands of a term: places along an axis, and their weights.
Summands = Iterable[tuple[int, float]]


class _Sums(NamedTuple):
  """Weighted sums along an axis: arrays [summands, groups, members]."""

  index: np.ndarray
  weight: np.ndarray


def _sums(groups: Iterable[Iterable[Summands]]) -> _Sums:
  """Converts sums to arrays; shorter ones are padded with weights of 0."""
  groups = [[[x for x in sum_ if x[1]] for sum_ in group] for group in groups]
  length = max(len(sum_) for group in groups for sum_ in group)
  filled = np.array([
    [sum_ + [(sum_[0][0], 0)] * (length - len(sum_)) for sum_ in group]
    for group in groups
  ])  # fmt: skip
  index, weight = np.moveaxis(filled, (3, 2), (0, 1))
  return _Sums(index.astype(np.int32), weight.astype(np.float32))


def _of_terms(terms: Class, summands: Callable[[Term], Summands]) -> _Sums:
  return _sums([summands(term) for term in group] for group in terms)


def _pixels(term: Term) -> Summands:
  """Returns the pixels of the first tile that a term sees."""
  f = term.filter
  return ((f.start + f.step * k, w) for k, w in enumerate(term.product.pixels))


def _outputs(term: Term) -> Summands:
  """Returns the outputs to which a term contributes."""
  return enumerate(term.product.outputs)


def _taps(term: Term) -> Summands:
  """Returns the taps of which a term is a product."""
  return zip(term.filter.taps, term.product.taps, strict=True)


def _gather(x: Array, sums: _Sums) -> Array:
  """Computes weighted sums of the rows of an array, in one operation.

  Args:
    x: [rows, ...].
    sums: the sums, of index [summands, *shape]; weights may have axes of 1.

  Returns:
    [*shape, ...].
  """
  flat = x.reshape(len(x), -1)
  total = 0
  for index, weight in zip(*sums, strict=True):
    rows = flat.at[index.reshape(-1)].get(mode='promise_in_bounds')
    total += rows.reshape(*index.shape, -1) * weight[..., None]
  return total.reshape(*sums.index.shape[1:], *x.shape[1:])


def _gather_both(x: Array, rows: _Sums, columns: _Sums) -> Array:
  """Computes weighted sums along both of the first axes: [G, H, m, n, ...].

  Args:
    x: [height, width, ...].
    rows: sums [G, m] along the height.
    columns: sums [H, n] along the width.
  """
  x = _gather(x, rows)
  first = np.arange(math.prod(x.shape[:2])).reshape(len(x), 1, -1, 1)
  index = first * x.shape[2] + columns.index[:, None, :, None]
  weight = columns.weight[:, None, :, None]
  return _gather(x.reshape(-1, *x.shape[3:]), _Sums(index, weight))


class _Tiles(NamedTuple):
  """Tiles of padded images."""

  counts: Sequence[int]  # along height and width
  steps: Sequence[int]  # pixels from a tile to the next
  pads: Sequence[tuple[int, int]]

  def gather(
    self,
    x: Array,
    rows: Class,
    columns: Class,
    summands: Callable[[Term], Summands],
  ) -> Array:
    """Computes weighted sums of the pixels of each tile.

    Args:
      x: images [B, H, W, C].
      rows: G groups of m terms.
      columns: H groups of n terms.
      summands: maps a term to its summands in the first tile.

    Returns:
      [G, H, B * tiles, m * n * C].
    """
    x = pad(x, self.pads)
    place, weights = [], []
    for axis, terms in enumerate((rows, columns)):
      index, weight = _of_terms(terms, summands)
      first = np.arange(self.counts[axis]) * self.steps[axis]
      first = first[:, None] + self.pads[axis][0]
      place.append(index[:, :, None] + first)  # [summands, groups, tiles, m]
      weights.append(weight)
    # [row's and column's summand, G, H, B, row's and column's tile, m, n]
    i = place[0][:, None, :, None, None, :, None, :, None]
    j = place[1][None, :, None, :, None, None, :, None, :]
    image = np.arange(len(x), dtype=np.int32)[:, None, None, None, None]
    index = (image * x.shape[1] + i) * x.shape[2] + j
    weight = (
      weights[0][:, None, :, None, None, None, None, :, None]
      * weights[1][None, :, None, :, None, None, None, None, :]
    )
    sums = _Sums(*(a.reshape(-1, *a.shape[2:]) for a in (index, weight)))
    # Without a call, XLA would fuse the sums into one array of m * n * C
    # features and compute each element's index, which takes ten times as long.
    y = as_call(lambda x: _gather(x, sums))(x.reshape(-1, x.shape[3]))
    return y.reshape(*y.shape[:2], math.prod(y.shape[2:5]), -1)


def _cut(
  size: Sequence[int], axes: Sequence[list[Filter]], counts: Sequence[int]
) -> _Tiles:
  """Cuts images of a size into tiles of 2x2 outputs."""
  pads = []
  for n, filters, count in zip(size, axes, counts, strict=True):
    low = min(f.start for f in filters)
    end = max(f.start + f.step * (2 * count - 1 + len(f.taps)) for f in filters)
    pads.append((-low, end - n))
  return _Tiles(counts, [2 * filters[0].step for filters in axes], pads)


def _weights(
  kernel: Array, rows: Class, columns: Class, *, wide: bool
) -> Array:
  """Computes the weights of all products from a kernel [h, w, C, D].

  Returns:
    [G, H, C, m, n, D] if `wide`, else [G, H, m, n, C, D].
  """

  def weights(kernel):
    sums = (_of_terms(terms, _taps) for terms in (rows, columns))
    made = _gather_both(kernel, *sums)
    return made.transpose(0, 1, 4, 2, 3, 5) if wide else made

  return as_call(weights)(kernel)  # as in `_Tiles.gather`


def _products(a: Array, b: Array, contracting: tuple[int, int]) -> Array:
  """Multiplies matrices [G, H, ., .] over the axes `contracting`."""
  axes = ((contracting[0],), (contracting[1],))
  return lax.dot_general(a, b, (axes, ((0, 1), (0, 1))))


def _sum(terms: Iterable[tuple[float, Array]]) -> Array | None:
  """Sums weight times array; returns None if there is nothing to sum."""
  total = None
  for weight, x in terms:
    if weight:
      x = x if abs(weight) == 1 else abs(weight) * x
      if total is None:
        total = x if weight > 0 else -x
      else:
        total = total + x if weight > 0 else total - x
  return total


# The size of a part's intermediate arrays: half of a processor's last cache.
# And the number of rows from which on reading a product's weights pays.
_CACHE_BYTES = 24 * 2**20
_MANY_ROWS = 1024


def _at_once(batch: int, tiles: int, numbers: int) -> int:
  """Returns the number of images to process at once, a divisor of the batch.

  Args:
    batch: the number of images.
    tiles: the tiles per image.
    numbers: the intermediate numbers per tile.
  """
  fit = _CACHE_BYTES // (4 * numbers * tiles)
  most = min(batch, max(fit, -(-_MANY_ROWS // tiles)))
  return max(n for n in range(1, most + 1) if batch % n == 0)


def _in_parts(
  multiply: Callable[[Array], list[Array]],
  assemble: Callable[[list[Array]], Array],
  x: Array,
  cut: _Tiles,
  numbers: int,
) -> Array:
  """Computes the outputs in parts of some images.

  Args:
    multiply: computes the products of images.
    assemble: computes outputs from the products.
    x: all images.
    cut: their tiles.
    numbers: the intermediate numbers per tile; see `_at_once`.
  """
  # Without a call it would be fused with the loop's update, which runs on one
  # core.
  assemble = as_call(assemble)
  num = _at_once(len(x), math.prod(cut.counts), numbers)
  if num == len(x):
    return assemble(multiply(x))
  parts = x.reshape(-1, num, *x.shape[1:])
  y = lax.map(lambda x: assemble(multiply(x)), parts)
  return y.reshape(-1, *y.shape[2:])


def _wide(*arrays: Array) -> list[Array]:
  """Casts to float32 at least."""
  return [x.astype(jnp.promote_types(x.dtype, jnp.float32)) for x in arrays]


def conv(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """Computes the same as `lowerings.lax_conv`."""
  dtype, (x, kernel) = x.dtype, _wide(x, kernel)
  features = kernel.shape[3]
  out = output_size(x.shape[1:3], geometry)
  axes = conv_axes(geometry)
  cut = _cut(x.shape[1:3], axes, [-(-n // 2) for n in out])
  # Products for the same outputs are joined into one with longer rows.
  classes = (
    classes_of(filters, lambda t: t.product.outputs) for filters in axes
  )
  parts = []
  for pair in itertools.product(*classes):
    weights = _weights(kernel, *pair, wide=False)
    parts.append((pair, weights.reshape(*weights.shape[:2], -1, features)))

  def multiply(x):
    return [
      _products(cut.gather(x, *pair, _pixels), weights, (3, 2)).reshape(
        *weights.shape[:2], len(x), *cut.counts, features
      )
      for pair, weights in parts
    ]

  def assemble(products):
    made = [
      (row[0].product.outputs, column[0].product.outputs, product[g, h])
      for (pair, _), product in zip(parts, products, strict=True)
      for (g, row), (h, column) in itertools.product(*map(enumerate, pair))
    ]

    def output(i, j):
      return _sum(
        (row[i] * column[j], product) for row, column, product in made
      )

    y = interleave([[output(i, j) for j in range(2)] for i in range(2)])
    return y[:, : out[0], : out[1]]

  numbers = sum(
    math.prod(weights.shape[:2]) * (weights.shape[2] + features)
    for _, weights in parts
  )
  return _in_parts(multiply, assemble, x, cut, numbers).astype(dtype)


def conv_transpose(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """Computes the same as `lowerings.lax_conv_transpose`."""
  dtype, (x, kernel) = x.dtype, _wide(x, kernel)
  channels = kernel.shape[2]
  out = transposed_output_size(x.shape[1:3], geometry)
  axes = transposed_axes(geometry)
  cut = _cut(x.shape[1:3], axes, transposed_tiles(x.shape[1:3], geometry))
  # Products of the same pixels are joined into one with wider weights.
  classes = (
    classes_of(filters, lambda t: (t.filter.start, t.product.pixels))
    for filters in axes
  )
  parts = [
    (pair, _weights(kernel, *pair, wide=True))
    for pair in itertools.product(*classes)
  ]

  def multiply(x):
    products = []
    for pair, weights in parts:
      alone = ([group[:1] for group in groups] for groups in pair)
      wide = weights.reshape(*weights.shape[:3], -1)
      product = _products(cut.gather(x, *alone, _pixels), wide, (3, 2))
      products.append(
        product.reshape(
          *weights.shape[:2], len(x), *cut.counts, *weights.shape[3:]
        )
      )
    return products

  def assemble(products):
    made = defaultdict(list)
    for (pair, _), product in zip(parts, products, strict=True):
      numbered = (
        [
          (g, m, term)
          for g, group in enumerate(groups)
          for m, term in enumerate(group)
        ]
        for groups in pair
      )
      for (g, m, row), (h, n, column) in itertools.product(*numbered):
        made[row.filter.phase, column.filter.phase].append(
          (row.product, column.product, product[g, h, ..., m, n, :])
        )
    zero = jnp.zeros_like(products[0][0, 0, ..., 0, 0, :])

    def output(i, j, *phase):
      total = _sum(
        (row.outputs[i] * column.outputs[j], product)
        for row, column, product in made[phase]
      )
      return zero if total is None else total

    row_parts, column_parts = (
      list(itertools.product(range(2), range(stride)))
      for stride in geometry.strides
    )
    y = interleave(
      [[output(i, j, r, c) for j, c in column_parts] for i, r in row_parts]
    )
    return y[:, : out[0], : out[1]]

  numbers = sum(
    math.prod(weights.shape[:2]) * channels + weights.size // channels
    for _, weights in parts
  )
  return _in_parts(multiply, assemble, x, cut, numbers).astype(dtype)


def kernel_gradient(x: Array, cotangent: Array, geometry: Geometry) -> Array:
  """Computes the same as `lowerings.lax_kernel_gradient`."""
  dtype, (x, cotangent) = x.dtype, _wide(x, cotangent)
  channels, features = x.shape[3], cotangent.shape[3]
  out = cotangent.shape[1:3]
  axes = conv_axes(geometry)
  cut = _cut(x.shape[1:3], axes, [-(-n // 2) for n in out])
  pads = [(0, 2 * count - n) for count, n in zip(cut.counts, out, strict=True)]
  cut_made = _Tiles(cut.counts, (2, 2), pads)
  rows, columns = ([[term] for term in terms_of(filters)] for filters in axes)

  def some(x, cotangent):
    seen = cut.gather(x, rows, columns, _pixels)
    made = cut_made.gather(cotangent, rows, columns, _outputs)
    return _products(seen, made, (2, 2))

  numbers = len(rows) * len(columns) * (channels + features)
  num = _at_once(len(x), math.prod(cut.counts), numbers)
  if num == len(x):
    products = some(x, cotangent)
  else:
    parts = tuple(a.reshape(-1, num, *a.shape[1:]) for a in (x, cotangent))
    zero = jnp.zeros((len(rows), len(columns), channels, features), x.dtype)
    products, _ = lax.scan(
      lambda total, part: (total + some(*part), None), like(zero, *parts), parts
    )
  of_taps = (
    _sums(
      [[(i, dict(_taps(term)).get(tap, 0)) for i, (term,) in enumerate(terms)]]
      for tap in range(size)
    )
    for terms, size in zip((rows, columns), geometry.sizes, strict=True)
  )
  kernel = _gather_both(products, *of_taps)
  return kernel.reshape(*geometry.sizes, channels, features).astype(dtype)
