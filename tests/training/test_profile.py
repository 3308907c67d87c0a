"""Profiler traces of training steps."""

import contextlib
import gzip
import json
import re

import pytest

from gan_jax.core.errors import InputError
from gan_jax.training import loop, profile
from gan_jax.training.profile import ProfiledSteps, parse_steps, profiled


@pytest.mark.parametrize(
  ('chunk', 'traced'), [(1, [4, 5]), (2, [4, 6]), (5, [5])]
)
def test_whole_dispatches_that_contain_the_steps_are_traced(
  monkeypatch, tmp_path, chunk, traced
):
  running, seen = [], []
  monkeypatch.setattr(
    profile.jax.profiler, 'start_trace', lambda *_, **__: running.append(1)
  )
  monkeypatch.setattr(profile.jax.profiler, 'stop_trace', running.pop)

  def dispatches():
    for step in range(chunk, 11, chunk):
      seen.extend([step] * len(running))
      yield step, 'state', 'metrics'

  passed = profiled(
    dispatches(), ProfiledSteps(4, 5, tmp_path), 0, chunk
  )  # fmt: skip
  steps = [next(passed)[0] for _ in range(10 // chunk)]
  assert steps == [*range(chunk, 11, chunk)]
  assert seen == traced
  assert not running


def test_a_training_that_ends_within_ends_the_trace(monkeypatch, tmp_path):
  running = []
  monkeypatch.setattr(
    profile.jax.profiler, 'start_trace', lambda *_, **__: running.append(1)
  )
  monkeypatch.setattr(profile.jax.profiler, 'stop_trace', running.pop)
  passed = profiled(
    iter([(1, 0, 0)]), ProfiledSteps(1, 3, tmp_path), 0, 1
  )  # fmt: skip
  next(passed)
  assert running
  passed.close()
  assert not running


def test_steps_that_cannot_be(tmp_path):
  assert parse_steps('10-15', tmp_path) == (10, 15, tmp_path)
  for text in ('10', '10-', 'a-b', '5-15-20'):
    with pytest.raises(InputError, match='want a range such as 10-15'):
      parse_steps(text, tmp_path)
  ProfiledSteps(9, 12, tmp_path).check(8, 12)
  for steps in ((8, 12), (9, 13), (0, 1), (12, 11)):
    with pytest.raises(InputError, match=r'trains steps 9-12; choose'):
      ProfiledSteps(*steps, tmp_path).check(8, 12)


def test_a_run_with_a_trace_and_a_tracker(
  toy_config, tiny_dataset, toy_reference, tmp_path, capsys
):
  """Neither changes the training; the trace has the files its viewers read."""
  told = []

  def writer(directory, start):
    assert (directory, start) == (tmp_path / 'run', 0)
    return contextlib.nullcontext(lambda *report: told.append(report))

  result = loop.train(
    toy_config, tmp_path / 'run', dataset=tiny_dataset, writers=[writer],
    profile=ProfiledSteps(3, 4, tmp_path / 'run/profile'),
  )  # fmt: skip
  assert result['sha256'] == toy_reference[1]['sha256']
  assert [(step, *pictures) for step, _, pictures in told] == [
    (3, 'samples'), (6, 'samples'),
  ]  # fmt: skip
  assert told[0][1].keys() >= {'epoch', 'd_loss', 'samples_std'}
  (trace,) = (tmp_path / 'run/profile/plugins/profile').iterdir()
  (perfetto,) = trace.glob('perfetto_trace.json.gz')
  events = json.loads(gzip.decompress(perfetto.read_bytes()))['traceEvents']
  names = {event.get('name', '') for event in events}
  assert 'train' in names
  assert not any(name.startswith('$') for name in names)  # calls of Python
  (xplane,) = trace.glob('*.xplane.pb')
  assert xplane.stat().st_size > 1000
  printed = capsys.readouterr()
  assert 'profile of steps 3-4: ' in printed.err
  report = [x for x in printed.out.splitlines() if x.startswith('step 6/8  ')]
  rows = toy_config.data.batch_size
  assert re.search(rf'  epoch \d+\.\d  {6 * rows} images  ', report[0])
  assert re.search(r'  \d\d:\d\d left$', report[0])
