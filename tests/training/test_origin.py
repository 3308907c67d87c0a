"""Initialisation of a run from another run's parameters."""

import json
import shutil

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.runs import restore
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.fingerprint import fingerprints
from gan_jax.runs.program import build, init_state
from gan_jax.sweep.run import sweep
from gan_jax.training import lanes, loop, origin
from gan_jax.training.verify import verify
from tests import toy

pytestmark = pytest.mark.systems


def config_from(source, rename=None, **changes):
  config = toy.get_config()
  config.seed = 5
  config.init.source, config.init.rename = str(source), rename
  config.update_from_flattened_dict(changes)
  return config


def start_of(config, dataset):
  return jax.device_get(init_state(origin.bind(build(config, dataset))))


def assert_same(got, want):
  jax.tree.map(assert_array_equal, got, want)


@pytest.fixture
def own(tiny_dataset):
  """The state at step 0 of the same seed without a source."""
  config = toy.get_config()
  config.seed = 5
  return jax.device_get(init_state(build(config, tiny_dataset)))


def test_parameters_come_from_there_and_all_else_starts(
  toy_run, tiny_dataset, own
):
  there = jax.device_get(restore.load_run(toy_run).state)
  state = start_of(config_from(toy_run), tiny_dataset)
  assert int(state.step) == 0
  for name in ('generator', 'discriminator'):
    new, old = getattr(state, name), getattr(there, name)
    assert_same(new.params, old.params)
    assert_same(new.model_state, old.model_state)
    assert_same(new.ema, old.weights)  # not the source's average
    assert_same(new.opt_state, getattr(own, name).opt_state)
  assert int(own.generator.opt_state.count) == 0


@pytest.mark.parametrize(
  ('checkpoint', 'player'),
  [('@latest', 'generator'), ('@6', 'discriminator'), ('', 'generator')],
)
def test_one_player_at_a_checkpoint(
  toy_run, tiny_dataset, own, checkpoint, player
):
  there = restore.load_run(toy_run, checkpoint[1:] or 'latest').state
  source = f'{toy_run}{checkpoint}:{player}'
  state = start_of(config_from(source), tiny_dataset)
  assert_same(getattr(state, player).params, getattr(there, player).params)
  (other,) = {'generator', 'discriminator'} - {player}
  assert_same(getattr(state, other), getattr(own, other))


def test_averages_and_optimisers_if_asked_for(toy_run, tiny_dataset):
  there = jax.device_get(restore.load_run(toy_run).state)
  source = f'{toy_run}:all,ema,optimizer'
  state = start_of(config_from(source), tiny_dataset)
  for name in ('generator', 'discriminator'):
    new, old = getattr(state, name), getattr(there, name)
    assert_same(new.params, old.ema.params)
    assert_same(new.opt_state, old.opt_state)
  assert int(state.generator.opt_state.count) == 8
  short = start_of(config_from(f'{toy_run},ema'), tiny_dataset)
  assert_same(short.generator.params, there.generator.ema.params)


def test_what_does_not_fit_is_made_anew_and_listed(toy_run, tiny_dataset, own):
  config = config_from(f'{toy_run}:all,optimizer', **{'model.z_dim': 7})
  program = origin.bind(build(config, tiny_dataset))
  state = jax.device_get(init_state(program))
  there = jax.device_get(restore.load_run(toy_run).state)
  assert_same(state.discriminator.params, there.discriminator.params)
  assert_array_equal(
    state.generator.params['Dense_0']['bias'],
    there.generator.params['Dense_0']['bias'],
  )
  assert state.generator.params['Dense_0']['kernel'].shape == (7, 64)
  text = str(program.origin)
  assert (
    'generator/params/Dense_0/kernel float32[7, 64] (there float32[100, 64])'
    in text
  )
  # Half of Adam's state would not match the counts of the other half.
  assert "the generator's optimiser state does not fit" in text
  assert int(state.generator.opt_state.count) == 0
  assert int(state.discriminator.opt_state.count) == 8


def test_other_names(toy_run, tiny_dataset, own):
  """Rules that rename nothing, clash or are invalid, and two that work."""
  with pytest.raises(InputError, match='renames nothing; give OLD=NEW'):
    start_of(config_from(toy_run, 'conv=dense'), tiny_dataset)
  with pytest.raises(InputError, match='gives two arrays the same path'):
    start_of(config_from(toy_run, '.*=x'), tiny_dataset)
  with pytest.raises(InputError, match=r'init_rename=\(=x: '):
    start_of(config_from(toy_run, '(=x'), tiny_dataset)
  config = config_from(toy_run, r'Dense_(\d)/kernel=Layer_\1/kernel')
  program = origin.bind(build(config, tiny_dataset))
  state = init_state(program)
  assert_same(
    state.generator.params['Dense_0']['kernel'],
    own.generator.params['Dense_0']['kernel'],
  )
  assert 'generator/params/Dense_0/kernel' in program.origin.about['fresh']
  back = config_from(toy_run, 'Dense=Layer;Layer=Dense')
  assert origin.bind(build(back, tiny_dataset)).origin.about['fresh'] == {}


