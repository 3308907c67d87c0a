import json

import pytest
from numpy.testing import assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.reporting.curves import plot_curves
from gan_jax.runs.directory import RunDirectory

LINES = (
  {'step': 5, 'epoch': 0.5, 'd_loss': 2.0, 'g_loss': 1.0, 'std': 0.1},
  {'step': 5, 'state_sha256': 'x'},
  {'step': 10, 'epoch': 1.0, 'd_loss': 1.5, 'g_loss': -1.0, 'std': 0.2},
)


@pytest.fixture
def metrics(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text(''.join(json.dumps(line) + '\n' for line in LINES))
  return path


def test_panels_hold_the_reports(metrics):
  losses, std = plot_curves(
    RunDirectory(metrics.parent), ['d_loss+g_loss', 'std']
  ).axes
  d_loss, g_loss = (line.get_xydata() for line in losses.lines)
  assert_array_equal(d_loss, [[0.5, 2.0], [1.0, 1.5]])
  assert_array_equal(g_loss, [[0.5, 1.0], [1.0, -1.0]])
  assert_array_equal(std.lines[0].get_ydata(), [0.1, 0.2])
  assert losses.get_xlabel() == 'epoch'
  assert [text.get_text() for text in losses.get_legend().texts] == [
    'd_loss',
    'g_loss',
  ]
  assert std.get_ylim()[0] == 0


def test_what_is_not_there_is_said(metrics, tmp_path):
  with pytest.raises(InputError, match=r"unknown metric 'loss'.*d_loss"):
    plot_curves(RunDirectory(metrics.parent), ['d_loss+loss'])
  with pytest.raises(
    InputError, match=r'--metrics is empty; .*: d_loss, epoch'
  ):
    plot_curves(RunDirectory(metrics.parent), [])
  with pytest.raises(InputError, match='no report yet'):
    plot_curves(RunDirectory(tmp_path / 'none'), ['d_loss'])


def test_a_metric_that_only_some_reports_have(metrics):
  with metrics.open('a') as file:
    file.write(json.dumps({'step': 15, 'epoch': 1.5, 'fid': 3.0}) + '\n')
  (fid,) = plot_curves(RunDirectory(metrics.parent), ['fid']).axes
  assert_array_equal(fid.lines[0].get_xydata(), [[1.5, 3.0]])
