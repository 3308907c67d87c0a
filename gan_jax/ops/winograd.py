"""Convolutions by minimal filtering: fewer products, more sums.

Two neighbouring outputs of a filter with three taps need six products; with
sums before and after, four are enough (Winograd 1980; for convolutional
networks Lavin and Gray 2015, https://arxiv.org/abs/1509.09308), and three
instead of four for two taps. Over both axes the savings multiply: 16 of 36
products for a 3x3 kernel. A strided or larger filter is taken apart into
filters of at most three taps: 49 of 100 for a 5x5 kernel at stride 2, and the
same for a transposed one.

The images are cut into tiles that make 2x2 outputs. Each product of a filter is
then one product of matrices, [tiles, C] times [C, D]. All weights are 0, ±1 and
±1/2, so that errors stay at the rounding of a tile's largest terms. A value
that is not finite spoils its whole tile.

Every function takes its two arrays and a `Geometry`, as in
`gan_jax.ops.lowerings`.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from gan_jax.core.types import Array
from gan_jax.ops.geometry import (
  Geometry,
  interleave,
  output_size,
  pad,
  phases,
  transposed_output_size,
)


class Product(NamedTuple):
  """Weights of one product: (pixels @ x) * (taps @ kernel) * outputs."""

  pixels: tuple[float, ...]  # of those that the two outputs see
  taps: tuple[float, ...]
  outputs: tuple[float, float]


# By the number of taps n, the products of which the two outputs are the sum.
_MINIMAL = {
  1: (
    Product((1, 0, 0, 0), (1,), (1, 0)),
    Product((0, 1, 0, 0), (1,), (0, 1)),
  ),
  2: (
    Product((1, 0, -1, 0), (1, 0), (1, 0)),
    Product((0, 1, 1, 0), (0.5, 0.5), (1, 1)),
    Product((0, -1, 1, 0), (0.5, -0.5), (1, -1)),
  ),
  3: (
    Product((1, 0, -1, 0), (1, 0, 0), (1, 0)),
    Product((0, 1, 1, 0), (0.5, 0.5, 0.5), (1, 1)),
    Product((0, -1, 1, 0), (0.5, -0.5, 0.5), (1, -1)),
    Product((0, -1, 0, 1), (0, 0, 1), (0, 1)),
  ),
}


class Filter(NamedTuple):
  """At most three taps along one axis.

  Output i is the sum over r of tap taps[r] times pixel start + step * (i + r).
  """

  taps: tuple[int, ...]  # of the kernel
  start: int
  step: int
  phase: int = 0  # of the outputs, in a transposed convolution


def _split(taps: Sequence[int], start: int, step: int, phase: int = 0):
  """A filter of any length as filters of at most three taps."""
  count = -(-len(taps) // 3)
  for part in range(count):
    first = part * len(taps) // count
    last = (part + 1) * len(taps) // count
    yield Filter(tuple(taps[first:last]), start + step * first, step, phase)


def _conv_axes(geometry: Geometry) -> list[list[Filter]]:
  """A convolution's filters along height and along width."""
  return [
    _conv_filters(size, stride, low)
    for stride, (low, _), size in zip(*geometry, strict=True)
  ]


def _transposed_axes(geometry: Geometry) -> list[list[Filter]]:
  """A transposed convolution's filters along height and along width."""
  return [
    _transposed_filters(size, stride, low)
    for stride, (low, _), size in zip(*geometry, strict=True)
  ]


