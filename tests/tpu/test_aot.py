"""What is said of TPUs that are not there."""

import importlib.util
import math
import subprocess

import pytest

from gan_jax.config import load_config
from gan_jax.core.errors import InputError
from gan_jax.tpu import aot, aot_worker
from gan_jax.tpu.chips import CHIPS, chip_of
from tests.conftest import ROOT

needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None, reason='libtpu is not installed'
)


def smoke(name):
  return load_config(str(ROOT / f'configs/{name}.py:smoke'))


@pytest.mark.parametrize(
  'name', ['v9:2x2', 'v5e', 'v5e:foo', 'v6e:2x2x2', 'v4:2x0x1', '']
)
def test_an_unknown_topology_lists_the_known_ones(name):
  with pytest.raises(InputError, match=r'known are: v4:2x2x1, .*v6e:8x8'):
    aot.analyse(smoke('mnist_gan'), name)
  assert chip_of('v5e:2x2') is CHIPS['v5e']


def test_without_the_compiler_it_says_how_to_get_it(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda _: None)
  with pytest.raises(InputError, match=r'pip install -e .*tpu-aot'):
    aot.analyse(smoke('mnist_gan'), 'v5e:2x2')


def test_images_of_unknown_size_are_asked_for(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda _: True)
  config = smoke('mnist_gan')
  config.data.name = 'image_folder'
  with pytest.raises(InputError, match='give --image_shape'):
    aot.analyse(config, 'v5e:2x2')


# Shares of the memory that a batch needs.
NEEDS = {
  'a line': lambda rows: 0.1 + rows / 1000,
  'nothing but the batch': lambda rows: rows / 5000,
  'tiles': lambda rows: 0.01 + math.ceil(rows / 64) * 64 / 700,
  'a square': lambda rows: (rows / 900) ** 2,
  'a root': lambda rows: math.sqrt(rows / 900),
  'a hump': lambda rows: rows / 1000 * (1.6 if rows < 256 else 1),
  'not said above the limit': lambda rows: (
    rows / 1000 if rows < 370 else math.inf
  ),
  'only whether it fits': lambda rows: 0.5 if rows < 1000 else 1.5,
  'none fits': lambda rows: 2 + rows,
}


