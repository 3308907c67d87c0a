"""Operations in the compiled step of every config."""

import re

import jax.numpy as jnp
import pytest

from experiments.benchmark.workloads import WORKLOADS, make_program
from gan_jax.config import load_config
from gan_jax.data.batches import to_unit_range
from gan_jax.ops.convolution import conv
from gan_jax.runs.program import build, compile_step, state_shapes
from gan_jax.tpu.flops import count_flops
from tests import made_up
from tests.conftest import ROOT

CONFIGS = sorted((ROOT / 'configs').glob('*.py'))


def has_convolutions(path):
  return 'hidden' not in load_config(str(path)).model.discriminator


CONVOLUTIONAL = [path for path in CONFIGS if has_convolutions(path)]


def program_of(path):
  config = load_config(f'{path}:smoke')
  config.parallel = 'jit'
  return build(config, made_up.for_config(config))


def lowered(program):
  """Returns the step before XLA compiles it."""
  state = state_shapes(program.system, program.data.spec)
  return compile_step(program).lower(
    state, [program.sampler()(0)], program.key('train')
  )


@pytest.mark.systems
@pytest.mark.parametrize('path', CONVOLUTIONAL, ids=lambda path: path.stem)
def test_no_convolution_dilates_its_input_on_the_cpu(path):
  # Machine code, which nobody runs, takes most of the time.
  quick = {'xla_backend_optimization_level': 0}
  text = lowered(program_of(path)).compile(quick).as_text()
  assert ' convolution(' in text
  assert not re.search('lhs_dilate=|base-dilated', text)


@pytest.mark.systems
@pytest.mark.parametrize(
  'name', [n for n, w in WORKLOADS.items() if ROOT / w.config in CONVOLUTIONAL]
)
def test_nor_at_full_size_where_other_forms_are_chosen(name):
  text = lowered(make_program(name)).as_text()
  assert 'batching_dims = [0, 1] x [0, 1]' in text  # minimal filtering
  assert not re.search(r'lhs_dilate = \[(?!1, 1\])', text)
  # XLA runs others fast only at the top level of a program.
  orders = re.findall(
    r'stablehlo.convolution.*dim_numbers = (.*), window', text
  )
  assert set(orders) <= {'[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]'}


def test_networks_passes_are_shared_by_the_two_losses():
  """Simultaneous play takes one pass of G, two of D, and their gradients.

  A layer's forward pass, kernel gradient and input gradient cost the same. G
  needs all three, except the gradient of z. D needs the forward pass and kernel
  gradients on data and samples; the input gradients on data and samples for D's
  loss, except those of the images; and those on samples for G's.
  """
  program = program_of(CONFIGS[0].with_name('svhn_ssgan.py'))
  state = state_shapes(program.system, program.data.spec)
  rows = dict(program.sampler()(0)['train'])
  image = rows['image'] = to_unit_range(jnp.asarray(rows['image']))
  z = jnp.zeros((len(image), program.config.model.z_dim))

  def passes(player, *inputs):
    network = program.system.networks[player].module
    weights = getattr(state, player).weights
    variables = {'params': weights.params, **weights.model_state}
    return count_flops(
      lambda variables, *x: network.apply(variables, *x, train=False),
      variables,
      *inputs,
    )

  g, d = passes('generator', z), passes('discriminator', image)
  step = count_flops(
    program.system.train_step, state, {'train': rows}, program.key('train')
  )
  dense = state.generator.params['dense']['kernel']
  of_z = 2 * len(image) * dense.size
  first = state.discriminator.params['conv1']['kernel']
  of_images = count_flops(
    lambda x, kernel: conv(x, kernel, (2, 2)), image, first
  )
  assert step == 3 * g - of_z + 7 * d - 2 * of_images
