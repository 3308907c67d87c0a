import jax
import jax.numpy as jnp
import pytest
from jax import lax

from gan_jax.ops.convolution import conv, conv_transpose
from gan_jax.tpu.flops import count_flops


def test_a_product_of_matrices():
  a, b = jnp.zeros((3, 5)), jnp.zeros((5, 7))
  assert count_flops(lambda a, b: a @ b, a, b) == 2 * 3 * 5 * 7
  batched = jnp.zeros((4, 3, 5)), jnp.zeros((4, 5, 7))
  assert count_flops(jnp.matmul, *batched) == 4 * 2 * 3 * 5 * 7


def test_a_convolution_counts_no_padding():
  x, kernel = jnp.zeros((2, 4, 4, 3)), jnp.zeros((3, 3, 3, 5))
  valid = count_flops(lambda x, k: conv(x, k, padding='VALID'), x, kernel)
  assert valid == 2 * 2 * 2 * 2 * 9 * 3 * 5
  # 3 + 2 * 2 taps... of 4 outputs in a row, the outer two see 2 of 3 taps.
  same = count_flops(conv, x, kernel)
  assert same == 2 * 2 * 10 * 10 * 3 * 5


@pytest.mark.parametrize('function', [conv, conv_transpose])
def test_each_gradient_costs_what_the_value_costs(function):
  x, kernel = jnp.zeros((2, 6, 6, 3)), jnp.zeros((5, 5, 3, 4))

  def run(x, kernel):
    return function(x, kernel, (2, 2), 'SAME')

  once = count_flops(run, x, kernel)
  # The loss is linear, so the value itself is not computed.
  both = count_flops(jax.grad(lambda *a: run(*a).sum(), (0, 1)), x, kernel)
  assert once > 0
  assert both in (2 * once, 3 * once)


def test_minimal_filtering_takes_fewer_products_on_the_cpu():
  x, kernel = jnp.zeros((1, 32, 32, 64)), jnp.zeros((3, 3, 64, 64))
  inside = count_flops(conv, x, kernel)
  assert inside == 2 * (3 * 32 - 2) ** 2 * 64 * 64
  cpu = count_flops(conv, x, kernel, cpu=True)
  assert cpu == 2 * 16 * 16**2 * 64 * 64
  few = jnp.zeros((1, 32, 32, 3)), jnp.zeros((3, 3, 3, 3))
  assert count_flops(conv, *few, cpu=True) == count_flops(conv, *few)


def test_a_dilated_input_and_a_loop():
  x, kernel = jnp.zeros((1, 3, 3, 1)), jnp.zeros((2, 2, 1, 1))
  y = lambda x: lax.conv_transpose(  # noqa: E731
    x, kernel, (2, 2), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )
  assert count_flops(y, x) == 2 * 9 * 4  # each pixel meets each tap once
  loop = lambda a: lax.scan(lambda c, _: (c @ c, None), a, length=6)[0]  # noqa: E731
  assert count_flops(loop, jnp.zeros((3, 3))) == 6 * 2 * 27


def test_the_same_product_of_the_same_values_counts_once():
  a, b = jnp.zeros((3, 5)), jnp.zeros((5, 7))
  once = count_flops(jnp.matmul, a, b)

  def passes(a, b, c):
    hidden = jax.jit(jax.nn.relu)(a @ b)
    penalty = jax.grad(lambda a: jax.nn.relu(a @ b).sum())(a)
    return hidden, penalty, c @ b

  # Another forward pass, and the gradient: neither is the first one.
  assert count_flops(passes, a, b, a + 1) == 3 * once
  again = jax.checkpoint(lambda a: jnp.sin(a @ b))
  # The gradient needs the product, and one of its own.
  assert count_flops(jax.grad(lambda a: again(a).sum()), a) == 2 * once
  loop = lambda a: lax.scan(lambda c, x: (c, x @ b), None, jnp.stack([a, a]))  # noqa: E731
  assert count_flops(loop, a) == 2 * once
  # A scatter has a body, too, which is no part of the program.
  scatter = lambda a: (a @ b).at[jnp.array([0, 2])].add(1)  # noqa: E731
  assert count_flops(scatter, a) == once
  constant = jax.jit(lambda a: a @ jnp.ones((5, 7)))
  assert count_flops(lambda a: (constant(a), constant(a)), a) == once
