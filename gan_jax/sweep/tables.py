"""Tables of repeated runs: means that never stand without their n."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Scores(NamedTuple):
  """Scores of a finished run, for one kind of its weights."""

  numbers: dict[str, float]  # 'test_error' is a share of `num_test`
  probability: np.ndarray | None = None  # [N, K], of a classifier, on test


class Finished(NamedTuple):
  """One finished run."""

  steps: int
  scores: dict[str, Scores]  # by kind of weights: 'averaged', 'raw'


class Row(NamedTuple):
  """A line of a table."""

  cell: Mapping[str, Any]  # the varied keys, and their values here
  score: str
  runs: str  # 'single', or 'ensemble': one classifier made of n
  weights: str  # 'averaged', 'raw', or '' if there are none yet
  n: int
  mean: float | None  # None if n is 0
  std: float | None  # with n - 1; None if n < 2, and of the one ensemble
  num_test: int | None  # of a test error: how many images
  steps: str
  published: str


def mean_and_std(
  values: Sequence[float],
) -> tuple[float | None, float | None]:
  """The mean, and the standard deviation with n - 1; None without enough."""
  mean = float(np.mean(values)) if len(values) else None
  std = float(np.std(values, ddof=1)) if len(values) > 1 else None
  return mean, std


def ensemble_error(
  probabilities: Sequence[np.ndarray], label: np.ndarray
) -> float:
  """The share of mistakes of the mean of classifiers' probabilities.

  Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 5, average
  ten classifiers so.

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
  """The lines of one combination of values.

  Args:
    cell: its varied keys and their values.
    finished: its finished runs, which are of one system.
    label: the test labels [N] of a system that classifies, else None.
    published: texts for 'single' and 'ensemble', shown beside the first kind of
      weights: averaged where there is an average.

  Returns:
    For each kind of weights a line for each number, and for each kind one of
    the ensemble if the system classifies. Without finished runs lines of n = 0.
  """
  steps = ', '.join(map(str, sorted({run.steps for run in finished})))
  rows = []
  for weights in list(finished[0].scores) if finished else ['']:
    scores = [run.scores[weights] for run in finished]
    names = scores[0].numbers if scores else ['test_error']
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
  """Rows as a Markdown table; test errors in percent and in mistakes."""
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
  """Rows as CSV, shares as shares; what there is none of is empty."""
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  writer.writerow([*rows[0].cell, *Row._fields[1:]])
  for row in rows:
    writer.writerow([*row.cell.values(), *row[1:]])
  return file.getvalue()
