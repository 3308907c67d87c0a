"""Networks in bfloat16, and everything else in float32."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax.runs.program import build, init_state, state_shapes
from tests.devices.test_parallel import tiny
from tests.tiers import in_systems

pytestmark = pytest.mark.systems

CASES = [
  'mnist_gan',
  'mnist_ssgan',
  'digits_ssgan',
  'digits_supervised',
  'fashion_rpgan_dcgan',
  'fashion_hinge',  # spectral normalisation
  'facades_pix2pix',
  'facades_cut',
  'facades_cyclegan',
]
EACH = pytest.mark.parametrize('name', CASES)


def step_of(name, dtype):
  """Returns a program, and the arguments of its step except the state."""
  config, dataset = tiny(name)
  config.dtype = dtype
  program = build(config, dataset)
  batch = jax.tree.map(jnp.asarray, program.sampler()(0))
  for rows in batch.values():
    for column, value in rows.items():
      if value.dtype == np.uint8:
        rows[column] = value / 127.5 - 1.0
  return program, (batch, program.key('train'))


def products(name, dtype):
  """Returns the dtypes of the products' operands, in the program for a TPU."""
  program, args = step_of(name, dtype)
  state = state_shapes(program.system, program.data.spec)
  traced = jax.jit(program.system.train_step).trace(state, *args)
  text = traced.lower(lowering_platforms=('tpu',)).as_text()
  kinds = 'convolution|dot_general'
  # The power iteration is in float32, and so is CUT's loss.
  if name in ('fashion_hinge', 'facades_cut'):
    kinds = 'convolution'
  lines = re.findall(rf'stablehlo\.(?:{kinds}).*: \((.*)\) ->', text)
  return [re.findall(r'x(f32|bf16)>', line) for line in lines]


FAST = ['mnist_gan', 'digits_ssgan', 'fashion_hinge', 'facades_pix2pix']


@pytest.mark.parametrize(
  'name', [*FAST, *in_systems(*(name for name in CASES if name not in FAST))]
)
def test_all_products_are_of_bfloat16(name):
  for dtype, short in (('bfloat16', 'bf16'), ('float32', 'f32')):
    found = products(name, dtype)
    assert len(found) > 5
    assert all(pair == [short, short] for pair in found), found


@EACH
def test_the_state_and_the_losses_are_float32(name):
  program, args = step_of(name, 'bfloat16')
  state = state_shapes(program.system, program.data.spec)
  state, metrics = jax.eval_shape(program.system.train_step, state, *args)
  for leaf in jax.tree.leaves((state, metrics)):
    assert leaf.dtype in (jnp.float32, jnp.int32)


@pytest.mark.parametrize(
  'name', ['mnist_ssgan', 'digits_ssgan', 'digits_supervised']
)
def test_the_losses_are_those_of_float32_up_to_roundings(name):
  """They agree to bfloat16's 8 bits; other systems' options have such tests."""
  results = {}
  for dtype in ('float32', 'bfloat16'):
    program, args = step_of(name, dtype)
    step = jax.jit(program.system.train_step)
    results[dtype] = step(init_state(program), *args)
  state, metrics = results['bfloat16']
  for leaf in jax.tree.leaves((state, metrics)):
    assert np.isfinite(leaf).all()
  want = results['float32'][1]
  assert metrics != want
  for key in metrics:
    if 'loss' in key:
      assert_allclose(
        metrics[key], want[key], rtol=0.05, atol=0.02, err_msg=key
      )
