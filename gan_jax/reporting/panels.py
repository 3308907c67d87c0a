"""Panels of a report: curves, and the history of sample grids."""

import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gan_jax.reporting import html
from gan_jax.reporting.curves import Curve, panel_svg
from gan_jax.reporting.health import metrics_of, series
from gan_jax.reporting.history import thinned
from gan_jax.reporting.html import Html, element
from gan_jax.reporting.names import in_words, named
from gan_jax.runs.metrics_log import read_samples
from gan_jax.systems.system import Panel

MAX_FRAMES = 40  # of a panel's history: more are hard to tell apart on a slider
MAX_HISTORY_BYTES = 1_400_000  # of the frames of all panels together
_DEVIATION = 'Deviation over z'
_LOGARITHMIC = 'norm'  # where all values are positive
# Metrics that share a panel; those of a system come between.
_FIRST = (
  Panel('Validation error', 'share of images', r'validation_error'),
  Panel('Accuracy on the labels kept', 'share of images', r'labelled_accuracy'),
  Panel(
    'Translation errors', 'mean absolute difference', r'validation_(l1|cycle)_'
  ),
  Panel('Grid of upsampling', 'relative to real images', r'validation_grid_'),
  Panel('FID', 'distance', r'validation_([ab]2[ab]_)?fid$'),
  Panel('KID', 'distance', r'validation_([ab]2[ab]_)?kid$'),
  Panel('FID of classes', 'distance', r'validation_.*class_fid'),
  Panel('KID of classes', 'distance', r'validation_.*class_kid(?!_std)'),
  Panel(
    'Fidelity and diversity',
    'share of images',
    r'validation_.*(precision|recall|density|coverage)$',
  ),
  Panel("G's loss", 'loss', r'g_loss$'),
  Panel("D's loss", 'loss', r'd_loss$'),
)
_LAST = (
  Panel("Parts of G's loss", 'loss', r'g_loss'),
  Panel("Parts of D's loss", 'loss', r'd_loss'),
  Panel("D's win rate", 'share of pairs', r'd_win_rate'),
  Panel(_DEVIATION, 'of pixels in [0, 1]', r'(?!validation_).*_std$'),
  Panel('Gradient norms', _LOGARITHMIC, r'.*_grad_norm$'),
  Panel('Time of a step', 'seconds', r'step_seconds'),
)
_UNSEEN = ('epoch_seconds',)  # it is step_seconds, scaled


class _Group(NamedTuple):
  """Metrics that share a panel."""

  title: str
  values: str
  # by metric, of each run that has it: its place, steps and values
  lines: dict[str, list[tuple[int, list[int], list[float]]]]
  same: list[str]  # metrics whose lines are among these, and not drawn again


def legend(name: Any, style: int) -> Html:
  """A name and how its line is drawn."""
  curve = Curve((), (), style)
  line = {'-': 'solid', '--': 'dashed'}.get(curve.dashes, 'dotted')
  swatch = element(
    'span',
    class_='swatch',
    style=f'border-top-color:{curve.colour};border-top-style:{line}',
  )
  return element('span', swatch, name, class_='legend')


def _grouped(
  names: Sequence[str], own: Sequence[Panel]
) -> Iterator[tuple[str, str, list[str]]]:
  """Panels of metrics: title, values, names; those of no group last, alone."""
  rest = [name for name in names if name not in _UNSEEN]
  for title, values, pattern in (*_FIRST, *own, *_LAST):
    members = [name for name in rest if re.match(pattern, name)]
    rest = [name for name in rest if name not in members]
    if members:
      yield title, values, members
  for name in rest:
    yield in_words(name), 'value', [name]


def _lines(
  runs: Sequence[Sequence[Mapping[str, Any]]], name: str
) -> list[tuple[int, list[int], list[float]]]:
  """A metric of each run, of no more points than can be told apart."""
  lines = []
  for i, reports in enumerate(runs):
    steps, values = series(reports, name)
    kept = thinned(steps, values)
    if len(kept):
      lines.append((i, [steps[k] for k in kept], [values[k] for k in kept]))
  return lines


def _distinct(groups: Iterable[_Group]) -> list[_Group]:
  """Leaves out a group whose lines another one of its quantity has, too."""
  kept = []
  for group in groups:
    for other in kept:
      drawn = [*other.lines.values()]
      if other.values == group.values and all(
        lines in drawn for lines in group.lines.values()
      ):
        other.same.extend(group.lines)
        break
    else:
      kept.append(group)
  return kept


def _panel(
  group: _Group,
  curves: Sequence[Curve],
  caption: Sequence[Html],
  level: float | None = None,
) -> Html:
  positive = all(y > 0 for curve in curves for y in curve.values)
  log = group.values == _LOGARITHMIC and positive
  drawn = panel_svg(curves, group.values, level=level, log=log)
  key = next(iter(group.lines)) if len(group.lines) == 1 else None
  notes = [
    element('div', 'the same values: ', named(name), class_='faint')
    for name in group.same
  ]
  return html.figure(
    html.picture(drawn, group.title, 'plot'),
    element('div', group.title, class_='name', title=key),
    *caption,
    *notes,
  )


