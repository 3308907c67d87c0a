"""What is called wrong with a run, and what is not."""

import pytest

from gan_jax.reporting.health import examine, looked_at, metrics_of, series


def reports(**metrics):
  """A report every 1,000 steps with the given values of each metric."""
  return [
    {'step': 1000 * (i + 1), 'epoch': float(i), **dict(
      zip(metrics, values, strict=True)
    )}
    for i, values in enumerate(zip(*metrics.values(), strict=True))
  ]  # fmt: skip


def found(lines, **options):
  return [(x.metric, x.since) for x in examine(lines, **options)]


@pytest.mark.parametrize(
  ('rates', 'since'),
  [
    ([0.5, 0.9, 0.6, 0.99, 1.0, 1.0], 4000),
    ([1.0, 1.0, 1.0], 1000),
    ([0.5, 0.99, 0.99, 0.99], 2000),
  ],
)
def test_d_wins(rates, since):
  lines = reports(d_win_rate=rates)
  (finding,) = examine(lines)
  assert (finding.metric, finding.since) == ('d_win_rate', since)
  assert f'since step {since:,}' in finding.sentence
  assert ('the first report' in finding.sentence) == (since == 1000)
  assert not examine(lines, d_may_win=True)


@pytest.mark.parametrize(
  'rates',
  [
    [0.98] * 9,
    [1.0, 1.0],  # too few to last
    [1.0, 1.0, 1.0, 1.0, 0.98],  # it has mended
    [0.98, 0.98, 0.98, 1.0, 1.0],  # it has not lasted
  ],
)
def test_d_does_not_win(rates):
  assert not examine(reports(d_win_rate=rates))


def test_the_share_that_d_wins_is_of_the_time_since_then():
  (finding,) = examine(reports(d_win_rate=[0.0, 0.99, 0.992, 0.991]))
  assert finding.sentence.startswith('D tells real from fake 99% of the time')


def test_each_of_two_discriminators_is_looked_at():
  lines = reports(d_win_rate_a=[0.5, 1.0, 1.0, 1.0], d_win_rate_b=[0.8] * 4)
  assert found(lines) == [('d_win_rate_a', 2000)]


def test_d_at_chance_is_wrong_only_where_g_stands_still():
  rates = [0.9, 0.5, 0.51, 0.49]
  still = reports(d_win_rate=rates, g_loss=[3.0, 0.7, 0.701, 0.7])
  assert found(still) == [('d_win_rate', 2000)]
  assert 'no better than chance since step 2,000' in examine(still)[0].sentence
  moves = reports(d_win_rate=rates, g_loss=[3.0, 0.7, 0.8, 0.7])
  assert not examine(moves)
  better = reports(d_win_rate=[0.9, 0.6, 0.6, 0.6], g_loss=[0.7] * 4)
  assert not examine(better)
  assert not examine(reports(d_win_rate=rates))  # no loss to tell by


@pytest.mark.parametrize(
  ('stds', 'data_std', 'since'),
  [
    ([0.2, 0.1, 0.11, 0.12], 0.25, 2000),
    ([0.2, 0.24, 0.04, 0.03, 0.03], None, 3000),
    ([1e-3, 1e-3, 1e-3], None, 1000),  # alike from the start
  ],
)
def test_samples_alike(stds, data_std, since):
  (finding,) = examine(reports(samples_std=stds), data_std=data_std)
  assert (finding.metric, finding.since) == ('samples_std', since)
  assert f'is {stds[-1]:.3f}' in finding.sentence


@pytest.mark.parametrize(
  ('stds', 'data_std'),
  [
    ([0.01, 0.05, 0.13, 0.14, 0.15], 0.25),
    ([0.2, 0.1, 0.1, 0.1], None),  # half of its own largest
    ([0.2, 0.1, 0.1, 0.2], 0.25),  # it has mended
    ([0.2, 0.1, 0.1], 0.25),  # it has not lasted
  ],
)
def test_samples_differ_enough(stds, data_std):
  assert not examine(reports(samples_std=stds), data_std=data_std)


@pytest.mark.parametrize(
  ('norms', 'since', 'word'),
  [
    ([1.0, 2.0, 1.0, 9e-3, 9e-3, 1e-4], 4000, 'vanished'),
    ([1.0, 2.0, 1.0, 0.0, 0.0, 0.0], 4000, 'vanished'),
    ([0.0, 0.0, 0.0], 1000, 'vanished'),
    ([1.0, 2.0, 1.0, 50.0, 101.0, 500.0, 1e5], 5000, 'exploded'),
  ],
)
@pytest.mark.parametrize('player', ['d', 'g'])
def test_gradients(norms, since, word, player):
  (finding,) = examine(reports(**{f'{player}_grad_norm': norms}))
  assert finding.since == since
  sentence = f"{player.upper()}'s gradients have {word} since step {since:,}"
  assert finding.sentence.startswith(sentence)


@pytest.mark.parametrize(
  'norms',
  [
    [1.0, 1.0, 1.0, 0.02, 0.02, 0.02],
    [1.0, 1.0, 1.0, 99.0, 99.0, 99.0],
    [1.0, 1.0, 1.0, 1e-4, 1e-4, 1.0],
    [1.0, 1e6],
    [500.0, 1.0, 1.0, 1.0, 1.0, 1.0],  # a first fling is not what is usual
  ],
)
def test_gradients_that_only_drift(norms):
  assert not examine(reports(g_grad_norm=norms))


def test_a_run_that_is_well():
  lines = reports(
    d_loss=[1.3] * 5,
    d_win_rate=[0.5, 0.7, 0.8, 0.8, 0.8],
    g_grad_norm=[3.0, 2.0, 1.0, 1.0, 2.0],
    samples_std=[0.01, 0.1, 0.2, 0.2, 0.2],
  )
  assert examine(lines, data_std=0.25) == []
  everything = ["D's win rate", 'gradient norms', "the samples' diversity"]
  assert looked_at(lines) == (everything, [])
  assert looked_at(reports(d_loss=[1.0])) == ([], everything)
  some = reports(g_grad_norm=[1.0])
  assert looked_at(some) == (everything[1:2], everything[::2])


def test_metrics_are_the_numbers_that_reports_hold():
  lines = [
    {'step': 1, 'epoch': 0.1, 'd_loss': 1.0, 'note': 'x'},
    {'step': 2, 'epoch': 0.2, 'd_loss': 2.0, 'late': 3.0},
  ]
  assert metrics_of(lines) == ['d_loss', 'late']
  assert series(lines, 'd_loss') == ([1, 2], [1.0, 2.0])
  assert series(lines, 'late') == ([2], [3.0])
