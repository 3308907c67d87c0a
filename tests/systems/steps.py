"""Helpers of the systems' tests: steps, and networks applied by hand."""

import functools

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
from numpy.testing import assert_allclose

from gan_jax.config import load_config
from gan_jax.data.batches import to_unit_range
from gan_jax.runs.program import advance, build, init_state
from tests.changes import with_sgd
from tests.conftest import ROOT

RATE = 0.1
close = functools.partial(
  jax.tree.map, lambda a, b: assert_allclose(a, b, atol=1e-6)
)


def plain_config(name):
  """Returns a smoke config with plain SGD, whose steps are easy to predict."""
  config = load_config(str(ROOT / f'configs/{name}.py:smoke'))
  config.parallel = 'jit'
  config.data.batch_size = 6
  return with_sgd(config, RATE)


def convolve(config, normalization, width=2):
  """Replaces a config's MLPs by small DCGANs."""
  config.model.discriminator = ConfigDict(
    {
      'name': 'conv',
      'width': width,
      'base_size': 2,
      'normalization': normalization,
      'init_stddev': None,
    }
  )
  config.model.generator = ConfigDict(
    {'name': 'deconv', 'size_mult': 2, 'base_size': 4, 'init_stddev': None}
  )


def batch_of(program):
  return {
    name: rows | {'image': to_unit_range(jnp.asarray(rows['image']))}
    for name, rows in program.sampler()(0).items()
  }


def one_step(program, *, step=0, purpose='train', batch=None):
  """Takes one step; returns the states before and after, and the metrics."""
  state = init_state(program).replace(step=jnp.int32(step))
  run = jax.jit(program.system.train_step)
  return state, *run(state, batch or batch_of(program), program.key(purpose))


def train(config, dataset, mode, num_steps):
  """Returns the state and the metrics after some steps."""
  config.parallel = mode
  program = build(config, dataset)
  for step, state, metrics in advance(program, init_state(program), 0):
    if step == num_steps:
      return state, metrics


def by_hand(program, player):
  """Returns (params, model state, inputs) -> (outputs, new statistics)."""
  network = program.system.networks[player].module

  def apply(params, model_state, x):
    variables = {'params': params, **model_state}
    return network.apply(variables, x, train=True, mutable=list(model_state))

  return apply
