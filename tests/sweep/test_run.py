import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from gan_jax.core.errors import InputError
from gan_jax.data.batches import to_unit_range
from gan_jax.runs import restore
from gan_jax.sweep.plan import Protocol
from gan_jax.sweep.run import sweep
from gan_jax.training import lanes, loop
from gan_jax.training.meter import Diverged
from gan_jax.training.signals import Stopped
from tests import made_up, toy

VARY = {'data.num_labels': [20]}
NAMES = ['num_labels=20-seed=0', 'num_labels=20-seed=1']


@pytest.fixture(scope='module')
def dataset():
  return made_up.labelled(40, 8, 1)


def config():
  made = toy.get_config()
  for player in made.optimizer.values():
    player.learning_rate = 0.1
  made.train.num_steps = 2
  made.data.num_labels = 20
  return made


@pytest.fixture(scope='module')
def done(dataset, tmp_path_factory):
  """A sweep of two seeds, one after the other: its folder and its result."""
  folder = tmp_path_factory.mktemp('sweep')
  result = sweep(
    config(), str(folder), seeds=[0, 1], vary=VARY, mode='turn', dataset=dataset
  )
  return folder, result


@pytest.fixture
def copied(done, tmp_path):
  return shutil.copytree(done[0], tmp_path / 'copied')


def table(folder):
  """Parses the rows of table.md, by column."""
  lines = [
    [part.strip() for part in line.split('|')[1:-1]]
    for line in (folder / 'table.md').read_text().splitlines()
    if line.startswith('|')
  ]
  return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def probabilities(folder, name, dataset, raw):
  run = restore.load_run(folder / name)
  player = run.state.discriminator
  weights = player.weights if raw else player.averaged
  logits = run.system.classifier.predict(
    weights, to_unit_range(dataset.test.image)
  )
  return np.asarray(jax.nn.softmax(logits, axis=-1))


def error_text(probability, dataset):
  error = (probability.argmax(1) != dataset.test.label).mean()
  return f'{error:.2%}'


@pytest.mark.systems
def test_the_table_has_what_the_runs_found(done, dataset):
  folder, result = done
  assert result.failed == {}
  assert result.table == (folder / 'table.md').read_text()
  found = [
    json.loads((folder / name / 'result.json').read_text()) for name in NAMES
  ]
  errors = [each['test_error'] for each in found]
  mean, half = sum(errors) / 2, abs(errors[0] - errors[1]) / 2
  rows = table(folder)
  assert [(row['weights'], row['runs']) for row in rows] == [
    ('averaged', 'single'),
    ('averaged', 'ensemble'),
    ('raw', 'single'),
    ('raw', 'ensemble'),
  ]
  assert {row['n'] for row in rows} == {'2'}
  assert {row['steps'] for row in rows} == {'2'}
  # The deviation of two values is their distance over the square root of 2.
  assert rows[0]['mean ± std'] == f'{mean:.2%} ± {half * 2**0.5:.2%}'
  for raw, single, ensemble in ((False, *rows[:2]), (True, *rows[2:])):
    each = [probabilities(folder, name, dataset, raw) for name in NAMES]
    mean = np.mean([(p.argmax(1) != dataset.test.label).mean() for p in each])
    assert single['mean ± std'].startswith(f'{mean:.2%} ')
    assert ensemble['mean ± std'] == error_text(sum(each), dataset)
  assert rows[0]['mean ± std'] != rows[2]['mean ± std']  # else tests little
  kept = [each['data_sha256']['labels_kept'] for each in found]
  assert kept[0] != kept[1]
  assert (folder / 'table.csv').read_text().startswith('num_labels,score,')


def test_finished_runs_are_not_repeated(done, dataset, copied, monkeypatch):
  monkeypatch.setattr(loop, 'advance', None)  # training would fail
  again = sweep(
    config(), str(copied), seeds=[0, 1], vary=VARY, mode='turn', dataset=dataset
  )
  assert again.table == done[1].table


def test_a_failed_run_is_listed_and_the_others_go_on(
  done, dataset, copied, monkeypatch, capsys
):
  train = loop.train

  def fragile(config, *args, **kwargs):
    if config.seed == 0:
      raise Diverged('d_loss is nan\nat step 1')
    return train(config, *args, **kwargs)

  monkeypatch.setattr(loop, 'train', fragile)
  result = sweep(
    config(), str(copied), seeds=[0, 1], vary=VARY, mode='turn', dataset=dataset
  )
  assert result.failed == {NAMES[0]: 'd_loss is nan at step 1'}
  text = (copied / 'table.md').read_text()
  assert f'Failed:\n\n- {NAMES[0]}: d_loss is nan at step 1\n' in text
  rows = table(copied)
  assert {row['n'] for row in rows} == {'1'}
  error = json.loads((copied / NAMES[1] / 'result.json').read_text())
  assert rows[0]['mean ± std'] == f'{error["test_error"]:.2%}'
  said = capsys.readouterr().out
  assert f'1/2 {NAMES[0]}: failed: d_loss is nan at step 1' in said
  assert f'2/2 {NAMES[1]}: test_error ' in said


def test_runs_of_another_config_are_failures(dataset, copied):
  other = config()
  other.model.z_dim = 3
  result = sweep(
    other, str(copied), seeds=[0, 1], vary=VARY, mode='turn', dataset=dataset
  )
  assert result.failed.keys() == set(NAMES)
  assert 'config.model.z_dim: 100 -> 3' in result.failed[NAMES[0]]
  assert {row['n'] for row in table(copied)} == {'0'}


