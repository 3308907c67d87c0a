import json
import shutil

import jax
import jax.numpy as jnp
import pytest

from gan_jax.core.errors import InputError
from gan_jax.runs.checkpoint import Checkpoints
from gan_jax.runs.program import build, state_template
from gan_jax.training import verify as verify_module
from gan_jax.training.loop import train
from gan_jax.training.verify import verify


@pytest.fixture
def config(toy_config):
  """A run of four steps, with checkpoints and reports at steps 2 and 4."""
  toy_config.train.num_steps = 4
  toy_config.log.report_every_steps = 2
  return toy_config


@pytest.fixture(scope='session')
def original(tmp_path_factory):
  return tmp_path_factory.mktemp('original') / 'run'


@pytest.fixture
def run(config, tiny_dataset, original, tmp_path):
  """A finished run of that config, moved elsewhere."""
  train(config, original, dataset=tiny_dataset)
  return shutil.copytree(original, tmp_path / 'moved' / 'run')


def edit_json(path, change):
  value = json.loads(path.read_text())
  change(value)
  path.write_text(json.dumps(value))


def test_an_honest_run_is_identical(run, tiny_dataset):
  before = sorted(p.name for p in run.rglob('*'))
  verdict = verify(run, dataset=tiny_dataset)
  assert verdict.finding is None
  assert verdict.steps == [2, 4]
  assert sorted(p.name for p in run.rglob('*')) == before


def test_one_flipped_weight_is_found(run, config, tiny_dataset):
  """It is found even in a checkpoint that was saved anew, with valid hashes."""
  program = build(config, tiny_dataset)
  folder = run / 'checkpoints'
  saved = Checkpoints(folder).restore(4, state_template(program))
  flipped = jax.tree.map(jnp.copy, saved.state)
  layer = flipped.discriminator.params['Dense_0']
  bits = jax.lax.bitcast_convert_type(layer['bias'], jnp.int32)
  layer['bias'] = jax.lax.bitcast_convert_type(
    bits.at[0].set(bits[0] ^ 1), jnp.float32
  )
  shutil.rmtree(folder / '4')
  forger = Checkpoints(folder, keep=9)
  forger.save(flipped, saved.progress)
  forger.close()
  verdict = verify(run, dataset=tiny_dataset)
  assert 'step 4: the checkpoint is not the one' in verdict.finding


def test_one_changed_row_is_found_and_named(run, tiny_dataset):
  image = tiny_dataset.train.image.copy()
  image[0, 0, 0, 0] ^= 1
  changed = tiny_dataset._replace(
    train=tiny_dataset.train._replace(image=image)
  )
  verdict = verify(run, dataset=changed)
  assert verdict.finding == 'step 2: the state differs'
  assert any('sha256.train' in cause for cause in verdict.causes)


def test_one_changed_test_row_is_found(run, tiny_dataset):
  image = tiny_dataset.test.image.copy()
  image[0, 0, 0, 0] ^= 1
  changed = tiny_dataset._replace(test=tiny_dataset.test._replace(image=image))
  assert verify(run, dataset=changed).finding is not None


def test_a_rate_off_by_a_millionth_is_found_and_named(run, tiny_dataset):
  def change(config):
    config['optimizer']['generator']['learning_rate'] *= 1 + 1e-6

  edit_json(run / 'config.json', change)
  verdict = verify(run, dataset=tiny_dataset)
  assert verdict.finding == 'step 2: the state differs'
  assert verdict.causes == [
    'config.optimizer.generator.learning_rate is 0.001000001 in config.json '
    'and 0.001 in result.json'
  ]


def drop(run, keep):
  path = run / 'metrics.jsonl'
  lines = path.read_text().splitlines(keepends=True)
  path.write_text(''.join(x for x in lines if keep(json.loads(x))))


def test_lost_lines_are_named(run, tiny_dataset):
  drop(run, lambda line: line['step'] == 4)
  shutil.rmtree(run / 'checkpoints/2')
  verdict = verify(run, dataset=tiny_dataset)
  assert verdict.finding == (
    'metrics.jsonl has lost the checkpoint of step 2, the report of step 2'
  )


def test_a_checkpoint_without_its_line_is_told_so(run, tiny_dataset):
  drop(run, lambda line: line['step'] == 4)
  verdict = verify(run, dataset=tiny_dataset)
  assert verdict.finding.startswith(
    'step 2: metrics.jsonl has no line for the checkpoint; metrics.jsonl has '
    'lost the checkpoint of step 2'
  )


def test_lost_lines_at_the_end_are_noticed_by_the_result(run, tiny_dataset):
  drop(run, lambda line: line['step'] == 2)
  shutil.rmtree(run / 'checkpoints/4')
  verdict = verify(run, dataset=tiny_dataset)
  assert verdict.finding == (
    'metrics.jsonl has lost the checkpoint of step 4, the report of step 4'
  )


