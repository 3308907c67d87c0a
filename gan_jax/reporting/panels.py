"""Panels of a report: curves, and the history of sample grids."""

import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gan_jax.reporting import html
from gan_jax.reporting.curves import Curve, panel_svg
from gan_jax.reporting.health import metrics_of, series
from gan_jax.reporting.html import Html, element
from gan_jax.systems.system import Panel

MAX_FRAMES = 40  # of a panel's history: more are hard to tell apart on a slider
MAX_HISTORY_BYTES = 4_000_000  # of a panel's frames together
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
  Panel("G's loss", 'loss', r'g_loss$'),
  Panel("D's loss", 'loss', r'd_loss$'),
)
_LAST = (
  Panel("Parts of G's loss", 'loss', r'g_loss'),
  Panel("Parts of D's loss", 'loss', r'd_loss'),
  Panel("D's win rate", 'share of pairs', r'd_win_rate'),
  Panel(_DEVIATION, 'of pixels in [0, 1]', r'.*_std$'),
  Panel('Gradient norms', _LOGARITHMIC, r'.*_grad_norm$'),
  Panel('Time of a step', 'seconds', r'step_seconds'),
)
_UNSEEN = ('epoch_seconds',)  # it is step_seconds, scaled


def legend(name: str, style: int) -> Html:
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
    yield name, 'value', [name]


def _panel(
  title: str,
  values: str,
  curves: Sequence[Curve],
  caption: Sequence[Html],
  level: float | None = None,
) -> Html:
  positive = all(y > 0 for curve in curves for y in curve.values)
  log = values == _LOGARITHMIC and positive
  drawn = panel_svg(curves, values, level=level, log=log)
  return html.figure(
    html.picture(drawn, title, 'plot'),
    element('div', title, class_='name'),
    *caption,
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
  panels = []
  for title, values, names in _grouped(metrics_of(reports), own):
    lines = [
      Curve(*series(reports, name), style=i) for i, name in enumerate(names)
    ]
    caption = [legend(name, i) for i, name in enumerate(names)]
    level = data_std if title == _DEVIATION else None
    if level is not None:
      caption.append(html.text(f"dashed: the data's, {level:.3f}"))
    panels.append(_panel(title, values, lines, caption, level))
  return element('div', *panels, class_='panels')


def compared_curves(
  runs: Sequence[Sequence[Mapping[str, Any]]], own: Sequence[Panel] = ()
) -> Html:
  """A panel for each metric that any run's reports have, a line for each run.

  The style of a line is the run's place, as in `legend`.
  """
  found = [metrics_of(reports) for reports in runs]
  panels = []
  for _, values, members in _grouped(_union(found), own):
    for name in members:
      lines = [
        Curve(*series(reports, name), style=i)
        for i, reports in enumerate(runs)
        if name in found[i]
      ]
      panels.append(_panel(name, values, lines, []))
  return element('div', *panels, class_='panels')


def _union(groups: Sequence[Sequence[str]]) -> list[str]:
  return list(dict.fromkeys(name for group in groups for name in group))


def frames(samples: pathlib.Path) -> dict[str, list[tuple[int, pathlib.Path]]]:
  """A run's sample grids by panel, each with its step, in their order."""
  panels = {}
  for path in sorted(samples.glob('*.png')):
    match = re.fullmatch(r'(.+)_(\d{8})', path.stem)
    if match:
      panels.setdefault(match[1], []).append((int(match[2]), path))
  return panels


def thinned(sizes: Sequence[int]) -> list[int]:
  """Thins a history of pictures: the first, the last, and evenly between.

  Args:
    sizes: each picture's, in bytes.

  Returns:
    Indices, at most MAX_FRAMES and of about MAX_HISTORY_BYTES together, but
    two where there are two.
  """
  num = len(sizes)
  fitting = int(MAX_HISTORY_BYTES * num / max(1, sum(sizes)))
  kept = min(num, max(2, min(MAX_FRAMES, fitting)))
  if kept < 2:
    return [*range(num)]
  return [round(i * (num - 1) / (kept - 1)) for i in range(kept)]


def history(name: str, grids: Sequence[tuple[int, pathlib.Path]]) -> Html:
  """A panel's grids on a slider, and beside it the last one."""
  kept = thinned([path.stat().st_size for _, path in grids])
  shown = [
    html.figure(
      html.picture(path.read_bytes(), f'{name}, step {step:,}', 'pixels'),
      f'step {step:,}',
      hidden=i > 0,
    )
    for i, (step, path) in enumerate(grids[k] for k in kept)
  ]
  slider = element(
    'input', type='range', min=0, max=len(shown) - 1, value=0, step=1,
    autocomplete='off', aria_label=f'step of {name}',
  )  # fmt: skip
  step, path = grids[-1]
  final = html.figure(
    html.picture(path.read_bytes(), f'{name}, the last', 'pixels'),
    f'step {step:,}, the last',
  )
  of_all = '' if len(kept) == len(grids) else f' of {len(grids)}'
  return html.join(
    element('h3', name),
    element(
      'p',
      f'Move the slider through training: {len(kept)}{of_all} grids, always of '
      'the same inputs.',
    ),
    element(
      'div',
      element('div', slider, *shown, class_='history'),
      element('div', final),
      class_='pair',
    ),
  )
