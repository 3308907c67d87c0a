import shutil

import numpy as np
import pytest

from experiments.benchmark import measure
from experiments.benchmark.workloads import make_program
from gan_jax.core.errors import InputError
from tests.conftest import ROOT


def figures(step, rounds):
  return {
    'step': step,
    'step_per_round': rounds,
    'first_step_cold': 9.0,
    'first_step_warm': 1.0,
    'live_bytes': 5e6,
    'peak_resident_bytes': 7e8,
  }


@pytest.fixture
def result():
  ours = figures(0.2, [0.1, 0.2, 0.4]) | {
    'flops': 8e9,
    'cpu_flops': 4e9,
    'peak_flops': 1e11,
  }
  return {
    'systems': {
      'ssgan': {
        'jax': ours,
        'torch-eager': figures(0.4, [0.3, 0.4, 0.4]),
        'torch-compile': figures(0.3, [0.3, 0.3, 0.3]),
        'flax': figures(1.0, [1.0, 1.0, 1.0]),
      }
    }
  }


def test_ratios_are_taken_round_by_round(result):
  ratios = measure.ratios(result['systems']['ssgan'], 'torch-eager')
  np.testing.assert_allclose(ratios, [3.0, 2.0, 1.0])


def test_the_table_shows_the_fastest_torch_its_spread_and_the_floor(result):
  lines = measure.to_markdown(result).splitlines()
  assert [line.split(' | ')[1] for line in lines[2:]] == [
    'jax', 'torch-compile', 'flax',
    'floor, plain products', 'floor, our products',
  ]  # fmt: skip
  assert '| 300.0 | 1.50 (0.75 to 3.00) | 9.0 / 1.0 | 5 | 700 |' in lines[3]
  assert '| 80.0 | 8.0 GFLOP at 100 GFLOP/s, 40% of our step' in lines[5]
  assert '| 40.0 | 4.0 GFLOP at 100 GFLOP/s, 20% of our step' in lines[6]


@pytest.mark.parametrize(
  ('systems', 'peers', 'message'),
  [
    (
      ['ssgn'],
      [],
      "unknown system 'ssgn'; choose one of: cyclegan, dcgan, ",
    ),
    (['ssgan'], ['tf'], "unknown peer 'tf'; choose one of: flax, torch"),
  ],
)
def test_unknown_names_are_refused_with_the_choices(systems, peers, message):
  with pytest.raises(InputError, match=message):
    measure.benchmark(systems, peers)


def test_a_peer_that_is_not_installed_is_refused(monkeypatch):
  monkeypatch.setattr(measure.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(InputError, match='torch is not installed; run pip inst'):
    measure.benchmark(['ssgan'], ['torch'])


@pytest.mark.systems
def test_another_checkout_has_its_turns(tmp_path):
  """Its code runs, not ours: a copy whose worker says that it is another."""
  for folder in ('experiments', 'gan_jax', 'configs'):
    shutil.copytree(ROOT / folder, tmp_path / folder)
  worker = tmp_path / 'experiments/benchmark/worker.py'
  source = worker.read_text()
  assert "'live_bytes': live," in source
  worker.write_text(source.replace("'live_bytes': live,", "'live_bytes': 77,"))
  figures = measure.benchmark(
    ['gan'], [], rounds=1, seconds=0.0, against=str(tmp_path)
  )['systems']['gan']
  assert list(figures) == ['jax', 'against']
  assert figures['against']['live_bytes'] == 77 != figures['jax']['live_bytes']
  with pytest.raises(InputError, match='is no checkout with experiments/bench'):
    measure.benchmark(['gan'], [], against=str(tmp_path / 'configs'))


def test_a_workloads_sizes_can_be_changed():
  program = make_program('digits_ssgan', batch_size=20, image_size=16, width=2)
  assert program.data.spec.image_shape == (16, 16, 1)
  assert program.config.data.batch_size == 20
  assert program.config.model.discriminator.width == 64
