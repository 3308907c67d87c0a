"""How many operations the compiled steps have: what compiling and loading take.

XLA compiles each to code of its own, and its CPU runtime compares those at the
top of a program with one another. The bounds are a tenth above what there were
when they were written down, by `python -m tests.program_size`.
"""

import jax
import pytest

from experiments.benchmark.workloads import WORKLOADS, make_program
from gan_jax.ops.calls import as_call
from tests.program_size import Size, count, size_of

MOST = {
  'ssgan': Size(1180, 1160),
  'digits_ssgan': Size(1200, 630),
  'gan': Size(165, 97),
  'dcgan': Size(490, 1020),
  'r3gan': Size(850, 1040),
  'improved_gan': Size(1430, 1840),
  'pix2pix': Size(1190, 650),
  'cyclegan': Size(3870, 5100),
}


def test_every_system_has_a_bound():
  assert MOST.keys() == WORKLOADS.keys()


@pytest.mark.systems
@pytest.mark.parametrize('name', MOST)
def test_no_step_has_more_operations(name):
  size = size_of(make_program(name))
  assert size.top <= MOST[name].top
  assert size.calls <= MOST[name].calls


def test_operations_are_counted_where_they_are():
  x = jax.numpy.ones((8, 8))
  part = as_call(lambda x: x @ x @ x)
  text = jax.jit(lambda x: part(part(x)) @ x).lower(x).compile().as_text()
  assert count(text) == Size(top=3, calls=4)  # two calls and a product
