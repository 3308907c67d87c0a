import errno
import json
import os
import pathlib
import shutil
import threading

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import SingleDeviceSharding
from numpy.testing import assert_array_equal

from gan_jax.core import os_errors
from gan_jax.runs import stored_state
from gan_jax.runs.checkpoint import (
  Checkpoints,
  abstract,
  all_finite,
  best_step,
)
from gan_jax.runs.fingerprint import sha256_of_json
from gan_jax.runs.stored_state import Damaged, OtherStructure
from gan_jax.systems.state import Player, TrainState, Weights
from tests.tiers import in_systems


def state_at(step, scale=1.0):
  params = {'w': scale * jnp.arange(3.0) / 7}
  player = Player(
    params=params,
    opt_state=(jnp.int32(step), {'mu': params['w'] * 2}),
    model_state={'batch_stats': {'mean': jnp.ones(2)}},
    ema=Weights({'w': params['w'] * 3}, {'batch_stats': {'mean': jnp.ones(2)}}),
  )
  return TrainState(
    step=jnp.int32(step),
    generator=player.replace(params={'w': -params['w']}, ema=None),
    discriminator=player,
    extra={},
  )


@pytest.fixture
def template():
  return abstract(state_at(0), SingleDeviceSharding(jax.devices()[0]))


@pytest.fixture
def folder(tmp_path):
  path = tmp_path / 'checkpoints'
  checkpoints = Checkpoints(path, keep=2)
  for step in (10, 20, 30):
    progress = {'sums': {'d_loss': step / 3}, 'count': step}
    checkpoints.save(state_at(step, scale=step), progress)
    progress['count'] = -1  # later changes by the caller must not matter
  checkpoints.close()
  return path


@pytest.fixture
def generator_alone(template):
  return template.replace(discriminator=None, extra=None)


def flip_a_bit(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(bytes(data))


def damage(folder):
  for path in folder.rglob('*'):
    if path.is_file() and path.parent.name == 'd':
      flip_a_bit(path)


def test_what_is_saved_comes_back(folder, template):
  restored = Checkpoints(folder).restore(30, template)
  want = state_at(30, scale=30)
  assert jax.tree.structure(restored.state) == jax.tree.structure(want)
  jax.tree.map(assert_array_equal, restored.state, want)
  assert restored.progress == {'sums': {'d_loss': 10.0}, 'count': 30}


def test_a_relative_folder_will_do(folder, template, monkeypatch):
  monkeypatch.chdir(folder.parent)
  checkpoints = Checkpoints(pathlib.Path(folder.name), keep=1)
  checkpoints.save(state_at(40), {})
  checkpoints.close()
  assert checkpoints.restore(40, template).step == 40


def test_only_the_latest_are_kept(folder):
  assert Checkpoints(folder).steps() == [20, 30]


def test_no_directory_means_no_checkpoint(tmp_path, template):
  checkpoints = Checkpoints(tmp_path / 'nothing')
  assert checkpoints.restore_latest(template, report=pytest.fail) is None
  assert not (tmp_path / 'nothing').exists()


@pytest.mark.parametrize(
  'part', ['', 'generator', *in_systems('step', 'discriminator')]
)
def test_every_flipped_bit_is_noticed_or_harmless(folder, template, part):
  """No flipped bit in a checkpoint's files restores a wrong state silently."""
  want = state_at(30, scale=30)
  noticed = []
  within = (folder / '30' / part).glob('**/*' if part else '*')
  for path in sorted(p for p in within if p.is_file()):
    whole = path.read_bytes()
    if not whole:
      continue
    flip_a_bit(path)
    try:
      restored = Checkpoints(folder).restore(30, template)
    except Damaged:
      noticed.append(path.relative_to(folder / '30').as_posix())
    else:
      jax.tree.map(assert_array_equal, restored.state, want)
    path.write_bytes(whole)
  if part:
    assert any('/d/' in name for name in noticed)  # the arrays' own bytes
  else:
    assert noticed == ['_CHECKPOINT_METADATA']


def test_a_damaged_checkpoint_falls_back_and_says_so(folder, template):
  damage(folder / '30')
  lines = []
  restored = Checkpoints(folder).restore_latest(template, lines.append)
  assert restored.step == 20
  assert len(lines) == 1
  assert '30' in lines[0]
  assert 'falling back' in lines[0]


def test_when_all_are_damaged_it_is_an_error(folder, template):
  for path in folder.rglob('_CHECKPOINT_METADATA'):
    path.write_text('{}')
  with pytest.raises(Damaged, match='every checkpoint'):
    Checkpoints(folder).restore_latest(template, lambda line: None)


def test_another_dtype_is_refused(folder, template):
  half = template.replace(
    discriminator=template.discriminator.replace(
      params=jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), template
      ).discriminator.params
    )
  )
  with pytest.raises(OtherStructure, match=r'w: float32\[3\] -> bfloat16\[3\]'):
    Checkpoints(folder).restore(30, half)


