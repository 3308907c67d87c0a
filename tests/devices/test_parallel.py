"""A step in every mode of `config.parallel`."""

import re

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.data.synthetic.points import MIXTURES
from gan_jax.devices import parallel
from gan_jax.runs.program import build, init_state
from gan_jax.systems import make_system
from gan_jax.training import loop
from tests import made_up, toy
from tests.changes import with_sgd
from tests.systems.steps import plain_config, train

CASES = [
  'toy',
  *(
    pytest.param(name, marks=pytest.mark.systems)
    for name in (
      'mnist_gan', 'digits_ssgan', 'mnist_ssgan', 'fashion_rpgan_dcgan',
      'digits_supervised', 'facades_pix2pix', 'facades_cyclegan',
      'facades_cut',
    )
  ),
]  # fmt: skip


def tiny(name):
  """A smoke config with plain SGD, and random data."""
  config = toy.get_config() if name == 'toy' else plain_config(name)
  config.data.batch_size = 4
  # The ResNet's logit is a sum over 64 pixels, and so is its gradient; features
  # of length one have a gradient as large as they were small.
  large = name in ('fashion_hinge', 'facades_cut')
  config = with_sgd(config, 1e-3 if large else 0.1)
  if name == 'facades_cut':
    config.model.init_gain, config.loss.lambda_nce = 1.0, 0.1
  if name.startswith('facades'):
    config.data.name = 'pairs' if 'pix2pix' in name else 'two sets'
    return config, made_up.two_domains(config.data)
  if config.data.name in MIXTURES:
    return config, made_up.for_config(config)
  if config.data.num_labels is not None:
    config.data.num_labels = 20
  sizes = {'toy': 8, 'digits': 8, 'mnist': 28, 'fashion': 32}
  return config, made_up.labelled(60, sizes[name.partition('_')[0]], 1)


def assert_close(a, b, atol):
  jax.tree.map(
    lambda x, y: assert_allclose(x, y, rtol=1e-5, atol=atol),
    jax.device_get(a),
    jax.device_get(b),
  )


@pytest.mark.systems
@pytest.mark.parametrize('name', CASES[:3])
def test_all_modes_agree(name):
  """They agree on the full state, after steps of plain SGD.

  Adam would hide a gradient that is wrong by a factor. Two devices sum in
  another order, and float32 rounding errors grow with each step. The tests of
  the other systems compare jit with pmap.
  """
  config, dataset = tiny(name)
  runs = {
    mode: train(config, dataset, mode, 3)
    for mode in ('jit', 'pmap', 'shard_map')
  }
  config.parallel = 'jit'
  start = init_state(build(config, dataset))
  for player in ('generator', 'discriminator'):
    moved = jax.tree.map(
      lambda a, b: abs(a - b).max(),
      jax.device_get(getattr(runs['jit'][0], player).params),
      jax.device_get(getattr(start, player).params),
    )
    assert max(jax.tree.leaves(moved)) > 1e-3
  assert_close(runs['pmap'], runs['jit'], 2e-5)
  assert_close(runs['shard_map'], runs['jit'], 2e-5)


def two_devices():
  return jax.sharding.Mesh(np.array(jax.devices()[:2]), (parallel.AXIS_NAME,))


def steps_of(config, dataset):
  """Returns the initial state, and (mapped step) -> the state two steps on."""
  config.parallel = 'shard_map'
  program = build(config, dataset)
  system = make_system(config, program.data.spec, parallel.AXIS_NAME)
  sampler, key = program.sampler(), program.key('train')

  def run(mapped, split):
    state = init_state(program)
    for step in range(2):
      batch = jax.tree.map(split, sampler(step))
      state, metrics = mapped(state, batch, key)
    return jax.device_get((state, metrics))

  return parallel.several_steps(system.train_step), run


# The translation systems' options compare each of them with one device.
@pytest.mark.parametrize('name', CASES[:-3])
def test_pmap_is_shard_map(name):
  """They agree up to rounding: on some processors XLA sums in another order."""
  steps, run = steps_of(*tiny(name))
  pmapped = jax.pmap(
    steps, 'batch', in_axes=(None, 1, None), out_axes=(None, None)
  )
  by_pmap = run(pmapped, lambda x: x.reshape(1, 2, -1, *x.shape[1:]))
  by_shard_map = run(parallel.shard(steps, two_devices()), lambda x: x[None])
  assert_close(by_pmap, by_shard_map, 2e-6)