@pytest.mark.parametrize('name', NEEDS)
@pytest.mark.parametrize('first', [4, 128, 1000, 100_000])
def test_the_largest_batch_is_found_to_an_eighth(name, first):
  need, asked = NEEDS[name], []

  def ask(rows):
    asked.append(rows)
    return need(rows)

  found = aot.largest(ask, first, need(first), devices=4)
  assert all(rows % 4 == 0 for rows in asked)
  assert len(set(asked)) == len(asked) <= (3 if name == 'a line' else 15)
  if name == 'none fits':
    assert found == 0
  else:
    assert need(found) <= 1
    assert need(found + max(4, found // 4 // 8 * 4)) > 1


@pytest.mark.parametrize(
  ('error', 'share'),
  [
    (
      'RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, '
      'the total memory required for HLO temporaries (63.00G) exceeds '
      'available HBM (15.75G). HLO module: jit_steps.',
      4,
    ),
    ('RESOURCE_EXHAUSTED: something else', math.inf),
  ],
)
def test_what_the_compiler_says_is_missing(monkeypatch, error, share):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda _: True)
  monkeypatch.setattr(aot, '_run', lambda *_: {'devices': 4, 'error': error})
  asked = []
  monkeypatch.setattr(aot, 'largest', lambda *args: asked.append(args) or 40)
  config = smoke('mnist_gan')
  config.data.batch_size = 80
  found = aot.analyse(config, 'v5e:2x2')
  assert found['largest_batch'] == 40
  assert asked[0][1:] == (80, share, 4)


def test_a_collective_in_pieces_is_one():
  text = """HloModule jit_steps

%fused_computation.7 (p: f32[1,2]) -> (f32[1,2], f32[4,2]) {
  ROOT %a.1 = f32[4,2] all-gather(%p), channel_id=1
}

%async_collective_fusion.3 (p: f32[4,2], q: f32[8]) -> f32[8] {
  %a.2 = f32[4,2] all-gather(%p), channel_id=1
  ROOT %s = f32[8] add(%q, %q)
}

%add.clone (x: f32[], y: f32[]) -> f32[] {
  ROOT %z = f32[] add(%x, %y)
}

ENTRY %main (p: f32[1,2]) -> f32[8] {
  %async-collective-start = (f32[1,2]) fusion(%p), calls=%fused_computation.7, k
  %f = f32[8] fusion(%w), kind=kCustom, calls=%async_collective_fusion.3
  %r.1 = f32[4] all-reduce-start(%q), channel_id=1, to_apply=%add.clone
  %d.1 = f32[4] all-reduce-done(%r.1)
  ROOT %r.2 = f32[4] all-reduce(%q), channel_id=1, to_apply=%add.clone
}
"""
  found = aot_worker.count_collectives(text)
  assert found == {'all-gather': 1, 'all-reduce': 2}


def made_up(**changes):
  """Of 4 devices, with 1 GiB of everything."""
  return {
    'devices': 4,
    'flops': 2e9,
    'bytes': 1e9,
    'memory': {'state and batch': 2**30, 'program': 2**31},
    'hbm': 2**34,
    'state': {'generator.params': 2**29, 'extra': 4},
    'compute_seconds': 1e-5,
    'memory_seconds': 2e-3,
    'useful_share': 0.75,
    'collectives': {'all-reduce': 2},
    'compile_seconds': 3.0,
  } | changes


def test_the_text_names_what_bounds_a_step():
  config = smoke('mnist_gan')
  config.data.batch_size = 32
  text = aot.to_text(made_up(), config, 'v5e:2x2')
  assert '3.000 GiB of 16.00 a device (18.8%)' in text
  assert text.index('2.000 GiB program') < text.index('1.000 GiB state')
  assert (
    'about 2 ms by these counts, bound by memory (compute 0.01, memory 2;'
    in text
  )
  assert '2 all-reduce' in text
  assert '0.500 GiB of the state is generator.params' in text
  assert 'useful work   75.0%' in text
  pieces = smoke('mnist_gan')
  pieces.train.num_microbatches = 2
  assert 'not known' in aot.to_text(made_up(), pieces, 'v5e:2x2')
  assert 'bound by compute' in aot.to_text(
    made_up(compute_seconds=1.0), config, 'v5e:2x2'
  )
  refused = made_up(error='Used 20G of 15.75G hbm', largest_batch=24)
  text = aot.to_text(refused, config, 'v5e:2x2')
  assert 'a batch of 32 does not fit; 24 rows fit (found to an eighth)' in text
  assert 'largest batch' not in aot.to_text(made_up(), config, 'v5e:2x2')
  assert 'largest batch 64 rows fit' in aot.to_text(
    made_up(largest_batch=64), config, 'v5e:2x2'
  )
  assert 'Used 20G of 15.75G hbm' in text


def test_a_compiler_that_crashes_is_named(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda _: True)
  ended = subprocess.CompletedProcess([], -6, '', '')
  monkeypatch.setattr(aot.subprocess, 'run', lambda *_, **__: ended)
  with pytest.raises(InputError, match='signal 6'):
    aot.analyse(smoke('mnist_gan'), 'v5e:2x2')


@pytest.mark.slow
@needs_libtpu
def test_pieces_of_a_batch_that_matters_as_a_whole_are_refused():
  config = smoke('svhn_ssgan')
  config.data.batch_size = 16
  config.train.num_microbatches = 4
  with pytest.raises(InputError, match=r'^config.train.num_microbatches'):
    aot.analyse(config, 'v5e:2x2')


@pytest.mark.slow
@needs_libtpu
def test_a_batch_that_does_not_fit_one_chip():
  config = load_config(str(ROOT / 'configs/mnist_gan.py'))
  config.data.batch_size = 8_000_000
  found = aot.analyse(config, 'v5e:1x1')
  assert 'exceeds available HBM' in found['error']
  config.data.batch_size = found['largest_batch']
  fits = aot.analyse(config, 'v5e:1x1')
  assert fits['devices'] == 1
  assert fits['hbm'] / 2 < sum(fits['memory'].values()) <= fits['hbm']


@pytest.mark.slow
@needs_libtpu
def test_a_v4_chip_is_one_device():
  config = smoke('mnist_gan')
  config.data.batch_size = 8
  found = aot.analyse(config, 'v4:2x2x1')
  assert found['devices'] == 4
  assert found['hbm'] == 30.75 * 2**30


@pytest.mark.slow
@needs_libtpu
def test_microbatches_take_no_work_away():
  """The compiler counts a loop's body once; the bound must not."""
  config = smoke('mnist_gan')
  config.data.batch_size = 64
  whole = aot.analyse(config, 'v5e:2x2')
  config.train.num_microbatches = 4
  # G's samples are made once for each player, not once for both: up to a third
  # more. What is no product is not in it: up to a third less on tiny layers.
  pieces = aot.analyse(config, 'v5e:2x2')
  assert 0.67 < pieces['flops'] / whole['flops'] < 1.34


@pytest.mark.slow
@needs_libtpu
def test_a_step_is_compiled_for_a_slice():
  config = smoke('mnist_gan')
  config.data.batch_size = 8
  found = aot.analyse(config, 'v5e:2x2')
  assert found['devices'] == 4
  assert found['collectives'] == {'all-reduce': 2}  # one for each player
  # Forward and backward products of two small networks, on a quarter each.
  assert 0 < found['useful_share'] <= 1
  assert found['memory']['state and batch'] > 0
  assert found['compute_seconds'] == found['flops'] / 197e12


@pytest.mark.slow
@needs_libtpu
@pytest.mark.parametrize(
  ('topology', 'batch_size', 'message'),
  [
    ('v5e:3x5', 8, 'the compiler refuses v5e:3x5'),
    ('v5e:2x2', 6, '6 rows is not divisible by the 4 devices'),
  ],
)
def test_what_the_slice_cannot_do(topology, batch_size, message):
  config = smoke('mnist_gan')
  config.data.batch_size = batch_size
  with pytest.raises(InputError, match=message):
    aot.analyse(config, topology)