def test_a_part_of_a_protocol_shows_the_whole(dataset, copied):
  protocol = Protocol(
    [0, 1, 2],
    {'data.num_labels': [10, 20]},
    {},
    'somebody',
    {'single': ['5 ± 1', '3 ± 1'], 'ensemble': ['4', '2']},
  )
  sweep(
    config(),
    str(copied),
    seeds=[0],
    vary=VARY,
    protocol=protocol,
    mode='turn',
    command='python -m X',
    dataset=dataset,
  )
  rows = table(copied)
  assert [(r['num_labels'], r['n'], r['published']) for r in rows] == [
    ('10', '0', '5 ± 1'),
    ('10', '0', '4'),
    ('20', '2', '3 ± 1'),  # seed 1 was done before
    ('20', '2', '2'),
    ('20', '2', ''),
    ('20', '2', ''),
  ]
  text = (copied / 'table.md').read_text()
  assert 'Published: somebody.' in text
  assert '- `python -m X --seeds=0,1,2 --vary=data.num_labels=10`\n' in text
  assert '- `python -m X --seeds=2 --vary=data.num_labels=20`\n' in text


@pytest.mark.parametrize(
  ('change', 'flags', 'message'),
  [
    ({}, {'seeds': [0, 0]}, 'seeds must be different'),
    ({}, {'seeds': None}, 'seeds must be different'),
    ({}, {'mode': 'both'}, "unknown mode 'both'"),
    ({'parallel': 'auto'}, {'mode': 'vmap'}, 'need one device'),
    # 40 images: a value that no schema can refuse.
    ({}, {'vary': {'data.num_labels': [20, 15]}}, 'num_labels=15-seed=0: '),
    ({}, {'vary': {'data.batch_size': [6, 41]}}, 'batch_size=41-seed=0: '),
    ({}, {'vary': {'model.z_dim': [1, -1]}}, 'z_dim=-1-seed=0: '),
    (
      {},
      {'vary': {'checkpoint.best_metric': ['fid']}},
      'best_metric=fid-seed=0: ',
    ),
  ],
)
def test_bad_input_is_refused_before_any_run(
  dataset, tmp_path, change, flags, message
):
  bad = config()
  bad.update(change)
  flags = {'seeds': [0], 'mode': 'turn'} | flags
  with pytest.raises(InputError, match=message):
    sweep(bad, str(tmp_path / 'x'), dataset=dataset, **flags)
  assert not (tmp_path / 'x').exists()


def stopping(advance, step):
  """Wraps `advance` to send a signal after `step`."""

  def interrupted(*args):
    for item in advance(*args):
      if item[0] == step:
        os.kill(os.getpid(), signal.SIGTERM)
      yield item

  return interrupted


@pytest.mark.systems
@pytest.mark.parametrize('mode', ['vmap', 'turn'])
def test_a_stop_ends_the_sweep_and_the_same_call_goes_on(
  mode, dataset, tmp_path, monkeypatch
):
  def run():
    return sweep(
      config(), str(tmp_path), seeds=[0, 1], mode=mode, dataset=dataset
    )

  with monkeypatch.context() as patch:
    module, name = (lanes, '_advance') if mode == 'vmap' else (loop, 'advance')
    patch.setattr(module, name, stopping(getattr(module, name), 1))
    with pytest.raises(Stopped):
      run()
  assert restore.load_run(tmp_path / 'seed=0').step == 1
  assert (tmp_path / 'seed=1').exists() == (mode == 'vmap')
  assert run().failed == {}
  row, *_ = (x for x in table(tmp_path) if x['score'] == 'test_error')
  assert (row['n'], row['weights'], row['runs']) == ('2', 'averaged', 'single')
  values = [
    json.loads((tmp_path / f'seed={seed}/result.json').read_text())
    for seed in (0, 1)
  ]
  mean = (values[0]['test_error'] + values[1]['test_error']) / 2
  assert row['mean ± std'].startswith(f'{mean:.2%} ± ')
  for seed in (0, 1):
    sessions = restore.load_run(tmp_path / f'seed={seed}').directory.sessions()
    assert sessions[0]['parallel'] == (
      'vmap of 2 runs' if mode == 'vmap' else 'jit'
    )


def test_auto_takes_lanes_where_there_are_no_convolutions(
  dataset, tmp_path, monkeypatch, smoke_config
):
  from gan_jax.sweep import run as module

  groups = []

  def nothing(group, together, book, data):
    groups.append((len(group), together))
    return [(run, Diverged('not tried')) for run in group]

  monkeypatch.setattr(module, '_train', nothing)
  sweep(config(), str(tmp_path), seeds=[0, 1], dataset=dataset)
  assert groups == [(2, True)]
  groups.clear()
  devices = config()
  devices.parallel = 'auto'  # the tests run with two devices
  sweep(devices, str(tmp_path), seeds=[0, 1], dataset=dataset)
  assert groups == [(1, False)] * 2
  groups.clear()
  smoke_config.data.num_labels = smoke_config.data.batch_size = 20
  sweep(smoke_config, str(tmp_path), seeds=[0, 1], dataset=dataset)
  assert groups == [(1, False)] * 2
