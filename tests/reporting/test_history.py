"""Reading long metrics.jsonl: what stays, and that extremes do."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.reporting import history
from gan_jax.reporting.history import read_history, thinned
from gan_jax.runs.directory import RunDirectory


def test_what_is_short_stays_whole():
  assert_array_equal(thinned([3, 4, 9, 20], [1.0] * 4, 4), [0, 1, 2, 3])
  assert len(thinned([], [], 4)) == 0


@pytest.mark.parametrize('num', [10, 11, 100])
def test_each_bucket_keeps_its_extremes(num):
  rng = np.random.default_rng(num)
  steps = np.cumsum(rng.integers(1, 9, 1000))
  values = rng.normal(size=1000)
  kept = thinned(steps, values, num)
  assert len(kept) <= num
  assert (kept[0], kept[-1]) == (0, 999)
  assert (np.diff(kept) > 0).all()
  width = (steps[-1] - steps[0] + 1) / (num // 2 - 1)
  bucket = ((steps - steps[0]) // width).astype(int)
  assert bucket.max() == num // 2 - 2
  wanted = {0, 999}
  for k in range(num // 2 - 1):
    (places,) = np.nonzero(bucket == k)
    wanted |= {places[values[places].argmin()], places[values[places].argmax()]}
  assert set(kept) == wanted


def test_of_equal_values_one_stays():
  kept = thinned(range(1000), np.zeros(1000), 12)
  assert_array_equal(kept, [0, 200, 400, 600, 800, 999])


def test_what_is_no_number_hides_no_other():
  values = np.sin(np.arange(1000.0))
  values[::3] = np.nan
  kept = thinned(range(1000), values, 12)
  assert np.nanmax(values) in values[kept]
  assert np.nanmin(values) in values[kept]


def write(path, lines):
  path.mkdir(exist_ok=True)
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  (path / 'metrics.jsonl').write_text(text)
  return RunDirectory(path)


def report(step, **values):
  return {'step': step, 'epoch': step / 10, **values}


def test_a_short_run_is_read_as_it_is(tmp_path):
  lines = [
    report(10, d_loss=1.0, extractor={'name': 'x'}, step_seconds=0.5),
    {'step': 10, 'state_sha256': 'a'},
    report(30, d_loss=2.0, num=3, step_seconds=0.25),
    report(40, d_loss=2.0),  # after a stop: without times
    {'step': 40, 'state_sha256': 'b'},
  ]
  found = read_history(write(tmp_path, lines))
  assert found.reports == [line for line in lines if 'epoch' in line]
  assert found.hashes == {10: 'a', 40: 'b'}
  assert found.num_hashes == 2
  assert found.seconds == pytest.approx(10 * 0.5 + 20 * 0.25)
  assert found.divergence is None
  lines.append({'step': 40, 'diverged': 'd_loss is nan'})
  found = read_history(write(tmp_path, lines))
  assert found.divergence == 'd_loss is nan'
  assert len(found.reports) == 3


def test_a_long_run_keeps_extremes_the_end_and_the_last_hashes(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(history, 'NUM_LAST', 5)
  monkeypatch.setattr(history, 'NUM_EVEN', 4)
  monkeypatch.setattr(history, 'NUM_HASHES', 3)
  monkeypatch.setattr(history.thinned, '__defaults__', (20,))
  rng = np.random.default_rng(0)
  loss, error = rng.normal(size=(2, 3000))
  lines = []
  for i in range(3000):
    line = report(i + 1, d_loss=loss[i], text='x')
    if i % 7 == 0:
      line['error'] = error[i]
    lines += [line, {'step': i + 1, 'state_sha256': f'{i}'}]
  found = read_history(write(tmp_path, lines))
  reports = {line['step'] - 1: line for line in found.reports}
  places = np.arange(0, 3000, 7)
  of_loss = thinned(np.arange(3000), loss)
  of_error = places[thinned(places, error[places])]
  assert len(of_loss) <= 20 < len(places)
  edges = thinned(np.arange(3000), np.arange(3000.0))  # of the epoch
  last = range(2995, 3000)
  assert set(reports) == {
    *of_loss,
    *of_error,
    *edges,
    *last,
    0,
    750,
    1500,
    2250,
  }
  assert [*reports] == sorted(reports)
  for i, line in reports.items():
    assert line['d_loss'] == loss[i]
    assert line['epoch'] == (i + 1) / 10
    assert line.get('error') == (error[i] if i % 7 == 0 else None)
    assert ('text' in line) == (i in last)  # the last are whole
  assert found.hashes == {2998: '2997', 2999: '2998', 3000: '2999'}
  assert found.num_hashes == 3000


def test_without_a_report_there_is_no_history(tmp_path):
  directory = write(tmp_path, [{'step': 1, 'state_sha256': 'x'}])
  with pytest.raises(InputError, match='has no report yet'):
    read_history(directory)
