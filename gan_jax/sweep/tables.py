"""Result tables of repeated runs: means, standard deviations and n."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Scores(NamedTuple):
  """Scores of a finished run, for one kind of its weights."""

  numbers: dict[str, float]  # 'test_error' is a fraction of `num_test`
  probability: np.ndarray | None = None  # [N, K], a classifier's on test images


class Finished(NamedTuple):
  """A finished run."""

  steps: int
  scores: dict[str, Scores]  # by kind of weights: 'averaged', 'raw'


class Row(NamedTuple):
  """A row of a table."""

  cell: Mapping[str, Any]  # the varied keys, and their values here
  score: str
  runs: str  # 'single', or 'ensemble' of all n classifiers
  weights: str  # 'averaged', 'raw', or '' if n is 0
  n: int
  mean: float | None  # None if n is 0
  std: float | None  # with n - 1; None if n < 2, and for an ensemble
  num_test: int | None  # number of test images, for a test error
  steps: str
  published: str


def mean_and_std(
  values: Sequence[float],
) -> tuple[float | None, float | None]:
  """Returns the mean and the standard deviation (n - 1), None if undefined."""
  mean = float(np.mean(values)) if len(values) else None
  std = float(np.std(values, ddof=1)) if len(values) > 1 else None
  return mean, std


def ensemble_error(
  probabilities: Sequence[np.ndarray], label: np.ndarray
) -> float:
  """Computes the error rate of an ensemble that averages probabilities.

  Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5, average
  ten classifiers in this way.

  Args:
    probabilities: each [N, K].
    label: [N], in 0..K-1.
  """
  mean = np.mean([np.asarray(p, np.float64) for p in probabilities], axis=0)
  return float((mean.argmax(axis=1) != label).mean())


def cell_rows(
  cell: Mapping[str, Any],
  finished: Sequence[Finished],
  label: np.ndarray | None,
  published: Mapping[str, str],
) -> list[Row]:
  """Returns the rows of one combination of values.

  Args:
    cell: its varied keys and their values.
    finished: its finished runs, all of one system.
    label: the test labels [N] of a classifier, else None.
    published: texts for 'single' and 'ensemble', shown with the first kind of
      weights: the averaged ones, if there are any.

  Returns:
    For each kind of weights a row per score and, for classifiers, one for the
    ensemble. Without finished runs, rows with n = 0.
  """
  steps = ', '.join(map(str, sorted({run.steps for run in finished})))
  rows = []
  for weights in list(finished[0].scores) if finished else ['']:
    scores = [run.scores[weights] for run in finished]
    names = ['test_error']
    if scores:  # an infinite divergence is missing, and has no mean
      first_run, *others = (each.numbers for each in scores)
      names = [x for x in first_run if all(x in other for other in others)]
    num_test = None if label is None else len(label)
    first = published if not rows else {}

    def row(score, runs, mean, std):
      return Row(
        cell, score, runs, weights, len(scores), mean, std, num_test, steps,  # noqa: B023
        first.get(runs, ''),  # noqa: B023
      )  # fmt: skip

    for name in names if label is not None or finished else ['']:
      values = [each.numbers[name] for each in scores]
      rows.append(row(name, 'single', *mean_and_std(values)))
    if label is not None:
      error = None
      if scores:
        error = ensemble_error([each.probability for each in scores], label)
      rows.append(row('test_error', 'ensemble', error, None))
  return rows


def to_markdown(rows: Sequence[Row]) -> str:
  """Formats rows as Markdown; test errors in percent and in mistakes."""
  classified = any(row.num_test for row in rows)
  published = any(row.published for row in rows)
  head = [*rows[0].cell, 'score', 'runs', 'weights', 'n', 'mean ± std']
  head += ['mistakes'] * classified + ['steps'] + ['published'] * published
  lines = [head, ['---'] * len(head)]
  for row in rows:
    percent = row.score == 'test_error'
    form = '{:.2%}' if percent else '{:.4g}'
    line = [*map(str, row.cell.values()), row.score, row.runs, row.weights]
    line += [str(row.n), _with_std(row.mean, row.std, form)]
    if classified:
      num = row.num_test or 0
      scaled = [None if x is None else x * num for x in (row.mean, row.std)]
      mistakes = _with_std(*scaled, '{:.1f}')
      line.append(f'{mistakes} of {num}' if mistakes else '')
    line.append(row.steps)
    line += [row.published] * published
    lines.append(line)
  return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def _with_std(mean: float | None, std: float | None, form: str) -> str:
  if mean is None:
    return ''
  text = form.format(mean)
  return text if std is None else f'{text} ± {form.format(std)}'


def to_csv(rows: Sequence[Row]) -> str:
  """Formats rows as CSV, with errors as fractions and empty missing values."""
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  writer.writerow([*rows[0].cell, *Row._fields[1:]])
  for row in rows:
    writer.writerow([*row.cell.values(), *row[1:]])
  return file.getvalue()