def test_a_fine_tuned_run_lives_without_its_source(
  toy_run, tiny_dataset, tmp_path
):
  """It resumes and is verified, bit-identical to an uninterrupted run."""
  config = config_from(f'{toy_run}@6:all,ema')
  whole = loop.train(config, tmp_path / 'whole', dataset=tiny_dataset)
  directory = tmp_path / 'new'
  first = config.copy_and_resolve_references()
  first.train.num_steps = 4
  loop.train(first, directory, dataset=tiny_dataset)
  shutil.rmtree(toy_run)
  for text in (f'{toy_run}@6:all,ema', first.init.source):
    again = config.copy_and_resolve_references()
    again.init.source = text
    result = loop.train(again, directory, dataset=tiny_dataset)
  assert result['sha256'] == whole['sha256']
  verdict = verify(directory, dataset=tiny_dataset)
  assert (verdict.finding, verdict.steps) == (None, [2, 4, 6, 8])
  about = json.loads((directory / 'init.json').read_text())
  assert about['source'] == f'{toy_run}@6:all,ema'
  assert about['config']['system'] == 'toy'


def test_the_source_is_named_by_its_state(toy_run, tiny_dataset):
  state = jax.device_get(restore.load_run(toy_run, '6').state)
  program = origin.bind(build(config_from(f'{toy_run}@6'), tiny_dataset))
  about = program.origin.about
  assert about['state_sha256'] == fingerprints(state)['state']
  assert about['source'] == f'{toy_run}@6:all'
  assert program.config.init.source == about['source']
  assert len(program.config.init.sha256) == 64


def test_where_another_run_started(toy_run, tiny_dataset, tmp_path):
  """RUN@0 is the start of RUN, fresh or from a third run."""
  own = start_of(config_from(f'{toy_run}@0'), tiny_dataset)
  config = toy.get_config()
  assert_same(
    own.generator.params,
    init_state(build(config, tiny_dataset)).generator.params,
  )
  config = config_from(toy_run)
  config.train.num_steps = 2
  loop.train(config, tmp_path / 'b', dataset=tiny_dataset)
  third = start_of(config_from(f'{tmp_path}/b@0'), tiny_dataset)
  there = restore.load_run(toy_run).state
  assert_same(third.generator.params, there.generator.params)


def test_a_source_that_is_not_what_it_was(toy_run, tiny_dataset, tmp_path):
  config = config_from(toy_run)
  loop.train(config, tmp_path / 'new', dataset=tiny_dataset)
  again = RunDirectory(tmp_path / 'new').read_config()
  loop.train(again, tmp_path / 'same', dataset=tiny_dataset)
  again.init.sha256 = '0' * 64
  with pytest.raises(InputError, match='is not what the run started from'):
    loop.train(again, tmp_path / 'other', dataset=tiny_dataset)
  assert not (tmp_path / 'other/config.json').exists()


def test_what_was_kept_is_checked(toy_run, tiny_dataset, tmp_path):
  run = tmp_path / 'new'
  loop.train(config_from(toy_run), run, dataset=tiny_dataset)
  shutil.rmtree(toy_run)
  with np.load(run / 'init.npz') as file:
    arrays = dict(file)
  name = 'generator/params/Dense_0/bias'
  np.savez(run / 'init.npz', **arrays | {name: arrays[name] + 1})
  with pytest.raises(InputError, match='is not what the run started from'):
    verify(run, dataset=tiny_dataset)
  (run / 'init.npz').write_bytes(b'')
  with pytest.raises(InputError, match=r'init\.npz, from which the run start'):
    verify(run, dataset=tiny_dataset)
  (run / 'init.npz').write_bytes(b'PK\3\4 and no more')
  with pytest.raises(InputError, match=r'init\.npz, from which the run start'):
    verify(run, dataset=tiny_dataset)
  (run / 'init.json').write_text('{}')
  with pytest.raises(InputError, match=r'init\.json is not the file'):
    verify(run, dataset=tiny_dataset)


