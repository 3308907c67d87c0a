"""FLOP count of the matrix products and convolutions in a program."""

import math
from typing import Any

import jax
import numpy as np
from jax.extend import core
from jax.interpreters import partial_eval


def count_flops(function, *args, cpu: bool = False) -> int:
  """Counts the FLOPs of a function's matrix products and convolutions.

  A multiply-add counts as two. Dead code does not count, nor do products with
  the zeros that pad or dilate an image. Outside loops, a repeated product of
  the same values counts once, since compilers eliminate common subexpressions:
  for example D's pass in a penalty and in the loss, or `jax.remat`'s
  recomputation.

  Args:
    function: the function to analyse.
    *args: its arguments, or their `jax.ShapeDtypeStruct`s.
    cpu: if the program depends on the platform, count its CPU branch instead of
      the default one.
  """
  jaxpr = jax.make_jaxpr(function)(*args).jaxpr
  jaxpr = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0]
  counter = _Counter(cpu)
  counter.run(jaxpr, [object() for _ in jaxpr.invars])
  return counter.total


class _Counter:
  """Counter that traces values through a program to find equal products."""

  def __init__(self, cpu: bool):
    self.total = 0
    self._cpu = cpu
    self._seen = {}  # values by the equation that computes them

  def run(self, jaxpr: core.Jaxpr, args: list[Any], times: int = 1) -> list:
    """Counts a program `times` times; returns its output values."""
    env = dict(zip(jaxpr.invars, args, strict=True))
    env |= {var: var for var in jaxpr.constvars}

    def value(atom):
      return env[atom] if isinstance(atom, core.Var) else repr(atom)

    for eqn in jaxpr.eqns:
      inputs = [value(atom) for atom in eqn.invars]
      outputs = self._equation(eqn, inputs, times)
      env |= zip(eqn.outvars, outputs, strict=True)
    return [value(atom) for atom in jaxpr.outvars]

  def _equation(self, eqn, inputs: list[Any], times: int) -> list[Any]:
    name, params = eqn.primitive.name, eqn.params
    inner = [
      x.jaxpr if isinstance(x, core.ClosedJaxpr) else x
      for x in jax.tree.leaves(
        list(params.values()),
        is_leaf=lambda x: isinstance(x, core.Jaxpr | core.ClosedJaxpr),
      )
      if isinstance(x, core.Jaxpr | core.ClosedJaxpr)
    ]
    if name == 'cond':  # by platform: the CPU, then the default
      return self.run(inner[0 if self._cpu else -1], inputs[1:], times)
    if len(inner) == 1 and _is_call(eqn, inner[0]):
      return self.run(inner[0], inputs, times)
    if not inner:
      made_by = name, str(sorted(params.items())), *inputs
      if made_by in self._seen:
        return self._seen[made_by]
      if name == 'dot_general':
        self.total += times * _count_product(eqn)
      elif name == 'conv_general_dilated':
        self.total += times * _count_convolution(eqn)
    for body in inner:
      length = params.get('length', 1)
      self.run(body, [object() for _ in body.invars], times * length)
    outputs = [object() for _ in eqn.outvars]
    if not inner:
      self._seen[made_by] = outputs
    return outputs


def _is_call(eqn, body: core.Jaxpr) -> bool:
  """Tells whether an equation can be inlined: a call, not a loop."""
  shapes = [
    [getattr(atom.aval, 'shape', None) for atom in atoms]
    for atoms in (eqn.invars, body.invars)
  ]
  return shapes[0] == shapes[1] and eqn.primitive.name not in ('scan', 'while')


def _count_product(eqn) -> int:
  (contracted, _), _ = eqn.params['dimension_numbers']
  shape = eqn.invars[0].aval.shape
  depth = math.prod(shape[axis] for axis in contracted)
  return 2 * depth * math.prod(eqn.outvars[0].aval.shape)


def _count_convolution(eqn) -> int:
  params = eqn.params
  lhs, rhs = (v.aval.shape for v in eqn.invars)
  out = eqn.outvars[0].aval.shape
  numbers = params['dimension_numbers']
  batch, features = (out[axis] for axis in numbers.out_spec[:2])
  total = 2 * batch * features * rhs[numbers.rhs_spec[1]]
  for i in range(len(out) - 2):
    size = lhs[numbers.lhs_spec[2 + i]]
    dilation, (low, _) = params['lhs_dilation'][i], params['padding'][i]
    windows = params['window_strides'][i] * np.arange(
      out[numbers.out_spec[2 + i]]
    )
    taps = params['rhs_dilation'][i] * np.arange(rhs[numbers.rhs_spec[2 + i]])
    pixel = windows[:, None] + taps - low  # of the dilated image
    inside = (pixel >= 0) & (pixel <= dilation * (size - 1))
    total *= int((inside & (pixel % dilation == 0)).sum())
  return total
