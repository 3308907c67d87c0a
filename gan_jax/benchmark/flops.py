"""Counts the floating-point operations of the products in a program."""

import math

import jax
import numpy as np
from jax.extend import core
from jax.interpreters import partial_eval


def count_flops(function, *args, cpu: bool = False) -> int:
  """Operations in the products of matrices and the convolutions of `function`.

  A multiplication and an addition count as two. What no output needs does not
  count, nor do products with the zeros that pad or dilate an image.

  Args:
    function: to count in.
    *args: its arguments; `jax.ShapeDtypeStruct`s will do.
    cpu: where the program depends on the platform, count the CPU's form and not
      the plain one.
  """
  jaxpr = jax.make_jaxpr(function)(*args).jaxpr
  wanted = [True] * len(jaxpr.outvars)
  return _count(partial_eval.dce_jaxpr(jaxpr, wanted)[0], cpu)


def _count(jaxpr: core.Jaxpr, cpu: bool) -> int:
  total = 0
  for eqn in jaxpr.eqns:
    if eqn.primitive.name == 'dot_general':
      (contracted, _), _ = eqn.params['dimension_numbers']
      shape = eqn.invars[0].aval.shape
      depth = math.prod(shape[axis] for axis in contracted)
      total += 2 * depth * math.prod(eqn.outvars[0].aval.shape)
    elif eqn.primitive.name == 'conv_general_dilated':
      total += _count_convolution(eqn)
    elif eqn.primitive.name == 'cond':  # by platform: the CPU, then the default
      branches = eqn.params['branches']
      total += _count(branches[0 if cpu else -1].jaxpr, cpu)
    else:
      length = eqn.params.get('length', 1)
      for inner in jax.tree.leaves(
        list(eqn.params.values()),
        is_leaf=lambda x: isinstance(x, core.Jaxpr | core.ClosedJaxpr),
      ):
        if isinstance(inner, core.ClosedJaxpr):
          inner = inner.jaxpr
        if isinstance(inner, core.Jaxpr):
          total += length * _count(inner, cpu)
  return total


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