def test_what_an_older_version_did_not_record_is_ignored(run, tiny_dataset):
  """A key that a later version adds to reports makes no old run different."""
  path = run / 'metrics.jsonl'
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  for line in lines:
    line.pop('samples_std', None)
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  edit_json(run / 'result.json', lambda result: result.pop('labelled_accuracy'))
  verdict = verify(run, dataset=tiny_dataset)
  assert verdict.finding is None
  assert verdict.notes == [
    'not compared, because the run did not record it: labelled_accuracy',
    'not compared, because the run did not record it: samples_std',
  ]


def test_a_value_that_is_no_longer_computed_is_a_difference(run, tiny_dataset):
  path = run / 'metrics.jsonl'
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  (report,) = [x for x in lines if x['step'] == 4 and 'epoch' in x]
  report['beauty'] = 1.0
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  verdict = verify(run, dataset=tiny_dataset)
  assert verdict.finding == 'step 4: beauty in metrics.jsonl is 1.0, not None'


def test_three_files_suffice(run, tiny_dataset):
  for path in run.iterdir():
    if path.name not in ('config.json', 'data.json', 'metrics.jsonl'):
      shutil.rmtree(path) if path.is_dir() else path.unlink()
  verdict = verify(run, dataset=tiny_dataset)
  assert (verdict.finding, verdict.steps) == (None, [2, 4])


def test_a_prettier_curve_is_found(run, tiny_dataset):
  path = run / 'metrics.jsonl'
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  (report,) = [x for x in lines if x['step'] == 4 and 'epoch' in x]
  report['validation_error'] /= 2
  path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
  verdict = verify(run, dataset=tiny_dataset)
  assert 'step 4: validation_error in metrics.jsonl is' in verdict.finding


def test_times_need_not_be_reproduced(run, tiny_dataset):
  path = run / 'metrics.jsonl'
  text = path.read_text()
  assert text.count('"step_seconds": ') == 2
  path.write_text(text.replace('"step_seconds": ', '"step_seconds": 1'))
  assert verify(run, dataset=tiny_dataset).finding is None


def test_a_better_result_than_was_reached_is_found(run, tiny_dataset):
  edit_json(run / 'result.json', lambda result: result.update(test_error=0.0))
  verdict = verify(run, dataset=tiny_dataset)
  assert 'test_error in result.json is 0.0, not' in verdict.finding


@pytest.mark.parametrize(
  ('key', 'value'),
  [('cores', 96), ('device_kind', 'TPU v5e'), ('packages', {'jax': '0.4.1'})],
)
def test_another_environment_is_named(
  run, tiny_dataset, key, value, monkeypatch
):
  """It is a cause of differences, not a difference by itself."""

  def change(environment):
    environment['sessions'][0][key] = value

  edit_json(run / 'environment.json', change)
  verdict = verify(run, dataset=tiny_dataset)
  assert verdict.finding is None
  needle = 'jax: 0.4.1 ->' if key == 'packages' else f'{key}: {value} ->'
  assert any(cause.startswith(needle) for cause in verdict.causes)


@pytest.mark.systems
def test_a_resumption_in_another_mode_is_named(run, config, tiny_dataset):
  """No single replay has the bits of a run that is half jit, half pmap."""
  config.train.num_steps = 6
  config.parallel = 'pmap'
  train(config, run, dataset=tiny_dataset)
  verdict = verify(run, dataset=tiny_dataset)
  assert any(
    cause.startswith('parallel: jit -> pmap over 2') for cause in verdict.causes
  )


@pytest.mark.parametrize(
  'key',
  ['num_labels', 'num_test', 'data', 'system', 'validation_error',
   'data_sha256'],
)  # fmt: skip
def test_no_entry_of_the_result_can_be_invented(run, tiny_dataset, key):
  edit_json(run / 'result.json', lambda result: result.update({key: 'forged'}))
  verdict = verify(run, dataset=tiny_dataset)
  assert verdict.finding.startswith(f'{key} in result.json is forged, not')


def test_the_first_difference_of_both_kinds_is_told(run, tiny_dataset):
  (run / 'checkpoints/4/_CHECKPOINT_METADATA').write_text('{}')
  image = tiny_dataset.train.image.copy()
  image[0, 0, 0, 0] ^= 1
  changed = tiny_dataset._replace(
    train=tiny_dataset.train._replace(image=image)
  )
  finding = verify(run, dataset=changed).finding
  assert finding.startswith('step 2: the state differs; step 4: checkpoint ')
  assert 'is damaged' in finding


def test_a_run_without_a_checkpoint_cannot_be_verified(run, tiny_dataset):
  (run / 'metrics.jsonl').write_text('')
  with pytest.raises(InputError, match='no recorded checkpoint'):
    verify(run, dataset=tiny_dataset)


def test_no_run_directory(tmp_path):
  with pytest.raises(InputError, match='not a run directory'):
    verify_module.verify(tmp_path)