def _transposed_tiles(size: Sequence[int], geometry: Geometry) -> list[int]:
  """How many tiles of 2x2 pixels each phase of the output has, by axis."""
  out = transposed_output_size(size, geometry)
  return [
    -(-n // (2 * stride))
    for n, stride in zip(out, geometry.strides, strict=True)
  ]


def _conv_filters(size: int, stride: int, low: int) -> list[Filter]:
  """Of one axis: every stride-th tap is a filter of every stride-th pixel."""
  return [
    part
    for tap in range(min(stride, size))
    for part in _split(range(tap, size, stride), tap - low, stride)
  ]


def _transposed_filters(size: int, stride: int, low: int) -> list[Filter]:
  """Of one axis: a filter for each phase of the output."""
  return [
    part
    for phase, pairs in enumerate(phases(size, stride, low))
    if pairs
    for part in _split([tap for tap, _ in pairs], pairs[0][1], 1, phase)
  ]


# What a sum with its move through memory costs, in products: the value at which
# the choice agrees best with the times in docs/performance.md.
_SUM_COST = 9.4


def conv_pays(
  batch: int,
  out: Sequence[int],
  channels: int,
  features: int,
  geometry: Geometry,
) -> bool:
  """Whether `conv` and `kernel_gradient` are faster than the plain forms.

  Args:
    batch: the number of images.
    out: the size of the convolution's output.
    channels: of its input.
    features: of its output.
    geometry: of the convolution.
  """
  axes = _conv_axes(geometry)
  tiles = [-(-n // 2) for n in out]
  return _pays(axes, tiles, batch, math.prod(out), channels, features, geometry)


def conv_transpose_pays(
  batch: int,
  size: Sequence[int],
  channels: int,
  features: int,
  geometry: Geometry,
) -> bool:
  """Whether `conv_transpose` of images of that size is faster, likewise."""
  axes, tiles = _transposed_axes(geometry), _transposed_tiles(size, geometry)
  return _pays(
    axes, tiles, batch, math.prod(size), channels, features, geometry
  )


def _pays(axes, tiles, batch, pixels, channels, features, geometry) -> bool:
  # The plain form has a product for each of `pixels` and each tap.
  plain = pixels * math.prod(geometry.sizes)
  if min(batch, *tiles, plain, channels, features) < 1:  # nothing to make
    return False
  products = math.prod(
    count * sum(len(_MINIMAL[len(f.taps)]) for f in filters)
    for count, filters in zip(tiles, axes, strict=True)
  )
  # Each product of matrices, [tiles, C] times [C, D], has sums to make or use
  # of [tiles, C], [C, D] and [tiles, D].
  sums = 1 / channels + 1 / features + 1 / (batch * math.prod(tiles))
  return products / plain + _SUM_COST * sums < 1


def _sum(terms: Iterable[tuple[float, Array]]) -> Array:
  """The sum of weight times array."""
  total = None
  for weight, x in terms:
    if weight:
      x = x if abs(weight) == 1 else abs(weight) * x
      if total is None:
        total = x if weight > 0 else -x
      else:
        total = total + x if weight > 0 else total - x
  return total


def _weighted(
  rows: Sequence[float],
  columns: Sequence[float],
  at: Callable[[int, int], Array],
) -> Array:
  """The sum over r and c of rows[r] * columns[c] * at(r, c)."""
  return _sum(
    (column, _sum((row, at(r, c)) for r, row in enumerate(rows) if row))
    for c, column in enumerate(columns)
    if column
  )


def _products(rows: list[Filter], columns: list[Filter]):
  """Every (row filter, its product, column filter, its product)."""

  def along(filters):
    return [(f, product) for f in filters for product in _MINIMAL[len(f.taps)]]

  for row, column in itertools.product(along(rows), along(columns)):
    yield *row, *column


class _Tiles:
  """An image's tiles, as the filters' products take them."""

  def __init__(self, x: Array, axes: Sequence[list[Filter]], tiles):
    self._lows, pads = [], []
    for n, filters, count in zip(x.shape[1:3], axes, tiles, strict=True):
      low = min(f.start for f in filters)
      end = max(
        f.start + f.step * (2 * count - 1 + len(f.taps)) for f in filters
      )
      self._lows.append(low)
      pads.append((-low, end - n))
    self._x, self._tiles = pad(x, pads), tiles

  def __call__(self, row: Filter, p: Product, column: Filter, q: Product):
    """[tiles, C]: the weighted sum of the pixels of each tile."""

    def at(*taps):
      x = self._x
      for axis, f in enumerate((row, column)):
        first = f.start - self._lows[axis] + f.step * taps[axis]
        step = 2 * f.step
        end = first + step * (self._tiles[axis] - 1) + 1
        x = lax.slice_in_dim(x, first, end, step, axis + 1)
      return x

    pixels = _weighted(p.pixels, q.pixels, at)
    return pixels.reshape(-1, pixels.shape[3])


def _weights(kernel, row: Filter, p: Product, column: Filter, q: Product):
  """[C, D]: the weighted sum of the kernel's taps."""
  return _weighted(
    p.taps, q.taps, lambda r, c: kernel[row.taps[r], column.taps[c]]
  )


def _wide(*arrays: Array) -> list[Array]:
  """In float32 at least."""
  return [x.astype(jnp.promote_types(x.dtype, jnp.float32)) for x in arrays]


def _after(y: Array, x: Array) -> Array:
  """x to the bit, but not before y; where y begins with NaN, NaN.

  Keeps the compiler from making x's sums in the forward pass and holding them
  until the backward pass. XLA's CPU backend drops optimization barriers before
  it looks for common subexpressions, so the dependence has to be a real one.
  """
  first = y[0, 0, 0, 0]
  return x * jnp.where(jnp.isnan(first), first, 1)


def conv(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """`lowerings.lax_conv`."""
  dtype, (x, kernel) = x.dtype, _wide(x, kernel)
  out = output_size(x.shape[1:3], geometry)
  tiles = [-(-n // 2) for n in out]
  axes = _conv_axes(geometry)
  tile = _Tiles(x, axes, tiles)
  # Products that go to the same outputs are one, of longer rows.
  groups = defaultdict(list)
  for row, p, column, q in _products(*axes):
    term = row, p, column, q
    groups[p.outputs, q.outputs].append((tile(*term), _weights(kernel, *term)))
  made = []
  for outputs, terms in groups.items():
    seen, weights = zip(*terms, strict=True)
    product = jnp.concatenate(seen, axis=1) @ jnp.concatenate(weights)
    made.append((*outputs, product.reshape(len(x), *tiles, -1)))

  def output(i, j):
    return _sum((row[i] * column[j], product) for row, column, product in made)

  y = interleave([[output(i, j) for j in range(2)] for i in range(2)])
  return y[:, : out[0], : out[1]].astype(dtype)


def conv_transpose(x: Array, kernel: Array, geometry: Geometry) -> Array:
  """`lowerings.lax_conv_transpose`."""
  dtype, (x, kernel) = x.dtype, _wide(x, kernel)
  out = transposed_output_size(x.shape[1:3], geometry)
  axes = _transposed_axes(geometry)
  tiles = _transposed_tiles(x.shape[1:3], geometry)
  tile = _Tiles(x, axes, tiles)
  # Products of the same pixels are one, of wider weights.
  groups = defaultdict(list)
  for row, p, column, q in _products(*axes):
    groups[row.start, p.pixels, column.start, q.pixels].append(
      (row, p, column, q)
    )
  made = defaultdict(list)
  for terms in groups.values():
    weights = jnp.concatenate([_weights(kernel, *t) for t in terms], axis=1)
    product = tile(*terms[0]) @ weights
    product = product.reshape(len(x), *tiles, len(terms), -1)
    for n, (row, p, column, q) in enumerate(terms):
      made[row.phase, column.phase].append(
        (p.outputs, q.outputs, product[:, :, :, n])
      )
  zero = jnp.zeros((len(x), *tiles, kernel.shape[3]), x.dtype)

  def output(i, j, row_phase, column_phase):
    total = _sum(
      (row[i] * column[j], product)
      for row, column, product in made[row_phase, column_phase]
    )
    return zero if total is None else total

  row_parts, column_parts = (
    list(itertools.product(range(2), range(stride)))
    for stride in geometry.strides
  )
  y = interleave(
    [[output(i, j, r, c) for j, c in column_parts] for i, r in row_parts]
  )
  return y[:, : out[0], : out[1]].astype(dtype)


def kernel_gradient(x: Array, cotangent: Array, geometry: Geometry) -> Array:
  """`lowerings.lax_kernel_gradient`."""
  dtype, (x, cotangent) = x.dtype, _wide(x, cotangent)
  x, cotangent = _after(cotangent, x), _after(x, cotangent)
  tiles = [-(-n // 2) for n in cotangent.shape[1:3]]
  axes = _conv_axes(geometry)
  tile = _Tiles(x, axes, tiles)
  cotangent = pad(
    cotangent,
    [(0, 2 * t - n) for t, n in zip(tiles, cotangent.shape[1:3], strict=True)],
  )
  features = cotangent.shape[3]
  taps = defaultdict(list)
  for row, p, column, q in _products(*axes):
    made = _weighted(
      p.outputs, q.outputs, lambda i, j: cotangent[:, i::2, j::2]
    )
    product = lax.dot_general(
      tile(row, p, column, q),
      made.reshape(-1, features),
      (((0,), (0,)), ((), ())),
    )
    for (r, row_tap), (c, column_tap) in itertools.product(
      enumerate(row.taps), enumerate(column.taps)
    ):
      taps[row_tap, column_tap].append((p.taps[r] * q.taps[c], product))
  height, width = geometry.sizes
  kernel = [_sum(taps[i, j]) for i in range(height) for j in range(width)]
  return jnp.stack(kernel).reshape(height, width, -1, features).astype(dtype)
