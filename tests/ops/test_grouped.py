import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads
from numpy.testing import assert_allclose

from gan_jax.ops.grouped import grouped_conv


def arrays(groups, width, out, size=(3, 3), seed=0):
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(2, 5, 4, groups * width)).astype('float32')
  kernel = rng.normal(size=(*size, width, groups * out)).astype('float32')
  return jnp.asarray(x), jnp.asarray(kernel)


@pytest.mark.parametrize('size', [(3, 3), (1, 1), (5, 3)])
@pytest.mark.parametrize(
  ('groups', 'width', 'out'),
  [(1, 4, 6), (3, 2, 4), (16, 2, 3), (6, 1, 1), (3, 1, 2)],
)
def test_it_is_laxs_convolution(groups, width, out, size):
  x, kernel = arrays(groups, width, out, size)
  want = lax.conv_general_dilated(
    x, kernel, (1, 1), 'SAME', feature_group_count=groups,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )  # fmt: skip
  got = jax.jit(grouped_conv, static_argnums=2)(x, kernel, groups)
  assert_allclose(got, want, atol=2e-5)


def test_it_can_be_differentiated_twice():
  x, kernel = arrays(2, 2, 2)

  def f(x, kernel):
    return jnp.tanh(grouped_conv(x, kernel, 2)).sum()

  check_grads(f, (x, kernel), order=2, modes=['rev'], eps=1e-2, rtol=2e-2)


@pytest.mark.parametrize(
  ('x', 'kernel', 'groups', 'message'),
  [
    ((1, 4, 4, 6), (3, 3, 2, 6), 2, 'for 2 groups, not'),
    ((1, 4, 4, 6), (3, 3, 3, 5), 2, 'for 2 groups, not'),
    ((4, 4, 6), (3, 3, 3, 6), 2, 'for 2 groups, not'),
    ((1, 4, 4, 6), (2, 3, 3, 6), 2, 'odd size'),
  ],
)
def test_shapes_that_do_not_fit(x, kernel, groups, message):
  with pytest.raises(ValueError, match=message):
    grouped_conv(jnp.zeros(x), jnp.zeros(kernel), groups)