def test_a_renamed_checkpoint_is_refused(folder, template, generator_alone):
  (folder / '30').rename(folder / '40')
  for wanted in (template, generator_alone):
    with pytest.raises(Damaged, match='holds step 30'):
      Checkpoints(folder).restore(40, wanted)


def test_each_field_has_a_folder(folder):
  names = {path.name for path in (folder / '30').iterdir() if path.is_dir()}
  assert names == {'step', 'generator', 'discriminator'}


def test_a_player_without_a_weight_comes_back(tmp_path):
  empty = Player(params={}, opt_state=(), model_state={}, ema=None)
  state = state_at(1).replace(generator=empty)
  checkpoints = Checkpoints(tmp_path / 'checkpoints')
  checkpoints.save(state, {})
  checkpoints.close()
  template = abstract(state, SingleDeviceSharding(jax.devices()[0]))
  assert checkpoints.restore(1, template).state.generator == empty
  full = template.replace(generator=template.discriminator)
  with pytest.raises(OtherStructure, match=r'mean: \(absent\) -> float32'):
    checkpoints.restore(1, full)


def test_the_generator_is_restored_alone(folder, template, generator_alone):
  shutil.rmtree(folder / '30' / 'discriminator')
  restored = Checkpoints(folder).restore(30, generator_alone)
  want = state_at(30, scale=30).replace(discriminator=None, extra=None)
  assert jax.tree.structure(restored.state) == jax.tree.structure(want)
  jax.tree.map(assert_array_equal, restored.state, want)
  assert restored.progress['count'] == 30
  with pytest.raises(Damaged, match=r'discriminator\.structure is not what'):
    Checkpoints(folder).restore(30, template)


def test_alone_it_does_not_read_the_discriminator(
  folder, template, generator_alone
):
  for path in (folder / '30' / 'discriminator').rglob('*'):
    if path.is_file():
      path.write_bytes(b'rubbish')
  restored = Checkpoints(folder).restore_latest(generator_alone, pytest.fail)
  assert restored.step == 30
  lines = []
  assert Checkpoints(folder).restore_latest(template, lines.append).step == 20
  assert len(lines) == 1


def test_a_damaged_generator_falls_back_to_the_one_before(
  folder, generator_alone
):
  damage(folder / '30' / 'generator')
  lines = []
  restored = Checkpoints(folder).restore_latest(generator_alone, lines.append)
  want = state_at(20, scale=20).generator
  jax.tree.map(assert_array_equal, restored.state.generator, want)
  assert restored.state.discriminator is None
  assert len(lines) == 1
  assert 'checkpoints/30' in lines[0]


@pytest.mark.parametrize('alone', [True, False])
def test_the_generator_of_another_checkpoint_is_refused(
  folder, template, generator_alone, alone
):
  """It is intact, with or without its hash, but the seal covers all parts."""
  shutil.rmtree(folder / '30' / 'generator')
  shutil.copytree(folder / '20' / 'generator', folder / '30' / 'generator')
  template = generator_alone if alone else template
  with pytest.raises(Damaged, match='sha256 is wrong'):
    Checkpoints(folder).restore(30, template)
  path = folder / '30' / '_CHECKPOINT_METADATA'
  other = json.loads((folder / '20' / path.name).read_text())
  metadata = json.loads(path.read_text())
  parts, others = (x['custom_metadata']['parts'] for x in (metadata, other))
  generators = {k: v for k, v in others.items() if k.startswith('generator.')}
  assert generators.items() - parts.items()
  parts |= generators
  path.write_text(json.dumps(metadata))
  with pytest.raises(Damaged, match='sha256 is wrong'):
    Checkpoints(folder).restore(30, template)


def test_progress_is_under_the_seal(folder, generator_alone):
  path = folder / '30' / '_CHECKPOINT_METADATA'
  text = path.read_text()
  assert text.count('"count": 30') == 1
  path.write_text(text.replace('"count": 30', '"count": 31'))
  with pytest.raises(Damaged, match='sha256 is wrong'):
    Checkpoints(folder).restore(30, generator_alone)


def test_damaged_ones_are_moved_not_deleted(folder):
  Checkpoints(folder).set_aside(after=20)
  assert Checkpoints(folder).steps() == [20]
  assert (folder.parent / 'damaged_checkpoints' / '30' / 'generator').is_dir()


def test_all_finite():
  assert all_finite(state_at(1))
  assert not all_finite(state_at(1, scale=jnp.nan))
  assert not all_finite(state_at(1, scale=jnp.inf))


def other_structure(template):
  """Returns the template of a later version: one weight more, and one less."""
  params = template.discriminator.params
  return template.replace(
    discriminator=template.discriminator.replace(params={'v': params['w']})
  )


