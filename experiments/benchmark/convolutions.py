"""Timing of the CPU forms of a convolution and its gradients."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.ops import lowerings, winograd
from gan_jax.ops.geometry import Geometry, output_size


class Shape(NamedTuple):
  """Shape of a convolution of images [batch, size, size, channels]."""

  batch: int
  size: int
  channels: int
  features: int
  kernel: int
  stride: int
  padding: str = 'SAME'

  def __str__(self):
    return (
      f'{self.batch}x{self.size}²x{self.channels} -> {self.features}, '
      f'{self.kernel}/{self.stride}'
      + ('' if self.padding == 'SAME' else f' {self.padding}')
    )


SHAPES = (
  Shape(128, 32, 3, 64, 3, 2),
  Shape(128, 16, 64, 64, 3, 2),
  Shape(128, 8, 64, 64, 3, 2),
  Shape(128, 4, 128, 128, 3, 1),
  Shape(128, 4, 128, 128, 3, 1, 'VALID'),
  Shape(128, 32, 3, 32, 5, 2),
  Shape(128, 16, 32, 64, 5, 2),
  Shape(128, 8, 64, 128, 5, 2),
  Shape(100, 4, 32, 64, 5, 2),
  Shape(64, 16, 64, 128, 5, 2),
  Shape(64, 16, 128, 256, 5, 2),
  Shape(64, 8, 256, 512, 5, 2),
  Shape(64, 32, 32, 32, 3, 1),
  Shape(64, 16, 32, 32, 3, 1),
  Shape(64, 32, 64, 64, 3, 1),
  Shape(64, 32, 32, 32, 4, 2),
  Shape(64, 16, 32, 32, 4, 2),
  Shape(1, 64, 64, 128, 4, 2),
  Shape(1, 16, 256, 512, 4, 2),
  Shape(1, 4, 512, 512, 4, 2),
  Shape(1, 34, 256, 256, 3, 1, 'VALID'),
  Shape(1, 134, 64, 3, 7, 1, 'VALID'),
)


class _Operation(NamedTuple):
  name: str
  forms: dict[str, Callable]  # [a, b, geometry] -> array
  chosen: Callable
  arguments: tuple


def _operations(shape: Shape) -> tuple[_Operation, ...]:
  """Returns the forward pass and both gradients, each with its arguments.

  The input's gradient is not timed in lax's form, which dilates the cotangent
  and takes seconds.
  """
  size, strides = (shape.size,) * 2, (shape.stride,) * 2
  sizes = (shape.kernel,) * 2
  pads = tuple(lax.padtype_to_pads(size, sizes, strides, shape.padding))
  geometry = Geometry(strides, pads, sizes)
  rng = np.random.default_rng(0)

  def normal(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  x = normal(shape.batch, *size, shape.channels)
  kernel = normal(*sizes, shape.channels, shape.features)
  made = normal(shape.batch, *output_size(size, geometry), shape.features)
  # Padding of the dilated cotangent.
  back_pads = tuple(
    (shape.kernel - 1 - low, n + low - shape.stride * (m - 1) - 1)
    for (low, _), n, m in zip(pads, size, made.shape[1:3], strict=True)
  )
  back, back_kernel = Geometry(strides, back_pads, sizes), kernel.mT
  forward = {'lax': lowerings.lax_conv, 'patches': lowerings.patches}
  if shape.stride == 1:
    forward['product and sum'] = lowerings.product_and_sum
  return (
    _Operation(
      'forward',
      forward | {'minimal': winograd.conv},
      lowerings.conv_form(x.shape, kernel.shape, geometry),
      (x, kernel, geometry),
    ),
    _Operation(
      'input',
      {
        'phases': lowerings.by_phases,
        'product and sum': lowerings.product_and_sum,
        'minimal': winograd.conv_transpose,
      },
      lowerings.conv_transpose_form(made.shape, back_kernel.shape, back),
      (made, back_kernel, back),
    ),
    _Operation(
      'kernel',
      {
        'lax': lowerings.lax_kernel_gradient,
        'taps': lowerings.taps,
        'minimal': winograd.kernel_gradient,
      },
      lowerings.kernel_gradient_form(x.shape, made.shape, geometry),
      (x, made, geometry),
    ),
  )


def _in_pytorch(shape: Shape, x, kernel, made, geometry) -> list[Callable]:
  """Returns the same three operations in PyTorch, on a padded image."""
  import torch

  def tensor(array, order):
    array = torch.from_numpy(np.asarray(array).transpose(order).copy())
    return array.contiguous(memory_format=torch.channels_last)

  padded = np.pad(x, ((0, 0), *geometry.pads, (0, 0)))
  x, kernel = tensor(padded, (0, 3, 1, 2)), tensor(kernel, (3, 2, 0, 1))
  made, stride = tensor(made, (0, 3, 1, 2)), [shape.stride] * 2
  zeros, ones = [0, 0], [1, 1]

  def forward():
    with torch.no_grad():
      return torch.nn.functional.conv2d(x, kernel, stride=stride)

  def gradient(of):
    return lambda: torch.ops.aten.convolution_backward(
      made, x, kernel, None, stride, zeros, ones, False, zeros, 1, of
    )

  return [
    forward,
    gradient([True, False, False]),
    gradient([False, True, False]),
  ]


def _in_turn(functions: dict[str, Callable], rounds: int) -> dict[str, float]:
  """Times functions in turn; returns each one's median milliseconds."""
  for function in functions.values():
    for _ in range(2):
      jax.block_until_ready(function())
  times = {name: [] for name in functions}
  for _ in range(rounds):
    for name, function in functions.items():
      start = time.perf_counter()
      jax.block_until_ready(function())
      times[name].append(1e3 * (time.perf_counter() - start))
  return {name: float(np.median(t)) for name, t in times.items()}


def table(rounds: int, *, pytorch: bool) -> Iterator[str]:
  """Yields rows of Markdown: milliseconds of each form, the chosen one bold."""
  yield '| shape | of | forms, ms |' + (' PyTorch, ms |' if pytorch else '')
  yield '| --- | --- | --- |' + (' --- |' if pytorch else '')
  for shape in SHAPES:
    operations = _operations(shape)
    if pytorch:
      x, kernel, geometry = operations[0].arguments
      made = operations[1].arguments[0]
      theirs = _in_pytorch(shape, x, kernel, made, geometry)
    for number, (name, forms, chosen, arguments) in enumerate(operations):
      functions = {
        label: functools.partial(jax.jit(form, static_argnums=2), *arguments)
        for label, form in forms.items()
      }
      if pytorch:
        functions['PyTorch'] = theirs[number]
      times = _in_turn(functions, rounds)
      cells = []
      for label, form in forms.items():
        cell = f'{label} {times[label]:.1f}'
        cells.append(f'**{cell}**' if form is chosen else cell)
      row = f'| {shape} | {name} | {", ".join(cells)} |'
      yield row + (f' {times["PyTorch"]:.1f} |' if pytorch else '')
