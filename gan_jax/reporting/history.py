"""A run's metrics.jsonl, read as a stream and thinned to what a page shows.

The steps are cut into equal buckets, and of each metric the least and the
greatest value of a bucket stay where they are: no spike is lost, however long
the run. Findings are of shares of the reports, too, and of the end, so that
evenly spread reports and the last ones stay as well.
"""

import collections
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gan_jax.core.errors import InputError
from gan_jax.runs.directory import RunDirectory

MAX_POINTS = 1000  # of a curve
# Reports that are kept for being evenly spread: findings count reports, too.
NUM_EVEN = 5000
NUM_LAST = 100  # reports that are all kept
NUM_HASHES = 10


class History(NamedTuple):
  """Reports and checkpoints of a run."""

  reports: Sequence[dict[str, Any]]  # those kept, at least one
  hashes: dict[int, str]  # the state's sha256 at the last checkpoints, by step
  num_hashes: int  # of all checkpoints
  seconds: float  # spent in steps, as far as reports say
  divergence: str | None  # what was not finite, if that ended the run


def thinned(
  steps: Sequence[int], values: Sequence[float], num: int = MAX_POINTS
) -> np.ndarray:
  """Thins a curve by the least and the greatest value of each bucket.

  Args:
    steps: where the values are, in order.
    values: as many.
    num: how many points may stay, 4 or more.

  Returns:
    Indices of those that stay, in order, the first and the last among them; all
    of them if they are no more than `num`.
  """
  if len(steps) <= num:
    return np.arange(len(steps))
  steps, values = np.asarray(steps, np.int64), np.asarray(values)
  since = steps - steps[0]
  starts_one = (
    np.diff(since * (num // 2 - 1) // (since[-1] + 1), prepend=-1) > 0
  )
  starts, bucket = np.flatnonzero(starts_one), np.cumsum(starts_one) - 1
  kept = [[0, len(steps) - 1]]
  for extreme in np.fmin, np.fmax:
    places = np.flatnonzero(values == extreme.reduceat(values, starts)[bucket])
    kept.append(
      places[np.diff(bucket[places], prepend=-1) > 0]
    )  # one of equals
  return np.unique(np.concatenate(kept))


class _Table(NamedTuple):
  """Floats of the reports that hold the same metrics."""

  names: Sequence[str]
  rows: array  # places among all reports
  values: array  # of each row in turn, those of all names

  def matrix(self) -> np.ndarray:
    return np.reshape(self.values, (len(self.rows), len(self.names)))


def read_history(directory: RunDirectory) -> History:
  """Reads a run's metrics.jsonl, of which few lines are held at a time.

  Raises:
    InputError: it is damaged, or has no report yet.
  """
  steps, tables = array('q'), {}
  last = collections.deque(maxlen=NUM_LAST)
  hashes, num_hashes = collections.deque(maxlen=NUM_HASHES), 0
  divergence = None
  for line in directory.lines():
    if 'state_sha256' in line:
      hashes.append((line['step'], line['state_sha256']))
      num_hashes += 1
    divergence = line.get('diverged', divergence)
    if 'epoch' not in line:
      continue
    shape = tuple(line), tuple(map(type, line.values()))
    if shape not in tables:
      names = [name for name, x in line.items() if isinstance(x, float)]
      tables[shape] = _Table(names, array('q'), array('d'))
    table = tables[shape]
    table.rows.append(len(steps))
    table.values.extend([line[name] for name in table.names])
    steps.append(line['step'])
    last.append(line)
  if not steps:
    raise InputError(
      f'{directory.metrics} has no report yet; wait for the first line of the '
      'training'
    )
  steps, tables = np.asarray(steps), [*tables.values()]
  columns = _columns(tables)
  kept = [np.arange(0, len(steps), -(-len(steps) // NUM_EVEN))]
  kept += [
    rows[thinned(steps[rows], values)] for rows, values in columns.values()
  ]
  before_last = len(steps) - len(last)
  return History(
    [*_reports(steps[:before_last], tables, np.concatenate(kept)), *last],
    dict(hashes),
    num_hashes,
    _seconds(steps, *columns.get('step_seconds', ([], []))),
    divergence,
  )


def _columns(
  tables: Sequence[_Table],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Rows and values of each metric."""
  parts = collections.defaultdict(list)
  for table in tables:
    for name, values in zip(table.names, table.matrix().T, strict=True):
      parts[name].append((np.asarray(table.rows), values))
  columns = {}
  for name, found in parts.items():
    rows, values = map(np.concatenate, zip(*found, strict=True))
    order = np.argsort(rows, kind='stable')
    columns[name] = rows[order], values[order]
  return columns


def _reports(
  steps: np.ndarray, tables: Sequence[_Table], kept: np.ndarray
) -> list[dict[str, Any]]:
  """The first reports, of which those kept, by step: their floats."""
  is_kept = np.zeros(len(steps), bool)
  is_kept[kept[kept < len(steps)]] = True
  reports = {}
  for table in tables:
    rows = np.asarray(table.rows)
    (here,) = np.nonzero(is_kept[rows[rows < len(steps)]])
    for row, values in zip(
      rows[here].tolist(), table.matrix()[here].tolist(), strict=True
    ):
      floats = dict(zip(table.names, values, strict=True))
      reports[row] = {'step': int(steps[row])} | floats
  return [reports[row] for row in sorted(reports)]


def _seconds(
  steps: np.ndarray, rows: Sequence[int], seconds_per_step: Sequence[float]
) -> float:
  since = np.diff(steps, prepend=0)
  return float(np.dot(since[np.asarray(rows, int)], seconds_per_step))