@pytest.mark.parametrize('name', CASES)
def test_the_state_is_proven_to_come_out_replicated(name):
  """JAX proves it while tracing the step with check_vma=True."""
  config, dataset = tiny(name)
  config.parallel = 'shard_map'
  program = build(config, dataset)
  system = make_system(config, program.data.spec, parallel.AXIS_NAME)
  steps = parallel.shard(
    parallel.several_steps(system.train_step), two_devices(), check_vma=True
  )
  state = init_state(program)
  batch = jax.tree.map(lambda x: x[None], program.sampler()(0))
  after, _ = jax.eval_shape(steps, state, batch, program.key('train'))
  jax.tree.map(lambda a, b: assert_array_equal(a.shape, b.shape), after, state)


def test_with_check_vma_the_gradients_are_not_summed():
  """A sum would be wrong by a factor of two, which plain SGD would show."""
  config, dataset = tiny('toy')
  steps, run = steps_of(config, dataset)
  checked = parallel.shard(steps, two_devices(), check_vma=True)
  found = run(checked, lambda x: x[None])
  want = train(config, dataset, 'jit', 2)
  assert_close(found, want, 1e-6)


@pytest.mark.parametrize(
  ('name', 'normalised', 'count'),
  [
    # D's mean of each pass, in each player's turn; both updates.
    ('toy', None, 6),
    pytest.param('mnist_gan', None, 2, marks=pytest.mark.systems),
    # Each on its own device: nothing but the two players' updates.
    pytest.param('fashion_dcgan', False, 2, marks=pytest.mark.systems),
    # D has 2 layers of BatchNorm, whose statistics are needed on real images
    # and on fakes, in each of three passes of D's update and G's; G has 1.
    pytest.param('fashion_dcgan', True, 19, marks=pytest.mark.systems),
    pytest.param('facades_pix2pix', False, 2, marks=pytest.mark.systems),
    # Both players' gradients are there at once: one message.
    pytest.param('facades_cyclegan', None, 1, marks=pytest.mark.systems),
  ],
)
def test_the_number_of_all_reduces(name, normalised, count):
  config, dataset = tiny(name)
  if normalised is not None:
    config.model.sync_batch_norm = normalised
  config.parallel = 'shard_map'
  program = build(config, dataset)
  system = make_system(config, program.data.spec, parallel.AXIS_NAME)
  step = parallel.compile_step(system.train_step, 'shard_map')
  lowered = step.lower(
    init_state(program), [program.sampler()(0)], program.key('train')
  )
  text = lowered.compile().as_text()
  assert len(re.findall(r' all-reduce(?:-start)?\(', text)) == count


@pytest.mark.systems
def test_a_run_moves_between_modes(toy_config, tiny_dataset, tmp_path):
  """States agree within the tolerance for sums in another order."""
  config = with_sgd(toy_config)
  config.train.num_steps = 6
  whole = loop.train(config, tmp_path / 'whole', dataset=tiny_dataset)
  for num_steps, mode in ((2, 'jit'), (4, 'pmap'), (6, 'shard_map')):
    config.train.num_steps, config.parallel = num_steps, mode
    moved = loop.train(config, tmp_path / 'moved', dataset=tiny_dataset)
  assert [s['parallel'] for s in moved['sessions']] == [
    'jit', 'pmap over 2 devices', 'shard_map over 2 devices'
  ]  # fmt: skip
  for name, value in whole.items():
    if isinstance(value, float) and 'second' not in name:
      assert_allclose(moved[name], value, rtol=1e-4, atol=1e-5)


def test_auto_is_what_the_devices_allow(monkeypatch):
  assert parallel.resolve('auto') == 'pmap'
  monkeypatch.setattr(jax, 'device_count', lambda: 1)
  assert parallel.resolve('auto') == 'jit'
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  assert parallel.resolve('auto') == 'shard_map'
  assert parallel.resolve('pmap') == 'pmap'
  for mode in ('jit', 'pmap'):
    with pytest.raises(InputError, match=f'{mode} is for one process'):
      parallel.check(mode, 4)


@pytest.mark.parametrize('mode', ['pmap', 'shard_map'])
def test_a_batch_that_does_not_divide(mode):
  parallel.check(mode, 4)
  parallel.check('jit', 5)
  with pytest.raises(InputError, match='5 rows is not divisible by 2 devices'):
    parallel.check(mode, 5)


def test_processes_with_different_numbers_of_devices(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  monkeypatch.setattr(jax, 'device_count', lambda: 6)
  for local in (2, 4):
    monkeypatch.setattr(jax, 'local_device_count', lambda n=local: n)
    with pytest.raises(
      InputError, match='of the 6 devices of 2 processes; give'
    ):
      parallel.check('auto', 12)


def test_the_state_has_no_device_axis():
  config, dataset = tiny('toy')
  shapes = jax.tree.map(np.shape, train(config, dataset, 'jit', 1)[0])
  for mode in ('pmap', 'shard_map'):
    state = train(config, dataset, mode, 1)[0]
    assert jax.tree.map(np.shape, state) == shapes
    assert all(x.is_fully_replicated for x in jax.tree.leaves(state))