def curves(
  reports: Sequence[Mapping[str, Any]],
  data_std: float | None,
  own: Sequence[Panel] = (),
) -> Html:
  """The panels of one run: metrics of a group share one.

  Args:
    reports: the run's.
    data_std: the data's deviation, to draw beside the samples'.
    own: the panels of the run's system.
  """
  groups = _distinct(
    _Group(title, values, {x: _lines([reports], x) for x in names}, [])
    for title, values, names in _grouped(metrics_of(reports), own)
  )
  panels = []
  for group in groups:
    lines = [
      Curve(steps, values, style=i)
      for i, ((_, steps, values),) in enumerate(group.lines.values())
    ]
    caption = [
      legend(named(name), i)
      for i, name in enumerate(group.lines)
      if in_words(name).lower() != group.title.lower()
    ]
    level = data_std if group.title == _DEVIATION else None
    if level is not None:
      caption.append(html.text(f"dashed: the data's, {level:.3f}"))
    panels.append(_panel(group, lines, caption, level))
  return element('div', *panels, class_='panels')


def compared_curves(
  runs: Sequence[Sequence[Mapping[str, Any]]], own: Sequence[Panel] = ()
) -> Html:
  """A panel for each metric that any run's reports have, a line for each run.

  The style of a line is the run's place, as in `legend`.
  """
  found = _union([metrics_of(reports) for reports in runs])
  groups = _distinct(
    _Group(in_words(name), values, {name: _lines(runs, name)}, [])
    for _, values, names in _grouped(found, own)
    for name in names
  )
  panels = []
  for group in groups:
    (lines,) = group.lines.values()
    curves = [Curve(steps, values, style=i) for i, steps, values in lines]
    panels.append(_panel(group, curves, []))
  return element('div', *panels, class_='panels')


def _union(groups: Sequence[Sequence[str]]) -> list[str]:
  return list(dict.fromkeys(name for group in groups for name in group))


def frames(
  directory: pathlib.Path,
) -> dict[str, list[tuple[int, pathlib.Path]]]:
  """Finds a run's sample grids by panel, each with its step, in order."""
  panels = {}
  for step, name, path in read_samples(directory):
    panels.setdefault(name, []).append((step, path))
  return panels


def thinned_frames(sizes: Sequence[int], max_bytes: float) -> list[int]:
  """Thins a history of pictures: the first, the last, and evenly between.

  Args:
    sizes: each picture's, in bytes.
    max_bytes: of those that stay, about.

  Returns:
    Indices, at most MAX_FRAMES and of about `max_bytes` together, but two where
    there are two.
  """
  num = len(sizes)
  fitting = int(max_bytes * num / max(1, sum(sizes)))
  kept = min(num, max(2, min(MAX_FRAMES, fitting)))
  if kept < 2:
    return [*range(num)]
  return [round(i * (num - 1) / (kept - 1)) for i in range(kept)]


def history(
  name: str,
  grids: Sequence[tuple[int, pathlib.Path]],
  max_bytes: float,
  real: bytes | None = None,
) -> Html:
  """A panel's grids on a slider, the last one first, and real images beside it.

  Args:
    name: the panel's.
    grids: their steps and files, in order.
    max_bytes: of the grids that stay on the slider, about.
    real: a PNG file of as many real images.
  """
  sizes = [path.stat().st_size for _, path in grids]
  # What the last one takes when it is embedded, all others take in proportion.
  embedded = html.webp(grids[-1][1].read_bytes())
  if embedded is not None:
    max_bytes *= sizes[-1] / len(embedded[0])
  kept = [grids[i] for i in thinned_frames(sizes, max_bytes)]
  shown = [
    html.figure(
      html.picture(path.read_bytes(), f'{name}, step {step:,}', 'pixels'),
      f'step {step:,}',
      hidden=i < len(kept) - 1,
    )
    for i, (step, path) in enumerate(kept)
  ]
  slider = element(
    'input', type='range', min=0, max=len(shown) - 1, value=len(shown) - 1,
    step=1, autocomplete='off', aria_label=f'step of {name}',
  )  # fmt: skip
  parts = [element('div', slider, *shown, class_='history')]
  if real is not None:
    picture = html.picture(real, f'real images next to {name}', 'pixels')
    parts.append(html.figure(picture, 'real images, of the validation split'))
  of_all = '' if len(kept) == len(grids) else f' of {len(grids)}'
  return html.join(
    element('h3', named(name)),
    element(
      'p',
      f'Move the slider back through training: {len(kept)}{of_all} grids, '
      'always of the same inputs.',
    ),
    element('div', *parts, class_='pair'),
  )
