import datetime
import itertools
import json
import os
import re
import shutil
import signal
import time

import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.data.labelled import DATASETS
from gan_jax.devices import hosts
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.evaluation.samples import sample
from gan_jax.evaluation.scoring import evaluate
from gan_jax.runs import program
from gan_jax.runs.checkpoint import Checkpoints
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.metrics_log import read_lines
from gan_jax.runs.restore import load_run
from gan_jax.training import loop
from gan_jax.training.meter import Diverged
from gan_jax.training.signals import Stopped
from gan_jax.training.verify import verify
from tests.tiers import in_systems


@pytest.fixture
def config(toy_config):
  """The toy system: eight steps, checkpoints every two, reports every three."""
  return toy_config


def comparable(workdir):
  """Returns the lines of metrics.jsonl without the times."""
  return [
    {k: v for k, v in line.items() if not k.endswith('_seconds')}
    for line in read_lines(RunDirectory(workdir).metrics)
  ]


@pytest.fixture
def reference(toy_reference):
  return toy_reference


@pytest.fixture
def run_copy(toy_run):
  return toy_run


def stop_after(monkeypatch, step, signum=signal.SIGTERM):
  """Sends this process a signal after step `step`."""
  advance = loop.advance

  def interrupted(*args):
    for item in advance(*args):
      if item[0] == step:
        os.kill(os.getpid(), signum)
      yield item

  monkeypatch.setattr(loop, 'advance', interrupted)


@pytest.mark.parametrize('step', [1, 4, 5])
@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGINT])
def test_resume_equals_uninterrupted(
  config, tiny_dataset, reference, tmp_path, monkeypatch, step, signum
):
  with monkeypatch.context() as patch:
    stop_after(patch, step, signum)
    with pytest.raises(Stopped, match=f'at step {step}, which is saved'):
      loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  result = loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert result['sha256'] == reference[1]['sha256']
  assert result['test_error'] == reference[1]['test_error']
  hashes = RunDirectory(tmp_path / 'run').record().hashes
  extra = hashes.pop(step) if step % 2 else None
  assert hashes == RunDirectory(reference[0]).record().hashes
  lines = [x for x in comparable(tmp_path / 'run')
           if not extra or x.get('state_sha256') != extra]  # fmt: skip
  assert lines == comparable(reference[0])


def test_a_signal_at_the_last_step_is_not_swallowed(
  config, tiny_dataset, reference, tmp_path, monkeypatch
):
  """It need not wait for the scores; the next start computes them."""
  with monkeypatch.context() as patch:
    stop_after(patch, 8)
    with pytest.raises(Stopped, match='at step 8, which is saved'):
      loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert not (tmp_path / 'run/result.json').exists()
  result = loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert result['sha256'] == reference[1]['sha256']
  assert comparable(tmp_path / 'run') == comparable(reference[0])


def interrupt_at(monkeypatch, name, call):
  """Sends SIGTERM in a call of the evaluator, which then takes a minute."""
  method, calls = getattr(Evaluator, name), itertools.count(1)

  def slow(*args):
    if next(calls) == call:
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(60)
    return method(*args)

  monkeypatch.setattr(Evaluator, name, slow)


@pytest.mark.systems
@pytest.mark.parametrize('best', [None, *in_systems('validation_error')])
@pytest.mark.parametrize(
  ('name', 'call', 'step'),
  [('line', 1, 3), ('grids', 2, 6), ('line', 2, 6), ('result', 1, 8)],
)
def test_a_signal_during_an_evaluation_gives_it_up(
  config, tiny_dataset, tmp_path, monkeypatch, name, call, step, best
):
  """The report is not lost: the next start writes it, in its usual place."""
  config.checkpoint.keep, config.checkpoint.save_every_steps = 1, 3
  config.checkpoint.best_metric = best
  config.train.num_steps = 9
  whole = loop.train(config, tmp_path / 'whole', dataset=tiny_dataset)
  config.train.num_steps = 8 if name == 'result' else 9
  started = time.monotonic()
  with monkeypatch.context() as patch:
    interrupt_at(patch, name, call)
    with pytest.raises(Stopped, match=f'at step {step}, which is saved'):
      loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  with monkeypatch.context() as patch:  # and again, while it catches up
    interrupt_at(patch, name, 1)
    with pytest.raises(Stopped, match=f'at step {step}, which is saved'):
      loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert time.monotonic() - started < 30
  config.train.num_steps = 9
  result = loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert result['sha256'] == whole['sha256']
  extra = [8] if name == 'result' else []
  lines = [x for x in comparable(tmp_path / 'run') if x['step'] not in extra]
  assert lines == comparable(tmp_path / 'whole')
  kept = [Checkpoints(tmp_path / run / 'checkpoints').steps()
          for run in ('run', 'whole')]  # fmt: skip
  assert kept[0] == kept[1]
  samples = [
    {p.name: p.read_bytes() for p in (tmp_path / run / 'samples').iterdir()}
    for run in ('run', 'whole')
  ]
  assert samples[0] == samples[1]