def forget_structures(folder):
  """Converts checkpoints to those of version 0.1.0."""
  for path in folder.glob('*/_CHECKPOINT_METADATA'):
    metadata = json.loads(path.read_text())
    saved = metadata['custom_metadata']
    saved['parts'] = {
      k: v for k, v in saved['parts'].items() if not k.endswith('.structure')
    }
    saved['sha256'] = sha256_of_json([saved['parts'], saved['progress']])
    del saved['gan_jax']
    path.write_text(json.dumps(metadata))


@pytest.mark.parametrize('old', [False, True])
def test_another_structure_is_no_damage(folder, template, old):
  if old:
    forget_structures(folder)
    assert Checkpoints(folder).restore(30, template).step == 30
  with pytest.raises(OtherStructure) as caught:
    Checkpoints(folder).restore_latest(other_structure(template), pytest.fail)
  message = str(caught.value)
  assert 'discriminator/params/v: (absent) -> float32[3]' in message
  assert 'discriminator/params/w: float32[3] -> (absent)' in message
  if old:
    assert 'written by gan_jax 0.1.0, this is' in message
  else:
    assert 'The config of its run was edited' in message
  assert Checkpoints(folder).steps() == [20, 30]


def test_a_structure_that_was_not_saved_is_damage(folder, template):
  path = folder / '30/discriminator/_METADATA'
  path.write_text(path.read_text().replace('"mean"', '"neat"').replace(
    "'mean'", "'neat'"))  # fmt: skip
  lines = []
  assert Checkpoints(folder).restore_latest(template, lines.append).step == 20
  assert 'discriminator.structure is not what was saved' in lines[0]


def failing(monkeypatch, errors):
  """Makes orbax's reads fail with these errors, and then succeed."""
  load, left = stored_state.ocp.load_checkpointables, list(errors)

  def read(*args):
    if left:
      raise left.pop(0)()
    return load(*args)

  monkeypatch.setattr(stored_state.ocp, 'load_checkpointables', read)
  monkeypatch.setattr(stored_state, '_WAITS', (0.0, 0.0))


def stale():
  return OSError(errno.ESTALE, 'Stale file handle')


def eio():
  return ValueError("INTERNAL: Input/output error [os_error_code='5']")


@pytest.mark.parametrize(
  'errors', [[stale], [eio], [stale, eio], [ValueError, eio]]
)
def test_a_transient_error_costs_nothing(folder, template, monkeypatch, errors):
  failing(monkeypatch, errors)
  restored = Checkpoints(folder).restore_latest(template, pytest.fail)
  assert restored.step == 30


@pytest.mark.parametrize('error', [stale, eio])
def test_a_lasting_error_is_no_damage(folder, template, monkeypatch, error):
  failing(monkeypatch, 9 * [error])
  with pytest.raises(OSError, match=r'error|Stale') as caught:
    Checkpoints(folder).restore_latest(template, pytest.fail)
  assert str(folder / '30') in os_errors.explain(caught.value)
  assert Checkpoints(folder).steps() == [20, 30]


def test_a_file_that_cannot_be_read_is_named(folder, template, monkeypatch):
  monkeypatch.setattr(stored_state, '_WAITS', ())
  data = next((folder / '30/generator/d').iterdir())
  data.unlink()
  data.symlink_to(data.name)
  with pytest.raises(OSError, match='symbolic links') as caught:
    Checkpoints(folder).restore_latest(template, pytest.fail)
  assert caught.value.filename.startswith(str(folder / '30'))


def test_a_damaged_checkpoint_is_told_in_a_line(folder, template):
  for path in (folder / '30').rglob('manifest.ocdbt'):
    path.write_bytes(path.read_bytes()[:20])
  lines = []
  assert Checkpoints(folder).restore_latest(template, lines.append).step == 20
  (line,) = lines
  assert len(line) < 500
  assert '\n' not in line


def held():
  """Counts the threads and open files of this process."""
  return threading.active_count(), len(os.listdir('/proc/self/fd'))


@pytest.mark.systems
def test_saves_hold_on_to_nothing(tmp_path):
  checkpoints = Checkpoints(tmp_path / 'checkpoints')
  for step in range(1, 21):
    checkpoints.save(state_at(step), {})
    checkpoints.wait()
    if step == 5:
      fifth = held()
  threads, files = held()
  assert abs(threads - fifth[0]) <= 2
  assert abs(files - fifth[1]) <= 2
  checkpoints.close()


def test_the_best_is_kept_beside_the_latest(tmp_path, template):
  checkpoints = Checkpoints(tmp_path / 'checkpoints', keep=1)
  for step in range(1, 6):
    checkpoints.save(state_at(step), {}, best=2 if step > 1 else 1)
  checkpoints.close()
  assert checkpoints.steps() == [2, 5]
  assert checkpoints.restore(2, template).step == 2


def test_the_best_step_is_the_latest_of_the_best():
  values = {1: 3.0, 2: 1.0, 3: 1.0, 4: 2.0}
  assert best_step(values, 'validation_fid') == 3
  assert best_step(values, 'precision') == 1
