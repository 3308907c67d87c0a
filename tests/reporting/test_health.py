"""What is called wrong with a run, and what is not."""

import json
import pathlib

import pytest

from gan_jax.reporting.health import (
  Facts,
  examine,
  looked_at,
  metrics_of,
  series,
)

# Metrics of runs that the thresholds were fitted to: docs/health.md.
STORED = json.loads(
  pathlib.Path(__file__).with_name('health_runs.json').read_text()
)
KNOWN = Facts(data_std=0.25)


def reports(**metrics):
  """A report every 1,000 steps with the given values of each metric."""
  return [
    {'step': 1000 * (i + 1), 'epoch': float(i), **dict(
      zip(metrics, values, strict=True)
    )}
    for i, values in enumerate(zip(*metrics.values(), strict=True))
  ]  # fmt: skip


def found(lines, facts=KNOWN):
  return [(x.metric, x.since) for x in examine(lines, facts)]


def ahead(rates=(0.99,) * 8, std=0.14, facts=KNOWN):
  """Whether D is called far ahead, with samples of a constant deviation."""
  lines = reports(d_win_rate=rates, samples_std=[std] * len(rates))
  return ('d_win_rate', 1000 * (len(rates) // 2 + 1)) in found(lines, facts)


def test_d_is_far_ahead_only_where_samples_lag_behind():
  assert ahead(std=0.174)  # of 0.7 times 0.25
  assert not ahead(std=0.176)
  assert not ahead(facts=KNOWN._replace(d_may_win=True))
  assert not ahead(facts=Facts())  # nothing to compare with
  lines = reports(d_win_rate=[1.0] * 9)
  assert not examine(lines, KNOWN)  # no deviation
  lines[-1]['samples_std'] = 0.01
  assert not examine(lines, KNOWN)  # too few


def test_d_is_not_far_ahead_where_samples_catch_up():
  """The pace of the last two quarters leads above 0.175 in the next one."""
  rates = [0.99] * 8
  slow = [0.1, 0.1, 0.1, 0.1, 0.13, 0.13, 0.15, 0.15]
  fast = [*slow[:6], 0.16, 0.16]
  for stds, is_ahead in ((slow, True), (fast, False)):
    lines = reports(d_win_rate=rates, samples_std=stds)
    assert ('d_win_rate' in dict(found(lines))) == is_ahead


@pytest.mark.parametrize(
  ('later', 'expected'),
  [
    ([0.95, 0.95, 0.95, 0.5], True),
    ([0.95, 0.95, 0.5, 0.5], False),
    ([0.95, 0.95, 0.949, 0.5], False),
  ],
)
def test_d_is_far_ahead_where_it_wins_in_most_of_the_later_half(
  later, expected
):
  assert ahead([0.5] * 4 + later) == expected
  assert not ahead([1.0] * 4)  # the later half is fewer than three


def test_d_that_is_far_ahead_is_told_with_figures_and_learning_rates():
  lines = reports(d_win_rate=[0.97] * 8, samples_std=[0.11] * 8)
  rates = {
    'optimizer.discriminator.learning_rate': 0.04,
    'optimizer.generator.learning_rate': 0.002,
  }
  first, _ = examine(lines, KNOWN._replace(config=rates))
  for words in (
    'in 97.0% of pairs, and in 4 of the last 4 reports in 95% or more '
    '(threshold: 75% of them)',
    "deviation over z is 0.110 where the data's is 0.250 (threshold: 0.175,",
    "D's learning rate is 20 times G's. Try a lower learning rate of D or a",
  ):
    assert words in first.sentence
  fell = reports(d_win_rate=[0.97] * 8, samples_std=[0.2] * 2 + [0.09] * 6)
  assert 'a higher one of G' not in examine(fell, KNOWN)[0].sentence
  assert 'times' not in examine(fell, KNOWN)[0].sentence


def test_each_of_two_discriminators_is_looked_at():
  lines = reports(
    d_win_rate_a=[0.5] * 8, d_win_rate_b=[0.98] * 8, samples_std=[0.14] * 8
  )
  assert found(lines) == [('d_win_rate_b', 5000)]


def test_d_at_chance_is_wrong_only_where_g_stands_still():
  rates = [0.9, 0.5, 0.529, 0.471]
  still = reports(d_win_rate=rates, g_loss=[3.0, 0.7, 0.706, 0.7])
  assert found(still) == [('d_win_rate', 2000)]
  assert 'no better than chance since step 2,000' in examine(still)[0].sentence
  moves = reports(d_win_rate=rates, g_loss=[3.0, 0.7, 0.708, 0.7])
  assert not examine(moves)
  better = reports(d_win_rate=[0.9, 0.531, 0.531, 0.531], g_loss=[0.7] * 4)
  assert not examine(better)
  assert not examine(reports(d_win_rate=rates))  # no loss to tell by


@pytest.mark.parametrize(
  ('stds', 'data_std', 'since', 'words'),
  [
    ([0.2, 0.124, 0.124, 0.124], 0.25, 2000, 'a higher learning rate of G'),
    ([0.2, 0.09, 0.11, 0.115], 0.25, 2000, 'G has collapsed to few images'),
    ([0.2, 0.24, 0.06, 0.04, 0.04, 0.04], None, 4000, 'G has collapsed'),
    ([1e-3, 1e-3, 1e-3], None, 1000, 'G has learnt little'),
    ([3.8e-3, 3.8e-3, 3.8e-3], 0.001, 1000, 'G has learnt little'),
  ],
)  # fmt: skip
def test_samples_alike(stds, data_std, since, words):
  (finding,) = examine(reports(samples_std=stds), Facts(data_std))
  assert (finding.metric, finding.since) == ('samples_std', since)
  assert f'is {stds[-1]:.3f}' in finding.sentence
  assert 'threshold: ' in finding.sentence
  assert words in finding.sentence
  assert ('the first report' in finding.sentence) == (since == 1000)


@pytest.mark.parametrize(
  ('stds', 'data_std'),
  [
    ([0.2, 0.126, 0.126, 0.126], 0.25),
    ([0.2, 0.1, 0.1, 0.1], None),  # half of its own largest
    ([0.2, 0.1, 0.1, 0.2], 0.25),  # it has mended
    ([0.2, 0.2, 0.1, 0.1], 0.25),  # it has not lasted
    ([4.0e-3] * 3, 0.001),
    ([0.0, 0.01, 0.06, 0.10], 0.25),  # it catches up: 0.14 next
  ],
)
def test_samples_differ_enough(stds, data_std):
  assert not examine(reports(samples_std=stds), Facts(data_std))


def test_samples_that_catch_up_too_slowly():
  assert found(reports(samples_std=[0.0, 0.01, 0.06, 0.09])) == [
    ('samples_std', 1000)
  ]  # 0.12 next, of 0.125


@pytest.mark.parametrize(
  ('config', 'spec'),
  [
    ({'train.num_steps': 10_000}, {}),
    ({'train.num_steps': 0, 'train.num_epochs': 100},
     {'steps_per_epoch': 100}),
  ],
)  # fmt: skip
def test_deviations_of_a_young_run_are_not_judged(config, spec):
  facts = KNOWN._replace(config=config, data={'spec': spec})
  lines = reports(samples_std=[0.01] * 10, d_win_rate=[1.0] * 10)
  assert not examine(lines[:2], facts)
  assert examine(lines[:3], facts)
  soon = [line | {'step': line['step'] // 4} for line in lines]
  assert not examine(soon, facts)
  assert 'not judged before 30%' in looked_at(soon, facts)[0][1]


@pytest.mark.parametrize(
  ('norms', 'since', 'word'),
  [
    ([1.0, 2.0, 1.0, 9e-3, 9e-3, 1e-4], 4000, 'vanished'),
    ([1.0, 2.0, 1.0, 0.0, 0.0, 0.0], 4000, 'vanished'),
    ([0.0, 0.0, 0.0], 1000, 'vanished'),
    ([1e-4, 1e-4, 1e-4, 9e-6, 9e-6, 9e-6], 4000, 'vanished'),
    ([1.0, 2.0, 1.0, 50.0, 101.0, 500.0, 1e5], 5000, 'exploded'),
  ],
)
@pytest.mark.parametrize('player', ['d', 'g'])
def test_gradients(norms, since, word, player):
  (finding,) = examine(reports(**{f'{player}_grad_norm': norms}))
  assert finding.since == since
  sentence = f"{player.upper()}'s gradients have {word} since step {since:,}"
  assert finding.sentence.startswith(sentence)
  bound = 1e-5 if norms[0] < 1 else 100 if word == 'exploded' else 0.01
  assert f'(threshold: {bound:.2g})' in finding.sentence


@pytest.mark.parametrize(
  'norms',
  [
    [1.0, 1.0, 1.0, 0.02, 0.02, 0.02],
    [1.0, 1.0, 1.0, 99.0, 99.0, 99.0],
    [1.0, 1.0, 1.0, 1e-4, 1e-4, 1.0],
    [1.0, 1e6],
    [1e-4, 1e-4, 1e-4, 1.1e-5, 1.1e-5, 1.1e-5],
    [1e-4, 1e-9, 1e-9, 9e-4, 9e-4, 9e-4],  # from nothing to little
    [500.0, 1.0, 1.0, 1.0, 1.0, 1.0],  # a first fling is not what is usual
  ],
)
def test_gradients_that_only_drift(norms):
  assert not examine(reports(g_grad_norm=norms))


@pytest.mark.parametrize(
  ('num', 'seen', 'policy', 'wrong'),
  [
    (499, 300.0, None, True),
    (500, 300.0, None, False),
    (499, 299.9, None, False),
    (499, 300.0, 'color', False),
    (None, 300.0, None, False),
  ],
)
def test_few_images_each_seen_often(num, seen, policy, wrong):
  counts = None if num is None else [num - 9, 9]
  facts = Facts(
    config={'augment.policy': policy}, data={'spec': {'class_counts': counts}}
  )
  lines = [
    {'step': i, 'epoch': x, 'd_win_rate': 0.8}
    for i, x in enumerate([1.0, seen, seen])
  ]
  findings = examine(lines, facts)
  assert [(x.metric, x.since) for x in findings] == wrong * [('epoch', 1)]
  if wrong:
    told = 'There are 499 training images (threshold: 500), and D has seen each'
    assert findings[0].sentence.startswith(told)
  no_d = [{k: v for k, v in x.items() if k != 'd_win_rate'} for x in lines]
  assert not examine(no_d, facts)


WASSERSTEIN = {
  'loss.adversarial.name': 'wasserstein',
  'loss.lambda_gp': 0.0,
  'loss.r1_gamma': 0.0,
  'loss.r2_gamma': 0.0,
  'model.discriminator.normalization': 'none',
}


@pytest.mark.parametrize(
  'change',
  [
    {'loss.adversarial.name': 'hinge'},
    {'loss.lambda_gp': 1e-3},
    {'loss.r1_gamma': 1e-3},
    {'loss.r2_gamma': 1e-3},
    {'model.discriminator.normalization': 'spectral'},
  ],
)
def test_a_wasserstein_loss_wants_a_bounded_d(change):
  lines = reports(d_real_logit=[80.0], d_fake_logit=[77.0])
  (finding,) = examine(lines, Facts(config=WASSERSTEIN))
  assert finding.metric == 'loss.adversarial.name'
  assert 'd_real_logit 80, d_fake_logit 77' in finding.sentence
  assert not examine(lines, Facts(config=WASSERSTEIN | change))


def test_a_divergence_is_told_however_few_the_reports():
  facts = Facts(divergence='g_loss is nan at step 1005')
  (finding,) = examine(reports(g_loss=[1.0]), facts)
  assert (finding.metric, finding.since) == ('divergence', 1000)
  assert 'diverged and ended: g_loss is nan at step 1005' in finding.sentence


def test_what_was_looked_at_has_its_figures():
  lines = reports(
    d_loss=[1.3] * 5,
    d_win_rate=[0.5, 0.7, 0.8, 0.81, 0.9],
    g_grad_norm=[3.0, 2.0, 1.0, 1.0, 2.0],
    samples_std=[0.01, 0.1, 0.2, 0.21, 0.2],
  )
  facts = KNOWN._replace(data={'spec': {'class_counts': [1000, 7]}})
  assert examine(lines, facts) == []
  assert looked_at(lines, facts) == (
    [
      "D's win rate (0.81)",
      "the samples' deviation (0.200; the data's is 0.250)",
      'gradient norms (1)',
      'how often D sees an image (1,007 images, 4.0 times, not augmented)',
    ],
    [],
  )
  seen, lacking = looked_at(reports(g_grad_norm=[1.0], samples_std=[0.2]))
  assert seen == [
    "the samples' deviation (0.200; the data's is not known)",
    'gradient norms (1)',
  ]
  assert lacking == ["D's win rate", 'how often D sees an image']
  seen, _ = looked_at(reports(g_grad_norm=[1.0], d_grad_norm=[2.0]))
  assert seen == ['gradient norms (gradient norm of G 1, gradient norm of D 2)']


def test_the_deviation_of_a_score_is_not_that_of_samples():
  lines = reports(samples_std=[0.25] * 8, validation_kid_std=[0.01] * 8)
  assert examine(lines, KNOWN) == []


@pytest.mark.parametrize('name', STORED)
def test_runs_that_were_trained(name):
  """Hits and no false alarm on the runs that the thresholds were fitted to."""
  run = STORED[name]
  columns = run['metrics']
  lines = [
    dict(zip(columns, values, strict=True))
    for values in zip(*columns.values(), strict=True)
  ]
  facts = Facts(
    run['data_std'],
    config=run['config'],
    data={'spec': {'class_counts': [run['num_train']]}},
    d_may_win=run['config']['loss.adversarial.name'] == 'wasserstein',
  )
  assert [x.metric for x in examine(lines, facts)] == run['findings']


def test_metrics_are_the_numbers_that_reports_hold():
  lines = [
    {'step': 1, 'epoch': 0.1, 'd_loss': 1.0, 'note': 'x'},
    {'step': 2, 'epoch': 0.2, 'd_loss': 2.0, 'late': 3.0},
  ]
  assert metrics_of(lines) == ['d_loss', 'late']
  assert series(lines, 'd_loss') == ([1, 2], [1.0, 2.0])
  assert series(lines, 'late') == ([2], [3.0])