def test_a_signal_before_compiling_or_while_saving_saves_and_stops(
  config, tiny_dataset, reference, tmp_path, monkeypatch, capsys
):
  answer = 'SIGTERM received: saving and stopping'
  for step, (module, name) in {
    1: (program, 'compile_step'),
    2: (Checkpoints, 'save'),
  }.items():
    function = getattr(module, name)
    told = []

    def signalled(*args, function=function, told=told):
      if not told:
        os.kill(os.getpid(), signal.SIGTERM)
        # Another thread answers. Once the compilation has begun, which has
        # nothing to save, its answer would be to end this process.
        deadline = time.monotonic() + 60
        while answer not in ''.join(told) and time.monotonic() < deadline:
          time.sleep(0.01)
          told.append(capsys.readouterr().err)
      return function(*args)

    with monkeypatch.context() as patch:
      patch.setattr(module, name, signalled)
      with pytest.raises(Stopped, match='is saved'):
        loop.train(config, tmp_path / f'{step}', dataset=tiny_dataset)
    assert answer in ''.join(told)
    result = loop.train(config, tmp_path / f'{step}', dataset=tiny_dataset)
    assert result['sha256'] == reference[1]['sha256']


@pytest.mark.parametrize('name', ['config.json', 'data.json'])
@pytest.mark.parametrize('text', ['[]', '3', '{}', '{"spec": 1}', '\udcff'])
def test_json_of_another_shape_is_refused(
  config, tiny_dataset, run_copy, name, text
):
  (run_copy / name).write_bytes(text.encode(errors='surrogateescape'))
  with pytest.raises(InputError):
    loop.train(config, run_copy, dataset=tiny_dataset)
  with pytest.raises(InputError):
    sample(run_copy, num=1, seed=0)


def test_a_damaged_line_stops_a_resumption_before_anything_changes(
  config, tiny_dataset, run_copy
):
  config.train.num_steps = 10
  path = run_copy / 'metrics.jsonl'
  lines = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(b''.join([lines[0], b'\xff not JSON\n', *lines[1:]]))
  before = {p.name: p.read_bytes() for p in run_copy.glob('*.json*')}
  with pytest.raises(InputError, match=r'metrics\.jsonl is damaged in line 2'):
    loop.train(config, run_copy, dataset=tiny_dataset)
  assert {p.name: p.read_bytes() for p in run_copy.glob('*.json*')} == before


def test_a_run_that_did_not_record_the_sizes_of_its_splits_goes_on(
  config, tiny_dataset, run_copy
):
  path = run_copy / 'data.json'
  data = json.loads(path.read_text())
  sizes = {'train': [30], 'validation': [12], 'test': [12]}
  assert data.pop('num_images') == sizes
  text = json.dumps(data)
  path.write_text(text)
  config.train.num_steps = 10
  assert loop.train(config, run_copy, dataset=tiny_dataset)['steps'] == 10
  assert path.read_text() == text
  assert verify(run_copy, dataset=tiny_dataset).finding is None
  path.write_text(json.dumps(data | {'num_images': {'train': 30}}))
  with pytest.raises(InputError, match='is not the file that a run writes'):
    loop.train(config, run_copy, dataset=tiny_dataset)


