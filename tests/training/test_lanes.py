import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from gan_jax.core.errors import InputError
from gan_jax.runs import restore
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.metrics_log import read_lines
from gan_jax.runs.program import build
from gan_jax.training import lanes, loop
from gan_jax.training.meter import Diverged
from gan_jax.training.signals import Stopped
from tests import made_up, toy
from tests.changes import with_sgd
from tests.systems.steps import plain_config

pytestmark = pytest.mark.systems

SEEDS = (0, 1, 2)


@pytest.fixture(scope='module')
def dataset():
  return made_up.labelled(60, 8, 1)


def configs(name=None):
  """Six plain SGD steps; a checkpoint every two, a report every three."""
  made = []
  for seed in SEEDS:
    config = toy.get_config() if name is None else plain_config(name)
    config = with_sgd(config, 0.1)
    config.seed = config.data.label_seed = seed
    config.train.num_steps = 6
    config.log.report_every_steps = 3
    config.log.tensorboard = False
    if config.data.num_labels is not None:
      config.data.num_labels = 20
    made.append(config)
  return made


def places(folder):
  return [str(folder / f'lane{seed}') for seed in SEEDS]


@pytest.fixture(scope='module')
def together(dataset, tmp_path_factory):
  """The folder and results of three uninterrupted lanes."""
  folder = tmp_path_factory.mktemp('together')
  return folder, lanes.train_lanes(configs(), places(folder), dataset=dataset)


@pytest.fixture
def copied(together, tmp_path):
  return shutil.copytree(together[0], tmp_path / 'copied')


def hashes(results):
  return [result['sha256'] for result in results]


def reports(place):
  """Returns the reports in metrics.jsonl without the times."""
  return [
    {k: v for k, v in line.items() if not k.endswith('_seconds')}
    for line in read_lines(RunDirectory(place).metrics)
    if 'epoch' in line
  ]


def assert_close(state, other, atol=1e-5):
  """Allows for rounding: about 3e-7, where a step changes weights by 1e-2."""
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol),
    state,
    other,
  )


@pytest.mark.parametrize(
  'name',
  [
    None,
    pytest.param('mnist_gan', marks=pytest.mark.systems),
    pytest.param('mnist_ssgan', marks=pytest.mark.systems),
  ],
)
def test_a_lane_equals_the_single_run_with_its_seed(
  name, dataset, together, tmp_path
):
  folder, results = together
  if name is not None:
    folder = tmp_path / 'together'
    results = lanes.train_lanes(configs(name), places(folder), dataset=dataset)
  labels = {result['data_sha256']['labels_kept'] for result in results}
  assert len(labels) == (1 if name == 'mnist_gan' else 3)
  single = loop.train(configs(name)[1], tmp_path / 'single', dataset=dataset)
  alone = restore.load_run(tmp_path / 'single').state
  states = [restore.load_run(place).state for place in places(folder)]
  assert_close(states[1], alone)
  for other in (states[0], states[2]):
    with pytest.raises(AssertionError):  # the tolerance tells lanes apart
      assert_close(other, alone, atol=1e-3)
  assert results[1]['data_sha256'] == single['data_sha256']
  assert results[1].get('test_error') == single.get('test_error')
  lines = reports(folder / 'lane1'), reports(tmp_path / 'single')
  assert [line['step'] for line in lines[0]] == [3, 6]
  for ours, theirs in zip(*lines, strict=True):
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_a_lane_leaves_an_ordinary_run_directory(together):
  folder, results = together
  for place, result in zip(places(folder), results, strict=True):
    run = restore.load_run(place)
    assert run.step == result['steps'] == 6
    recorded = run.directory.record().hashes
    assert list(recorded) == [2, 4, 6]
    assert recorded[6] == result['sha256']['state']
    written = json.loads(run.directory.result.read_text())
    assert written['sha256'] == result['sha256']
    assert run.directory.sessions()[0]['parallel'] == 'vmap of 3 runs'
    assert (run.directory.samples / 'samples_00000003.png').exists()


