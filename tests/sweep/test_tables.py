import csv
import io

import numpy as np
import pytest

from gan_jax.sweep.tables import (
  Finished,
  Scores,
  cell_rows,
  ensemble_error,
  mean_and_std,
  to_csv,
  to_markdown,
)

LABEL = np.array([0, 1, 1, 0])
# Wrong on image 3, on 2, and on 1 and 3; their mean is wrong on 3 alone.
FIRST = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.4, 0.6]])
SECOND = np.array([[0.6, 0.4], [0.1, 0.9], [0.6, 0.4], [0.6, 0.4]])
THIRD = np.array([[0.7, 0.3], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])


def finished(error, probability, steps=8, kinds=('averaged', 'raw')):
  return Finished(
    steps, {kind: Scores({'test_error': error}, probability) for kind in kinds}
  )


def parsed(markdown):
  lines = [
    [part.strip() for part in line.split('|')[1:-1]]
    for line in markdown.splitlines()
  ]
  return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_the_deviation_is_that_of_a_sample():
  # 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14, over n - 1 = 2.
  mean, std = mean_and_std([1.0, 2.0, 6.0])
  assert mean == pytest.approx(3.0, abs=1e-12)
  assert std == pytest.approx(7.0**0.5, abs=1e-12)
  assert mean_and_std([5.0]) == (5.0, None)
  assert mean_and_std([]) == (None, None)


def test_an_ensemble_is_the_mean_of_probabilities():
  # Means of class 0: 0.733, 0.433, 0.367, 0.367.
  assert ensemble_error([FIRST, SECOND, THIRD], LABEL) == 0.25
  # 0.9 for 1 beats twice 0.6 for 0: it is not a majority vote.
  sure = np.array([[0.1, 0.9]])
  unsure = np.array([[0.6, 0.4]])
  assert ensemble_error([sure, unsure, unsure], np.array([1])) == 0.0
  assert ensemble_error([FIRST], LABEL) == 0.25


def test_rows_of_a_classifier_single_and_ensemble():
  rows = cell_rows(
    {'num_labels': 20},
    [finished(0.25, FIRST), finished(0.25, SECOND), finished(0.5, THIRD, 9)],
    LABEL,
    {'single': '3 ± 1', 'ensemble': '2 ± 1'},
  )
  assert [(r.weights, r.runs) for r in rows] == [
    ('averaged', 'single'),
    ('averaged', 'ensemble'),
    ('raw', 'single'),
    ('raw', 'ensemble'),
  ]
  assert [r.published for r in rows] == ['3 ± 1', '2 ± 1', '', '']
  assert {r.n for r in rows} == {3}
  assert rows[0].mean == pytest.approx(1 / 3, abs=1e-12)
  # Deviations -1/12, -1/12, 1/6: squares sum to 1/24, half of it 1/48.
  assert rows[0].std == pytest.approx((1 / 48) ** 0.5, abs=1e-12)
  assert (rows[1].mean, rows[1].std) == (0.25, None)
  assert rows[0].steps == '8, 9'
  line = parsed(to_markdown(rows))[0]
  assert line['mean ± std'] == '33.33% ± 14.43%'
  assert line['mistakes'] == '1.3 ± 0.6 of 4'
  assert line['n'] == '3'
  assert line['num_labels'] == '20'


def test_without_an_average_the_numbers_stand_beside_raw_weights():
  run = finished(0.25, FIRST, kinds=('raw',))
  rows = cell_rows({}, [run], LABEL, {'single': '1', 'ensemble': '2'})
  assert [(r.weights, r.published) for r in rows] == [
    ('raw', '1'),
    ('raw', '2'),
  ]
  assert parsed(to_markdown(rows))[0]['mean ± std'] == '25.00%'


def test_a_combination_that_was_not_run_has_empty_cells():
  rows = cell_rows({'k': 1}, [], LABEL, {'single': '1', 'ensemble': '2'})
  assert [(r.runs, r.n, r.mean, r.published) for r in rows] == [
    ('single', 0, None, '1'),
    ('ensemble', 0, None, '2'),
  ]
  lines = parsed(to_markdown(rows))
  assert [x['n'] for x in lines] == ['0', '0']
  assert all(not x['mean ± std'] and not x['mistakes'] for x in lines)
  assert [r.n for r in cell_rows({'k': 1}, [], None, {})] == [0]


def test_other_systems_have_a_row_for_each_number():
  runs = [
    Finished(4, {'raw': Scores({'fid': fid, 'samples_std': 0.5})})
    for fid in (20.0, 30.0)
  ]
  rows = cell_rows({}, runs, None, {})
  assert [r.score for r in rows] == ['fid', 'samples_std']
  assert (rows[0].mean, rows[0].n) == (25.0, 2)
  lines = parsed(to_markdown(rows))
  assert lines[0]['mean ± std'] == '25 ± 7.071'
  assert 'mistakes' not in lines[0]
  assert 'published' not in lines[0]


def test_a_number_that_some_runs_lack_has_no_row():
  found = [
    Finished(4, {'raw': Scores(numbers)})
    for numbers in ({'modes': 9.0, 'kl': 0.5}, {'modes': 7.0}, {'modes': 8.0})
  ]
  rows = cell_rows({'arm': 'a'}, found, None, {})
  assert [(row.score, row.mean, row.n) for row in rows] == [('modes', 8.0, 3)]


def test_csv_has_every_digit_and_its_n():
  rows = cell_rows(
    {'name': 'a,b'}, [finished(1 / 3, FIRST), finished(0.5, SECOND)], LABEL, {}
  )
  read = list(csv.DictReader(io.StringIO(to_csv(rows))))
  assert [x['name'] for x in read] == ['a,b'] * 4
  assert float(read[0]['mean']) == (1 / 3 + 0.5) / 2
  assert read[0]['n'] == '2'
  assert read[0]['num_test'] == '4'
  assert read[1]['std'] == ''