def test_each_session_says_when_it_began(config, tiny_dataset, run_copy):
  before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
  config.train.num_steps = 10
  loop.train(config, run_copy, dataset=tiny_dataset)
  first, second = RunDirectory(run_copy).sessions()
  started = [
    datetime.datetime.fromisoformat(x['started']) for x in (first, second)
  ]
  assert started[0] <= before <= started[1]
  assert started[1] <= datetime.datetime.now(datetime.UTC)


def test_a_seed_gives_one_result(config, tiny_dataset, reference, tmp_path):
  again = loop.train(config, tmp_path / 'again', dataset=tiny_dataset)
  assert again['sha256'] == reference[1]['sha256']
  config.seed += 1
  other = loop.train(config, tmp_path / 'other', dataset=tiny_dataset)
  assert other['sha256']['state'] != reference[1]['sha256']['state']


def test_a_longer_run_equals_one_that_was_long_from_the_start(
  config, tiny_dataset, reference, tmp_path
):
  config.train.num_steps = 4
  loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  config.train.num_steps = 8
  result = loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert result['sha256'] == reference[1]['sha256']
  assert comparable(tmp_path / 'run') == comparable(reference[0])
  config.train.num_steps = 6
  before = (tmp_path / 'run/config.json').read_text()
  with pytest.raises(InputError, match='has done 8 steps, more than the 6'):
    loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert (tmp_path / 'run/config.json').read_text() == before


@pytest.mark.systems
def test_several_steps_per_dispatch_resume_too(
  config, tiny_dataset, tmp_path, monkeypatch
):
  config.train.steps_per_dispatch = 2
  config.log.report_every_steps = 4
  whole = loop.train(config, tmp_path / 'whole', dataset=tiny_dataset)
  with monkeypatch.context() as patch:
    stop_after(patch, 6)
    with pytest.raises(Stopped):
      loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  result = loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert result['sha256'] == whole['sha256']
  assert comparable(tmp_path / 'run') == comparable(tmp_path / 'whole')


@pytest.mark.parametrize(
  'group_and_key',
  [('train', 'num_steps'), ('checkpoint', 'save_every_steps'),
   ('log', 'report_every_steps')],
)  # fmt: skip
def test_intervals_are_multiples_of_the_dispatch(
  config, tiny_dataset, tmp_path, group_and_key
):
  config.log.report_every_steps = 4
  config.train.steps_per_dispatch = 2
  group, key = group_and_key
  config[group][key] = 3
  with pytest.raises(InputError, match='not a multiple of'):
    loop.train(config, tmp_path / 'run', dataset=tiny_dataset)


