"""Hours of a sweep."""

import types

import pytest
from numpy.testing import assert_allclose

from gan_jax.sweep.estimate import estimate, time_steps, to_markdown
from gan_jax.sweep.plan import plan_runs
from gan_jax.sweep.run import estimate_hours
from tests import toy

VARY = {'model.z_dim': [2, 3]}


def timed(num_steps, seconds, num_runs=3):
  """Two combinations; of a program, only the plan is looked at."""
  runs = plan_runs(toy.get_config(), VARY, range(num_runs))
  plan = types.SimpleNamespace(num_steps=num_steps)
  program = types.SimpleNamespace(plan=plan)
  cells = runs[:num_runs], runs[num_runs:]
  return [(cell, program, seconds[i]) for i, cell in enumerate(cells)]


def test_hours_by_hand():
  first, second = estimate(timed(1800, [2.0, 4.0]))
  assert_allclose([first.hours, second.hours], [1.0, 2.0])
  assert (first.cell, second.cell) == ({'z_dim': 2}, {'z_dim': 3})
  lines = to_markdown([first, second]).splitlines()
  assert lines[0] == '| z_dim | steps | s/step | hours/run | runs | hours |'
  assert lines[2] == '| 2 | 1,800 | 2.0000 | 1.00 | 3 | 3.00 |'
  assert lines[-1].startswith('9.0 hours, ')


@pytest.mark.parametrize(
  ('budget', 'fitting'),
  [(9.0, [3, 3]), (7.5, [3, 2]), (2.5, [2, 0]), (3.5, [3, 0]), (0.0, [0, 0])],
)
def test_runs_are_cut_from_the_first_that_does_not_fit(budget, fitting):
  found = estimate(timed(1800, [2.0, 4.0]), budget)
  assert [each.num_fitting for each in found] == fitting
  table = to_markdown(found)
  for num, line in zip(fitting, table.splitlines()[2:4], strict=True):
    cut = '' if num == 3 else f', {3 - num} cut'
    assert f'| {num}{cut} |' in line


def test_steps_are_timed_without_the_first_dispatch(monkeypatch):
  """A clock that advances by one second per step, and by 100 to compile."""
  clock = [0.0]

  def advance(program, state, start):
    for step in range(start + 1, 100):
      clock[0] += 100.0 if step == 1 else 1.0
      yield step, state, {}

  monkeypatch.setattr('gan_jax.sweep.estimate.advance', advance)
  monkeypatch.setattr('gan_jax.sweep.estimate.init_state', lambda program: 0)
  monkeypatch.setattr('time.perf_counter', lambda: clock[0])
  program = types.SimpleNamespace(
    plan=types.SimpleNamespace(steps_per_dispatch=1)
  )
  assert time_steps(program, 20) == 1.0


@pytest.mark.systems
def test_the_hours_of_a_sweep(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  config = toy.get_config()
  config.data.num_validation = config.data.num_labels = 10
  table = estimate_hours(config, seeds=[0, 1], vary=VARY)
  first, second = table.splitlines()[2:4]
  assert first.startswith('| 2 | 8 | 0.')
  assert second.startswith('| 3 | 8 | 0.')
  assert '| 2 |' in second
  assert capsys.readouterr().err.splitlines() == [
    'timing z_dim=2-seed=0',
    'timing z_dim=3-seed=0',
  ]
  assert not any(tmp_path.iterdir())