@pytest.mark.parametrize('step', [5, 4])
def test_a_stop_saves_all_lanes_and_the_same_call_goes_on(
  together, dataset, tmp_path, monkeypatch, step
):
  advance = lanes._advance

  def interrupted(*args):
    for item in advance(*args):
      if item[0] == step:
        os.kill(os.getpid(), signal.SIGTERM)
      yield item

  with monkeypatch.context() as patch:
    patch.setattr(lanes, '_advance', interrupted)
    with pytest.raises(Stopped, match=f'at step {step}, which is saved'):
      lanes.train_lanes(configs(), places(tmp_path), dataset=dataset)
  assert [restore.load_run(p).step for p in places(tmp_path)] == [step] * 3
  results = lanes.train_lanes(configs(), places(tmp_path), dataset=dataset)
  assert hashes(results) == hashes(together[1])  # to the bit
  for place, whole in zip(places(tmp_path), places(together[0]), strict=True):
    assert reports(place) == reports(whole)


def test_a_kill_between_the_saves_of_two_lanes(
  together, dataset, copied, monkeypatch
):
  """Lanes that are behind catch up, then all continue together."""
  for seed, lost in ((0, (6,)), (1, (4, 6)), (2, (6,))):
    (copied / f'lane{seed}/result.json').unlink()
    for step in lost:
      shutil.rmtree(copied / f'lane{seed}/checkpoints/{step}')
  groups = []
  train_together = lanes._train_together

  def noted(group, start, until, request):
    groups.append((len(group), start, until))
    train_together(group, start, until, request)

  monkeypatch.setattr(lanes, '_train_together', noted)
  results = lanes.train_lanes(configs(), places(copied), dataset=dataset)
  assert groups == [(1, 2, 4), (3, 4, 6)]
  for place, whole in zip(places(copied), places(together[0]), strict=True):
    assert_close(restore.load_run(place).state, restore.load_run(whole).state)
  assert [result['steps'] for result in results] == [6] * 3


def test_finished_lanes_are_left_alone(together, dataset, copied):
  before = {
    path: path.read_bytes()
    for path in copied.rglob('*.json*')
  }  # fmt: skip
  results = lanes.train_lanes(configs(), places(copied), dataset=dataset)
  assert hashes(results) == hashes(together[1])
  assert {path: path.read_bytes() for path in before} == before


def test_a_lane_that_diverges_does_not_lose_the_others(
  together, dataset, tmp_path, monkeypatch
):
  advance = lanes._advance

  def poisoned(*args):
    for step, state, metrics in advance(*args):
      if step == 3:
        bad = np.array(metrics['g_loss'])
        bad[:, 1] = np.nan
        metrics = metrics | {'g_loss': bad}
      yield step, state, metrics

  monkeypatch.setattr(lanes, '_advance', poisoned)
  first, second, third = lanes.train_lanes(
    configs(), places(tmp_path), dataset=dataset
  )
  assert isinstance(second, Diverged)
  assert 'g_loss is nan at step 3' in str(second)
  assert hashes([first, third]) == hashes(together[1][::2])
  assert not (tmp_path / 'lane1/result.json').exists()
  assert restore.load_run(tmp_path / 'lane1').step == 2
  ends = [RunDirectory(p).record().divergence for p in places(tmp_path)]
  assert ends == [None, str(second), None]


def test_weights_that_are_not_finite_are_never_saved(
  dataset, tmp_path, monkeypatch
):
  monkeypatch.setattr(lanes, 'all_finite', lambda state: int(state.step) < 4)
  ends = lanes.train_lanes(configs(), places(tmp_path), dataset=dataset)
  assert all('not finite at step 4' in str(end) for end in ends)
  assert [restore.load_run(p).step for p in places(tmp_path)] == [2] * 3


def test_a_lane_that_cannot_begin_does_not_lose_the_others(
  together, dataset, copied
):
  config = configs()
  config[1].model.z_dim = 3
  ends = lanes.train_lanes(config, places(copied), dataset=dataset)
  assert isinstance(ends[1], InputError)
  assert 'a run of another config: config.model.z_dim' in str(ends[1])
  assert hashes(ends[::2]) == hashes(together[1][::2])


def test_lanes_want_one_device(dataset, tmp_path):
  config = configs()
  config[0].parallel = 'auto'  # the tests have two devices
  with pytest.raises(InputError, match='need one device'):
    lanes.train_lanes(config, places(tmp_path), dataset=dataset)
  assert not list(tmp_path.iterdir())


def test_which_networks_have_convolutions(smoke_config, dataset):
  smoke_config.data.num_labels = 20
  assert lanes.has_convolutions(build(smoke_config, dataset))
  for name in ('mnist_ssgan', 'mnist_gan'):
    assert not lanes.has_convolutions(build(configs(name)[0], dataset))