def test_a_damaged_checkpoint_costs_steps_not_the_result(
  config, tiny_dataset, reference, run_copy, capsys
):
  (run_copy / 'result.json').unlink()
  for path in (run_copy / 'checkpoints/8').rglob('*'):
    if path.is_file() and path.parent.name == 'd':
      data = bytearray(path.read_bytes())
      data[len(data) // 2] ^= 1
      path.write_bytes(bytes(data))
  result = loop.train(config, run_copy, dataset=tiny_dataset)
  assert result['sha256'] == reference[1]['sha256']
  assert comparable(run_copy) == comparable(reference[0])
  assert 'falling back' in capsys.readouterr().err
  assert (run_copy / 'damaged_checkpoints/8').is_dir()


def test_divergence_stops_the_run_and_names_step_and_metric(
  config, tiny_dataset, tmp_path
):
  for player in config.optimizer.values():
    player.learning_rate = 1e30
  with pytest.raises(
    Diverged, match=r'^g_grad_norm is inf at step 1; no checkpoint'
  ):
    loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert not (tmp_path / 'run/result.json').exists()
  (line,) = read_lines(tmp_path / 'run/metrics.jsonl')
  assert line['step'] == 1
  assert line['diverged'].startswith('g_grad_norm is inf at step 1')


def test_the_last_good_checkpoint_stays_usable(
  config, tiny_dataset, reference, tmp_path, monkeypatch
):
  advance = loop.advance

  def poisoned(*args):
    for step, state, metrics in advance(*args):
      if step == 5:
        metrics = metrics | {'g_loss': np.array([np.nan])}
      yield step, state, metrics

  with monkeypatch.context() as patch:
    patch.setattr(loop, 'advance', poisoned)
    with pytest.raises(Diverged, match='g_loss is nan at step 5') as error:
      loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert str(error.value).endswith(str(tmp_path / 'run/checkpoints/4'))
  directory = RunDirectory(tmp_path / 'run')
  assert directory.record().divergence == 'g_loss is nan at step 5'
  result = loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert result['sha256'] == reference[1]['sha256']
  assert directory.record().divergence is None
  assert comparable(directory.path) == comparable(reference[0])


def test_a_weight_that_is_not_finite_is_never_saved(
  config, tiny_dataset, tmp_path, monkeypatch
):
  monkeypatch.setattr(loop, 'all_finite', lambda state: int(state.step) < 4)
  with pytest.raises(Diverged, match='weight is not finite at step 4') as error:
    loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert str(error.value).endswith(str(tmp_path / 'run/checkpoints/2'))
  *_, line = read_lines(tmp_path / 'run/metrics.jsonl')
  assert line == {'step': 4, 'diverged': 'a weight is not finite at step 4'}
  assert not (tmp_path / 'run/checkpoints/4').exists()


def test_a_finished_run_is_left_alone(config, tiny_dataset, reference):
  before = RunDirectory(reference[0]).metrics.read_text()
  assert loop.train(config, reference[0], dataset=tiny_dataset) == reference[1]
  assert RunDirectory(reference[0]).metrics.read_text() == before


def test_result_says_what_was_found_and_by_what(reference, tiny_dataset):
  directory, result = reference
  assert result == json.loads((directory / 'result.json').read_text())
  assert result['steps'] == 8
  assert result['num_test'] == 12
  assert result['num_labels'] == 6
  assert result['test_error'] * 12 == pytest.approx(
    round(result['test_error'] * 12)
  )
  for part in ('generator', 'discriminator'):
    for field in ('params', 'opt_state', 'model_state', 'ema'):
      assert len(result['sha256'][f'{part}.{field}']) == 64
  assert set(result['data_sha256']) == {
    'train', 'validation', 'test', 'labels_kept',
  }  # fmt: skip


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('seed', 5),
    ('data.batch_size', 3),
    ('model.z_dim', 3),
    ('optimizer.generator.learning_rate', 0.5),
    ('checkpoint.keep', 9),
  ],
)
def test_another_config_is_refused_by_key(
  config, tiny_dataset, reference, key, value
):
  config.update_from_flattened_dict({key: value})
  with pytest.raises(InputError, match=f'config.{key}: .* -> {value}'):
    loop.train(config, reference[0], dataset=tiny_dataset)


@pytest.mark.parametrize(
  ('key', 'value'),
  [('data.data_dir', 'elsewhere'), ('log.tensorboard', True),
   ('parallel', 'pmap')],
)  # fmt: skip
def test_what_is_free_to_change(config, tiny_dataset, run_copy, key, value):
  config.update_from_flattened_dict({key: value})
  config.train.num_steps = 10
  assert loop.train(config, run_copy, dataset=tiny_dataset)['steps'] == 10


def test_other_data_are_refused(config, tiny_dataset, reference):
  image = tiny_dataset.train.image.copy()
  image[7, 0, 0, 0] ^= 1
  changed = tiny_dataset._replace(
    train=tiny_dataset.train._replace(image=image)
  )
  with pytest.raises(InputError, match=r'data are not those.*sha256\.train'):
    loop.train(config, reference[0], dataset=changed)


def test_other_numbers_of_classes_are_refused(config, tiny_dataset, reference):
  label = (np.arange(30) % 6).astype(np.int32)
  train = tiny_dataset.train._replace(label=label)
  more = tiny_dataset._replace(train=train, num_classes=6)
  with pytest.raises(InputError, match=r'num_classes: 3 -> 6'):
    loop.train(config, reference[0], dataset=more)


def test_a_foreign_directory_is_refused_and_left_alone(
  config, tiny_dataset, tmp_path
):
  (tmp_path / 'thesis.tex').write_text('precious')
  with pytest.raises(InputError, match='neither empty nor a run directory'):
    loop.train(config, tmp_path, dataset=tiny_dataset)
  assert [p.name for p in tmp_path.iterdir()] == ['thesis.tex']


def test_a_directory_that_cannot_be_made_is_refused(
  config, tiny_dataset, tmp_path
):
  (tmp_path / 'file').write_text('')
  with pytest.raises(InputError, match='cannot write to'):
    loop.train(config, tmp_path / 'file/run', dataset=tiny_dataset)