def test_a_run_is_not_gone_on_with_from_elsewhere(
  toy_run, toy_reference, tiny_dataset, tmp_path
):
  run = tmp_path / 'new'
  loop.train(config_from(toy_run), run, dataset=tiny_dataset)
  plain = config_from(toy_run)
  plain.init.source = None
  for config in (config_from(f'{toy_run}@6'), plain):
    with pytest.raises(InputError, match=r'another config: config\.init\.s'):
      loop.train(config, run, dataset=tiny_dataset)
  config = toy.get_config()
  config.init.source = str(run)
  with pytest.raises(InputError, match=r'another config: config\.init\.s'):
    loop.train(config, toy_run, dataset=tiny_dataset)


def test_a_sweep_from_another_run(toy_run, tiny_dataset, tmp_path):
  """A second call recognises its runs, with their source, as finished."""
  config = config_from(toy_run)
  config.train.num_steps = 2
  for _ in range(2):
    result = sweep(
      config, tmp_path / 'sweep', seeds=[0, 1], mode='turn',
      dataset=tiny_dataset,
    )  # fmt: skip
    assert result.failed == {}
  assert 'Failed' not in (tmp_path / 'sweep/table.md').read_text()


def test_another_start_with_a_runs_config(toy_run, tiny_dataset, tmp_path):
  """The recorded hash applies to the run's own source only."""
  loop.train(config_from(toy_run), tmp_path / 'a', dataset=tiny_dataset)
  config = RunDirectory(tmp_path / 'a').read_config()
  config.init.source = f'{toy_run}@6'
  with pytest.raises(InputError, match=r'set config\.init\.sha256 to None'):
    origin.bind(build(config, tiny_dataset))
  config.init.sha256 = None
  assert origin.bind(build(config, tiny_dataset)).origin is not None


@pytest.mark.parametrize('key', ['rename', 'sha256'])
def test_what_is_of_no_use_without_a_source(tiny_dataset, key):
  config = toy.get_config()
  config.init[key] = 'a=b'
  with pytest.raises(InputError, match=f'init.{key} = .*; give --init_from'):
    origin.bind(build(config, tiny_dataset))


def test_where_a_run_started_is_lost(toy_run, tiny_dataset, tmp_path):
  loop.train(config_from(toy_run), tmp_path / 'a', dataset=tiny_dataset)
  (tmp_path / 'a/init.json').unlink()
  with pytest.raises(InputError, match=r'but its init\.json is missing'):
    start_of(config_from(f'{tmp_path}/a@0'), tiny_dataset)


@pytest.mark.parametrize(
  ('source', 'message'),
  [
    ('a\nb', 'names no run'),
    ('nowhere', 'nowhere is not a run directory'),
    ('{run}@7', "unknown checkpoint '7'; choose one of"),
    ('{run}@best', 'has no best checkpoint'),
    ('{run}:critic', 'is not a run directory'),
  ],
)
def test_sources_that_are_none(toy_run, tiny_dataset, source, message):
  config = config_from(source.format(run=toy_run))
  with pytest.raises(InputError, match=message):
    origin.bind(build(config, tiny_dataset))


def test_a_run_of_nothing_that_fits(toy_run, tiny_dataset):
  config = config_from(f'{toy_run}:generator', 'Dense=Other')
  with pytest.raises(InputError, match=r'no parameter of .* fits .*init_ren'):
    origin.bind(build(config, tiny_dataset))


def test_a_run_without_averages(toy_run, tiny_dataset, tmp_path):
  config = toy.get_config()
  config.optimizer.discriminator.ema = {'name': 'none'}
  loop.train(config, tmp_path / 'a', dataset=tiny_dataset)
  program = build(config_from(f'{tmp_path}/a:all,ema'), tiny_dataset)
  assert 'its discriminator has no average' in str(origin.bind(program).origin)
  program = build(config_from(f'{tmp_path}/a:discriminator,ema'), tiny_dataset)
  with pytest.raises(InputError, match='keeps no average; leave out ,ema'):
    origin.bind(program)


def test_seeds_that_are_trained_together(toy_run, tiny_dataset, tmp_path):
  """Each lane starts from the other run, and keeps the arrays taken."""
  configs, folders = [], []
  for seed in (5, 6):
    config = config_from(toy_run)
    config.seed, config.train.num_steps = seed, 2
    configs.append(config)
    folders.append(tmp_path / f'lane{seed}')
  lanes.train_lanes(configs, folders, dataset=tiny_dataset)
  loop.train(configs[0], tmp_path / 'alone', dataset=tiny_dataset)
  lane, alone = (
    jax.device_get(restore.load_run(x).state)
    for x in (folders[0], tmp_path / 'alone')
  )
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, rtol=1e-5, atol=1e-6), lane, alone
  )
  for folder in folders:
    about = json.loads((folder / 'init.json').read_text())
    assert about['source'] == f'{toy_run}@8:all'
