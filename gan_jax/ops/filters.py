"""Winograd's minimal filters along one axis, and when they pay.

Two neighbouring outputs of a filter with three taps are sums of four products,
those of a filter with two taps sums of three; see `gan_jax.ops.winograd`. A
strided or larger filter is split into filters of at most three taps.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from gan_jax.ops.geometry import Geometry, phases, transposed_output_size


class Product(NamedTuple):
  """Weights of one product: (pixels @ x) * (taps @ kernel) * outputs."""

  pixels: tuple[float, ...]  # for the pixels that the two outputs see
  taps: tuple[float, ...]
  outputs: tuple[float, float]


# The products whose sums are the two outputs, by the number of taps.
MINIMAL = {
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


class Term(NamedTuple):
  """A product of a filter."""

  filter: Filter
  product: Product


def _split(taps: Sequence[int], start: int, step: int, phase: int = 0):
  """Splits a filter of any length into filters of at most three taps."""
  count = -(-len(taps) // 3)
  for part in range(count):
    first = part * len(taps) // count
    last = (part + 1) * len(taps) // count
    yield Filter(tuple(taps[first:last]), start + step * first, step, phase)


def conv_axes(geometry: Geometry) -> list[list[Filter]]:
  """Returns a convolution's filters along height and along width."""
  return [
    _conv_filters(size, stride, low)
    for stride, (low, _), size in zip(*geometry, strict=True)
  ]


def transposed_axes(geometry: Geometry) -> list[list[Filter]]:
  """Returns a transposed convolution's filters along height and along width."""
  return [
    _transposed_filters(size, stride, low)
    for stride, (low, _), size in zip(*geometry, strict=True)
  ]


def transposed_tiles(size: Sequence[int], geometry: Geometry) -> list[int]:
  """Counts the tiles of 2x2 pixels of each phase of the output, by axis."""
  out = transposed_output_size(size, geometry)
  return [
    -(-n // (2 * stride))
    for n, stride in zip(out, geometry.strides, strict=True)
  ]


def _conv_filters(size: int, stride: int, low: int) -> list[Filter]:
  """Returns an axis's filters: every stride-th tap on every stride-th pixel."""
  return [
    part
    for tap in range(min(stride, size))
    for part in _split(range(tap, size, stride), tap - low, stride)
  ]


def _transposed_filters(size: int, stride: int, low: int) -> list[Filter]:
  """Returns an axis's filters, for each phase of the output."""
  return [
    part
    for phase, pairs in enumerate(phases(size, stride, low))
    if pairs
    for part in _split([tap for tap, _ in pairs], pairs[0][1], 1, phase)
  ]


# The cost of a sum and its memory traffic, in products: the value at which the
# choice agrees best with the times in docs/performance.md.
_SUM_COST = 9.4
# The same for a kernel gradient over many pixels, whose plain forms are slower
# than a convolution's.
_GRADIENT_SUM_COST = 5.5
MANY_PIXELS = 8192


def conv_pays(
  batch: int,
  out: Sequence[int],
  channels: int,
  features: int,
  geometry: Geometry,
) -> bool:
  """Estimates whether minimal filtering makes a convolution faster.

  Args:
    batch: the number of images.
    out: the size of the convolution's output.
    channels: the channels of its input.
    features: the channels of its output.
    geometry: the convolution's geometry.
  """
  return _conv_pays(_SUM_COST, batch, out, channels, features, geometry)


def kernel_gradient_pays(
  batch: int,
  out: Sequence[int],
  channels: int,
  features: int,
  geometry: Geometry,
) -> bool:
  """Estimates whether minimal filtering makes the kernel gradient faster."""
  many = batch * math.prod(out) >= MANY_PIXELS
  cost = _GRADIENT_SUM_COST if many else _SUM_COST
  return _conv_pays(cost, batch, out, channels, features, geometry)


def _conv_pays(cost, batch, out, channels, features, geometry) -> bool:
  axes, tiles = conv_axes(geometry), [-(-n // 2) for n in out]
  pixels = math.prod(out)
  return _pays(axes, tiles, batch, pixels, channels, features, geometry, cost)


def conv_transpose_pays(
  batch: int,
  size: Sequence[int],
  channels: int,
  features: int,
  geometry: Geometry,
) -> bool:
  """Estimates whether minimal filtering makes a transposed one faster."""
  axes, tiles = transposed_axes(geometry), transposed_tiles(size, geometry)
  pixels, cost = math.prod(size), _SUM_COST
  return _pays(axes, tiles, batch, pixels, channels, features, geometry, cost)


def _pays(
  axes, tiles, batch, pixels, channels, features, geometry, cost
) -> bool:
  # The plain form has a product per pixel and tap.
  plain = pixels * math.prod(geometry.sizes)
  if min(batch, *tiles, plain, channels, features) < 1:  # nothing to compute
    return False
  products = math.prod(
    count * sum(len(MINIMAL[len(f.taps)]) for f in filters)
    for count, filters in zip(tiles, axes, strict=True)
  )
  # Each matrix product, [tiles, C] times [C, D], needs sums of the sizes
  # [tiles, C], [C, D] and [tiles, D].
  sums = 1 / channels + 1 / features + 1 / (batch * math.prod(tiles))
  return products / plain + cost * sums < 1


# Terms of an axis, in groups of equal size that share an operand or a result.
Class = list[list[Term]]


def terms_of(filters: Iterable[Filter]) -> list[Term]:
  """Lists all products of an axis."""
  return [Term(f, p) for f in filters for p in MINIMAL[len(f.taps)]]


def classes_of(
  filters: Iterable[Filter], key: Callable[[Term], Hashable]
) -> list[Class]:
  """Groups an axis's terms by key, and the groups by size."""
  groups = defaultdict(list)
  for term in terms_of(filters):
    groups[key(term)].append(term)
  classes = defaultdict(list)
  for group in groups.values():
    classes[len(group)].append(group)
  return list(classes.values())
