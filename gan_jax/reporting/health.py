"""Health of a run: the faults that its reports, data and config show.

Most checks look at the later half of the reports: what was wrong once and has
mended is no finding. docs/health.md says how the thresholds came about, and how
often they were right and wrong.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gan_jax.reporting.names import in_words

# One report can be a fluke: a finding has lasted for so many in a row.
LASTING = 3
# D is far ahead at such a win rate in such a share of the later half. Alone it
# proves nothing: a DCGAN that trains well on Fashion-MNIST stays at 0.99, since
# BatchNorm shows D data and samples in batches of their own.
WIN_RATE_HIGH = 0.95
SHARE_OF_REPORTS = 0.75
# What proves it: samples of less than this share of the data's deviation, which
# do not catch up. Of fitted runs with such win rates, faulty ones had 0.63 at
# most, the others 0.75 at least.
STD_BEHIND = 0.7
# Before this share of the planned steps, deviations are not judged: those of
# healthy runs are small at first.
YOUNG = 0.3
# Chance is 0.5. Means over 50 batches of 100 pairs differ from it by 0.007, so
# that this is four standard deviations.
CHANCE_MARGIN = 0.03
# G's loss stands still if it moves by less than this share of its size.
STILL = 0.01
# Samples are too much alike below this share of the data's deviation, whatever
# D does. Healthy runs end at 0.73 and more.
STD_OF_DATA = 0.5
# Without the data's figure: so much of the run's own largest deviation.
STD_OF_LARGEST = 0.25
# And in any case: less than a grey level of 256 between samples.
STD_SMALLEST = 1 / 256
# G has collapsed, rather than learnt little, if it fell to such a share of what
# it had been.
STD_FALLEN = 0.5
# Gradient norms drift by 20 in good runs, from the first reports on.
GRADIENT_FACTOR = 100.0
# And in any case: that of a million weights whose gradients are Adam's eps.
GRADIENT_SMALLEST = 1e-5
# Few images, each seen often: D learns them by heart. 1,007 digits seen 250
# times are learnt well.
FEW_IMAGES = 500
SEEN_OFTEN = 300.0
# Config keys of which one bounds the slope of D.
_BOUNDS = ('loss.lambda_gp', 'loss.r1_gamma', 'loss.r2_gamma')


class Facts(NamedTuple):
  """Facts on a run that its reports do not hold."""

  data_std: float | None = None  # the data's `stddev_over_z`
  # Whether G learns well from a D that is always right, as it does by feature
  # matching and by a Wasserstein loss.
  d_may_win: bool = False
  config: Mapping[str, Any] = {}  # 'group.key' to value
  data: Mapping[str, Any] = {}  # data.json
  divergence: str | None = None  # what was not finite, and ended the run


NOTHING_KNOWN = Facts()


class Finding(NamedTuple):
  """Fault of a run: the first step with it, its figures and a remedy."""

  metric: str
  since: int
  sentence: str


def examine(
  reports: Sequence[Mapping[str, Any]], facts: Facts = NOTHING_KNOWN
) -> list[Finding]:
  """Finds the faults that last to the end of a run's reports.

  Args:
    reports: lines of metrics.jsonl that hold metrics, in the order of steps.
    facts: what else is known of the run.

  Returns:
    Nothing if no check finds a fault, or if there are too few reports to tell.
  """
  findings = list(_diverged(reports, facts))
  if len(reports) >= LASTING:
    for metric in metrics_of(reports):
      values = _Series(reports, metric)
      if _is_win_rate(metric):
        findings += _far_ahead(values, reports, facts)
        findings += _at_chance(values, reports)
      elif _is_std(metric):
        findings += _alike(values, reports, facts)
      elif _is_gradient_norm(metric):
        findings += _gradients(values)
  findings += _unbounded(reports, facts)
  findings += _few_images(reports, facts)
  return findings


def looked_at(
  reports: Sequence[Mapping[str, Any]], facts: Facts = NOTHING_KNOWN
) -> tuple[list[str], list[str]]:
  """Describes what `examine` looks at, with its figures, and what it lacks."""
  seen, lacking = [], []
  for words, figures in (
    ("D's win rate", _figures_of(reports, _is_win_rate, '.2f')),
    ("the samples' deviation", _std_figures(reports, facts)),
    ('gradient norms', _figures_of(reports, _is_gradient_norm, '.2g')),
    ('how often D sees an image', _image_figures(reports, facts)),
  ):
    if figures:
      seen.append(f'{words} ({figures})')
    else:
      lacking.append(words)
  return seen, lacking


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
  return metric.endswith('_std') and '_kid' not in metric


def _is_gradient_norm(metric: str) -> bool:
  return metric.endswith('_grad_norm')


class _Series:
  """A metric over the steps."""

  def __init__(self, reports: Sequence[Mapping[str, Any]], metric: str):
    self.metric = metric
    steps, values = series(reports, metric)
    self.steps, self.values = steps, np.asarray(values, np.float64)

  @property
  def later(self) -> np.ndarray:
    """The values of the later half."""
    return self.values[len(self.values) // 2 :]

  def expected(self) -> float:
    """The median of a quarter to come, at the pace of the last two."""
    num = len(self.values)
    third = float(np.median(self.values[num // 2 : num * 3 // 4]))
    last = float(np.median(self.values[num * 3 // 4 :]))
    return last + (last - third)

  def fell(self, share: float) -> bool:
    """Tells whether a value was below this share of an earlier one."""
    largest = np.maximum.accumulate(self.values)
    return bool((self.values < share * largest).any())

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


def _diverged(
  reports: Sequence[Mapping[str, Any]], facts: Facts
) -> Iterator[Finding]:
  if facts.divergence:
    yield Finding(
      'divergence',
      reports[-1]['step'],
      f'The run has diverged and ended: {facts.divergence}. What is shown is '
      'from before. Lower the learning rates (or their warm-up), or put a '
      'penalty on D (config.loss.r1_gamma), and start anew; to go on from the '
      'last checkpoint with the same config leads to the same end.',
    )


def _stds(reports: Sequence[Mapping[str, Any]]) -> Iterator[_Series]:
  for metric in filter(_is_std, metrics_of(reports)):
    stds = _Series(reports, metric)
    if len(stds.values) >= LASTING:
      yield stds


def _far_ahead(
  rates: _Series, reports: Sequence[Mapping[str, Any]], facts: Facts
) -> Iterator[Finding]:
  later = rates.later
  wins = later >= WIN_RATE_HIGH
  if facts.d_may_win or not facts.data_std or len(later) < LASTING:
    return
  if wins.mean() < SHARE_OF_REPORTS or _is_young(reports, facts):
    return
  bound = STD_BEHIND * facts.data_std
  for stds in _stds(reports):
    std = float(np.median(stds.later))
    if std >= bound or stds.expected() >= bound:
      continue
    yield rates.finding(
      len(rates.values) - len(later),
      f'D is far ahead of G: it tells real from generated in '
      f'{np.median(later):.1%} of pairs, and in {wins.sum()} of the last '
      f'{len(later)} reports in {WIN_RATE_HIGH:.0%} or more (threshold: '
      f'{SHARE_OF_REPORTS:.0%} of them); and {in_words(stds.metric)} '
      f"is {std:.3f} where the data's is {facts.data_std:.3f} "
      f'(threshold: {bound:.3f}, {STD_BEHIND:.0%} of it), and does '
      f'not catch up.{_rates_apart(facts)} Try a lower learning rate of D'
      f'{"" if stds.fell(STD_FALLEN) else " or a higher one of G"}, R1 '
      '(config.loss.r1_gamma), spectral normalisation, or a smaller D.',
    )


def _rates_apart(facts: Facts) -> str:
  """A sentence on learning rates that are not the same, or nothing."""
  d, g = (
    facts.config.get(f'optimizer.{player}.learning_rate')
    for player in ('discriminator', 'generator')
  )
  if not d or not g or d <= g:
    return ''
  return f" D's learning rate is {d / g:.3g} times G's."


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
      f'D tells real from generated no better than chance {rates.since(start)} '
      f'({rates.values[start:].mean():.1%} of pairs; threshold: 50% with a '
      f"margin of {CHANCE_MARGIN:.0%}), and G's loss stands still (within "
      f'{STILL:.0%}): if the samples are not perfect, D has stopped learning. '
      'Try a higher learning rate of D, weaker penalties, or a larger D.',
    )


def _is_young(reports: Sequence[Mapping[str, Any]], facts: Facts) -> bool:
  """Tells whether most of the planned steps are still to come."""
  config, spec = facts.config, facts.data.get('spec', {})
  planned = config.get('train.num_steps') or (
    (config.get('train.num_epochs') or 0) * spec.get('steps_per_epoch', 0)
  )
  return reports[-1]['step'] < YOUNG * planned


def _alike(
  stds: _Series, reports: Sequence[Mapping[str, Any]], facts: Facts
) -> Iterator[Finding]:
  if _is_young(reports, facts):
    return
  if facts.data_std:
    bound = STD_OF_DATA * facts.data_std
    than = f"the data's is {facts.data_std:.3f}"
  else:
    largest = float(stds.values.max())
    bound, than = STD_OF_LARGEST * largest, f'it has been {largest:.3f}'
  bound = max(bound, STD_SMALLEST)
  start = stds.lasting(lambda x: x < bound)
  if start is None or stds.expected() >= bound:
    return
  advice = (
    f'It had fallen below {STD_FALLEN:.0%} of what it was before: G has '
    'collapsed to few images. Look at the samples; try a lower learning rate '
    'of G, R1 and R2, or another seed.'
    if stds.fell(STD_FALLEN)
    else 'G has learnt little, or images of few kinds. Look at the samples; '
    'try a higher learning rate of G, or train for longer.'
  )
  yield stds.finding(
    start,
    f'The samples are too much alike {stds.since(start)}: '
    f'{in_words(stds.metric)} is {stds.values[-1]:.3f}, and {than} (threshold: '
    f'{bound:.3f}), and it does not catch up. {advice}',
  )


def _gradients(norms: _Series) -> Iterator[Finding]:
  first = norms.values[:LASTING]
  if len(first) < LASTING:
    return
  usual = float(np.median(first))
  who = 'D' if norms.metric.startswith('d_') else 'G'
  figures = (
    f'{in_words(norms.metric)} is {norms.values[-1]:.2g}, and was {usual:.2g}'
  )
  low = max(usual / GRADIENT_FACTOR, GRADIENT_SMALLEST)
  vanished = norms.lasting(lambda x: x < low)
  if vanished is not None:
    yield norms.finding(
      vanished,
      f"{who}'s gradients have vanished {norms.since(vanished)}: {figures} at "
      f'first (threshold: {low:.2g}). {who} hardly learns any more. Try the '
      'non-saturating or the relativistic loss, or a lower learning rate of '
      'the other player.',
    )
  high = max(usual, GRADIENT_SMALLEST) * GRADIENT_FACTOR
  exploded = norms.lasting(lambda x: x > high)
  if exploded is not None:
    yield norms.finding(
      exploded,
      f"{who}'s gradients have exploded {norms.since(exploded)}: {figures} at "
      f'first (threshold: {high:.2g}). Try a lower learning rate of {who}, or '
      'a stronger penalty on D.',
    )


def _unbounded(
  reports: Sequence[Mapping[str, Any]], facts: Facts
) -> Iterator[Finding]:
  """A Wasserstein loss whose D nothing bounds: known from the config alone."""
  config = facts.config
  if config.get('loss.adversarial.name') != 'wasserstein':
    return
  spectral = config.get('model.discriminator.normalization') == 'spectral'
  if spectral or any(config.get(key) for key in _BOUNDS):
    return
  logits = ', '.join(
    f'{x} {reports[-1][x]:.3g}' for x in metrics_of(reports) if 'logit' in x
  )
  yield Finding(
    'loss.adversarial.name',
    reports[0]['step'],
    'The Wasserstein loss is one of a D of bounded slope, and nothing bounds '
    f'this one: {", ".join(_BOUNDS)} are 0 and it has no spectral '
    f'normalisation (threshold: one of them). Its logits are {logits}. '
    'Set config.loss.lambda_gp=10 or '
    'config.model.discriminator.normalization=spectral.',
  )


def _num_images(facts: Facts) -> int | None:
  """Training images, where data.json says how many of each class."""
  counts = facts.data.get('spec', {}).get('class_counts')
  return sum(counts) if counts else None


def _few_images(
  reports: Sequence[Mapping[str, Any]], facts: Facts
) -> Iterator[Finding]:
  num, seen = _num_images(facts), reports[-1]['epoch']
  has_d = any(map(_is_win_rate, metrics_of(reports)))
  if num is None or not has_d or facts.config.get('augment.policy'):
    return
  if num < FEW_IMAGES and seen >= SEEN_OFTEN:
    yield Finding(
      'epoch',
      next(x['step'] for x in reports if x['epoch'] >= SEEN_OFTEN),
      f'There are {num} training images (threshold: {FEW_IMAGES}), and D has '
      f'seen each {seen:,.0f} times (threshold: {SEEN_OFTEN:.0f}) without '
      'augmentation: it learns them by heart, and G learns to copy them or '
      'nothing. Set config.augment.policy (color,translation,cutout), stop '
      'earlier, or start from another run (--init_from); see whether samples '
      'are copies under "Is it memorising?".',
    )


def _figures_of(
  reports: Sequence[Mapping[str, Any]],
  is_kind: Callable[[str], bool],
  form: str,
) -> str:
  """Formats the medians of the later half, with names if they are several."""
  found = {
    in_words(x): f'{np.median(_Series(reports, x).later):{form}}'
    for x in metrics_of(reports)
    if is_kind(x)
  }
  if len(found) == 1:
    return next(iter(found.values()))
  return ', '.join(f'{name} {value}' for name, value in found.items())


def _std_figures(reports: Sequence[Mapping[str, Any]], facts: Facts) -> str:
  figures = _figures_of(reports, _is_std, '.3f')
  if not figures:
    return ''
  if _is_young(reports, facts):
    return f'{figures}; not judged before {YOUNG:.0%} of the planned steps'
  if not facts.data_std:
    return f"{figures}; the data's is not known"
  return f"{figures}; the data's is {facts.data_std:.3f}"


def _image_figures(reports: Sequence[Mapping[str, Any]], facts: Facts) -> str:
  num = _num_images(facts)
  if num is None:
    return ''
  policy = facts.config.get('augment.policy')
  how = f'augmented by {policy}' if policy else 'not augmented'
  return f'{num:,} images, {reports[-1]["epoch"]:,.1f} times, {how}'
