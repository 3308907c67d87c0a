"""Number of operations in the compiled steps, which sets compile and load time.

XLA compiles each operation separately, and its CPU runtime compares those at
the top of a program with one another. The bounds are 1.3 times the counts on
one processor, by `python -m tests.program_size`; on another, XLA emits up to a
sixth more. With separate operations for each product of a convolution there
would be two to five times as many.
"""

import jax
import pytest

from experiments.benchmark.workloads import WORKLOADS, make_program
from gan_jax.ops.calls import as_call
from tests.program_size import Size, count, size_of

MOST = {
  'ssgan': Size(1390, 1380),
  'digits_ssgan': Size(1410, 740),
  'gan': Size(200, 110),
  'dcgan': Size(570, 1200),
  'rpgan': Size(1000, 1230),
  'sngan': Size(1820, 350),
  'r3gan': Size(1500, 1380),
  'improved_gan': Size(1690, 2170),
  'pix2pix': Size(1400, 760),
  'cyclegan': Size(4580, 6020),
  'fastcut': Size(2780, 2400),
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