def test_a_second_process_is_refused(config, tiny_dataset, run_copy):
  directory = RunDirectory(run_copy)
  with (
    directory.locked(),
    pytest.raises(InputError, match='another process is working on'),
  ):
    loop.train(config, run_copy, dataset=tiny_dataset)


def test_one_class_cannot_be_classified(config, tiny_dataset, tmp_path):
  parts = {
    part: getattr(tiny_dataset, part)._replace(
      label=np.zeros_like(getattr(tiny_dataset, part).label)
    )
    for part in ('train', 'validation', 'test')
  }
  dataset = tiny_dataset._replace(num_classes=1, **parts)
  with pytest.raises(InputError, match='tell classes apart, but tiny has 1'):
    loop.train(config, tmp_path / 'run', dataset=dataset)
  assert not (tmp_path / 'run').exists()


def test_bad_data_stop_before_anything_is_made(config, tiny_dataset, tmp_path):
  config.data.batch_size = 31
  with pytest.raises(InputError, match='batch_size'):
    loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  config.data.batch_size = 6
  config.data.num_labels = 7
  with pytest.raises(InputError, match='num_labels'):
    loop.train(config, tmp_path / 'run', dataset=tiny_dataset)
  assert not (tmp_path / 'run').exists()


def test_evaluate_agrees_with_the_result_after_a_move(
  config, tiny_dataset, reference, tmp_path, monkeypatch
):
  moved = shutil.copytree(reference[0], tmp_path / 'elsewhere/moved')
  monkeypatch.setitem(DATASETS, 'digits', lambda config: tiny_dataset)
  result = evaluate(moved)
  assert result['error'] == reference[1]['test_error']
  assert (result['step'], result['num_examples']) == (8, 12)
  panels = sample(moved, num=5, seed=1)
  assert panels['samples'].shape == (5, 8, 8, 1)
  assert panels['samples'].dtype == np.uint8
  again = sample(moved, num=5, seed=1)['samples']
  np.testing.assert_array_equal(panels['samples'], again)
  assert (panels['samples'] != sample(moved, num=5, seed=2)['samples']).any()


def test_the_other_processes_take_the_steps_and_write_nothing_else(
  toy_config, toy_reference, toy_run, tiny_dataset, monkeypatch
):
  """One process plays the second; test_hosts.py shows that two agree."""
  shutil.rmtree(toy_run / 'checkpoints/8')
  (toy_run / 'result.json').unlink()
  lines = (toy_run / 'metrics.jsonl').read_bytes()
  with monkeypatch.context() as patch:
    patch.setattr(hosts, 'is_first', lambda: False)
    assert loop.train(toy_config, toy_run, dataset=tiny_dataset) is None
  assert (toy_run / 'metrics.jsonl').read_bytes() == lines
  assert not (toy_run / 'result.json').exists()
  found, want = (load_run(path) for path in (toy_run, toy_reference[0]))
  assert found.step == 8
  jax.tree.map(assert_array_equal, found.state, want.state)


def test_a_training_that_nobody_watches_says_how_fast_it_is(
  toy_config, tiny_dataset, tmp_path, monkeypatch, capsys
):
  """Once, and only if the first report is still to come."""
  monkeypatch.setattr(loop, '_EARLY_SECONDS', 0.0)
  toy_config.log.report_every_steps = 4
  loop.train(toy_config, tmp_path / 'run', dataset=tiny_dataset)
  lines = capsys.readouterr().out.splitlines()
  early = [line for line in lines if 'the first report comes at step 4' in line]
  assert len(early) == 1
  assert re.match(r'step [23]/8  \d+\.\d{3} s/step  \d\d:\d\d left; ', early[0])
  assert early[0].endswith('the first checkpoint at step 2')
  # What holds for all runs of a process is said once.
  for prefix in ('data: ', 'training by '):
    assert sum(line.startswith(prefix) for line in lines) == 1
  loop.train(toy_config, tmp_path / 'other', dataset=tiny_dataset)
  again = capsys.readouterr().out
  assert 'step 4/8' in again
  assert 'data: ' not in again
  assert 'training by' not in again
