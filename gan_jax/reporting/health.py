"""Health of a run, from the lines of its metrics.jsonl.

Each check looks at the reports at the end: what was wrong once and has mended
is no finding. The thresholds are rules of thumb, with their reasons.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

# One report can be a fluke: a finding has lasted for so many in a row.
LASTING = 3
# Fewer than one pair in a hundred misjudged. A DCGAN that trains well on
# Fashion-MNIST stays at 0.98.
WIN_RATE_HIGH = 0.99
# Chance is 0.5. Means over 50 batches of 100 pairs differ from it by 0.007, so
# that this is four standard deviations.
CHANCE_MARGIN = 0.03
# G's loss stands still if it moves by less than this share of its size.
STILL = 0.01
# Generators that train well on digits and MNIST reach 0.9 to 1 times the data's
# deviation: half of it is far off.
STD_OF_DATA = 0.5
# Without the data's figure: so much of the run's own largest deviation.
STD_OF_LARGEST = 0.25
# And in any case: less than a grey level of 256 between samples.
STD_SMALLEST = 1 / 256
# Gradient norms drift by 10 in good runs, from the first reports on.
GRADIENT_FACTOR = 100.0


class Finding(NamedTuple):
  """Fault of a run: the first step with it, and a remedy."""

  metric: str
  since: int
  sentence: str


def examine(
  reports: Sequence[Mapping[str, Any]],
  *,
  data_std: float | None = None,
  d_may_win: bool = False,
) -> list[Finding]:
  """Finds the faults that last to the end of a run's reports.

  Args:
    reports: lines of metrics.jsonl that hold metrics, in the order of steps.
    data_std: the data's `stddev_over_z`, with which the samples' is compared.
    d_may_win: whether G learns well from a D that is always right, as it does
      by feature matching and by a Wasserstein loss.

  Returns:
    Nothing if all is well, or if there are too few reports to tell.
  """
  findings = []
  for metric in metrics_of(reports):
    values = _Series(reports, metric)
    if _is_win_rate(metric) and not d_may_win:
      findings += _winning(values)
    if _is_win_rate(metric):
      findings += _at_chance(values, reports)
    elif _is_std(metric):
      findings += _collapsed(values, data_std)
    elif _is_gradient_norm(metric):
      findings += _gradients(values)
  return findings


def looked_at(
  reports: Sequence[Mapping[str, Any]],
) -> tuple[list[str], list[str]]:
  """Describes what `examine` looks at, and what it cannot find."""
  names = metrics_of(reports)
  kinds = (
    (_is_win_rate, "D's win rate"),
    (_is_gradient_norm, 'gradient norms'),
    (_is_std, "the samples' diversity"),
  )
  found = {words: any(map(is_kind, names)) for is_kind, words in kinds}
  return (
    [words for words, there in found.items() if there],
    [words for words, there in found.items() if not there],
  )


def metrics_of(reports: Sequence[Mapping[str, Any]]) -> list[str]:
  """The names of all metrics, which are floats, in the order of appearance."""
  names = {
    name: None
    for report in reports
    for name, value in report.items()
    if isinstance(value, float)
  }
  return [name for name in names if name != 'epoch']


def series(
  reports: Sequence[Mapping[str, Any]], metric: str
) -> tuple[list[int], list[float]]:
  """Steps and values of the reports that have the metric."""
  pairs = [
    (report['step'], report[metric])
    for report in reports
    if isinstance(report.get(metric), float)
  ]
  return [step for step, _ in pairs], [value for _, value in pairs]


def _is_win_rate(metric: str) -> bool:
  return metric.startswith('d_win_rate')


def _is_std(metric: str) -> bool:
  return metric.endswith('_std')


def _is_gradient_norm(metric: str) -> bool:
  return metric.endswith('_grad_norm')


class _Series:
  """A metric over the steps."""

  def __init__(self, reports: Sequence[Mapping[str, Any]], metric: str):
    self.metric = metric
    steps, values = series(reports, metric)
    self.steps, self.values = steps, np.asarray(values, np.float64)

  def lasting(self, wrong: Callable[[np.ndarray], np.ndarray]) -> int | None:
    """Returns where the reports begin that are wrong up to the last one.

    Returns:
      An index; None if they are fewer than LASTING.
    """
    good = np.flatnonzero(~wrong(self.values))
    start = int(good[-1]) + 1 if len(good) else 0
    return start if len(self.values) - start >= LASTING else None

  def finding(self, start: int, sentence: str) -> Finding:
    return Finding(self.metric, self.steps[start], sentence)

  def since(self, start: int) -> str:
    """The step in words; that it was never otherwise, where it was not."""
    when = f'since step {self.steps[start]:,}'
    return when if start else f'{when}, the first report'


def _winning(rates: _Series) -> Iterator[Finding]:
  start = rates.lasting(lambda x: x >= WIN_RATE_HIGH)
  if start is not None:
    yield rates.finding(
      start,
      f'D tells real from fake {rates.values[start:].mean():.0%} of the time '
      f'{rates.since(start)}: G learns little from a D that is always right. '
      'Try a lower learning rate of D, R1 (config.loss.r1_gamma), spectral '
      'normalisation, or a smaller D.',
    )


def _at_chance(
  rates: _Series, reports: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
  start = rates.lasting(lambda x: abs(x - 0.5) <= CHANCE_MARGIN)
  losses = _Series(reports, 'g_loss').values
  if start is None or len(losses) != len(rates.values):
    return
  last = losses[start:]
  if np.ptp(last) <= STILL * abs(last).mean():
    yield rates.finding(
      start,
      f'D tells real from fake no better than chance {rates.since(start)}, and '
      "G's loss stands still: if the samples are not perfect, D has stopped "
      'learning. Try a higher learning rate of D, weaker penalties, or a '
      'larger D.',
    )


def _collapsed(stds: _Series, data_std: float | None) -> Iterator[Finding]:
  if not len(stds.values):
    return
  if data_std:
    bound, than = STD_OF_DATA * data_std, f"the data's is {data_std:.3f}"
  else:
    largest = stds.values.max()
    bound, than = STD_OF_LARGEST * largest, f'it has been {largest:.3f}'
  bound = max(bound, STD_SMALLEST)
  start = stds.lasting(lambda x: x < bound)
  if start is not None:
    yield stds.finding(
      start,
      f'The samples are too much alike {stds.since(start)}: {stds.metric}, '
      f'their deviation over z, is {stds.values[-1]:.3f}, and {than}. If it '
      'does not rise, G has collapsed to few images: look at the samples, then '
      'try a lower learning rate of G, R1 and R2, or a run from another seed.',
    )


def _gradients(norms: _Series) -> Iterator[Finding]:
  first = norms.values[:LASTING]
  if len(first) < LASTING:
    return
  usual = float(np.median(first))
  who = 'D' if norms.metric.startswith('d_') else 'G'
  vanished = norms.lasting(lambda x: (x * GRADIENT_FACTOR < usual) | (x == 0))
  if vanished is not None:
    yield norms.finding(
      vanished,
      f"{who}'s gradients have vanished {norms.since(vanished)}: "
      f'{norms.metric} is {norms.values[-1]:.2g}, and was {usual:.2g} at '
      f'first. {who} hardly learns any more. Try the non-saturating or the '
      'relativistic loss, or a lower learning rate of the other player.',
    )
  exploded = norms.lasting(lambda x: x > usual * GRADIENT_FACTOR)
  if usual and exploded is not None:
    yield norms.finding(
      exploded,
      f"{who}'s gradients have exploded {norms.since(exploded)}: "
      f'{norms.metric} is {norms.values[-1]:.2g}, and was {usual:.2g} at '
      f'first. Try a lower learning rate of {who}, or a stronger penalty on D.',
    )
