"""Curves of a run's metrics over its steps."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import matplotlib.figure
import matplotlib.ticker

from gan_jax.core.errors import InputError, choice
from gan_jax.runs.directory import RunDirectory

# Apart for all kinds of colour vision (Okabe and Ito), in this order.
COLOURS = (
  '#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000',
)  # fmt: skip
DASHES = ('-', '--', ':', '-.')


class Curve(NamedTuple):
  """A line of a panel: steps and values, and which style it has."""

  steps: Sequence[int]
  values: Sequence[float]
  style: int

  @property
  def colour(self) -> str:
    return COLOURS[self.style % len(COLOURS)]

  @property
  def dashes(self) -> str:
    return DASHES[self.style // len(COLOURS) % len(DASHES)]


def read_reports(directory: RunDirectory) -> list[dict[str, Any]]:
  """The lines of a run's metrics.jsonl that are reports.

  Raises:
    InputError: there is none yet, or the file is damaged.
  """
  reports = [line for line in directory.lines() if 'epoch' in line]
  if not reports:
    raise InputError(
      f'{directory.metrics} has no report yet; wait for the first line of the '
      'training'
    )
  return reports


def panel_svg(
  curves: Sequence[Curve],
  ylabel: str,
  *,
  level: float | None = None,
  log: bool = False,
) -> bytes:
  """One panel of curves over the steps, as an SVG file.

  Names that come from files are no part of it: a legend goes beside it.

  Args:
    curves: what to draw.
    ylabel: what the values are.
    level: where to draw a dashed level line, if anywhere.
    log: whether the values' axis is logarithmic; values must be positive.
  """
  figure = matplotlib.figure.Figure((4.4, 2.7), layout='constrained')
  panel = figure.subplots()
  for curve in curves:
    marker = 'o' if len(curve.steps) == 1 else None
    panel.plot(
      curve.steps, curve.values, curve.dashes, color=curve.colour,
      linewidth=1.3, marker=marker,
    )  # fmt: skip
  if level is not None:
    panel.axhline(level, color='0.4', linewidth=0.9, linestyle=(0, (6, 3)))
  panel.set_xlabel('step')
  panel.set_ylabel(ylabel)
  if log:
    panel.set_yscale('log')
    panel.yaxis.set_minor_locator(matplotlib.ticker.LogLocator(subs=(2, 5)))
    low, high = panel.get_ylim()
    panel.yaxis.set_major_formatter('{x:g}')
    # Where there are few decades, they need names within.
    panel.yaxis.set_minor_formatter('{x:g}' if high < 100 * low else '')
  panel.grid(color='0.9', linewidth=0.6)
  panel.spines[['top', 'right']].set_visible(False)
  file = io.BytesIO()
  # Without them, the same curves would be other bytes each time.
  with matplotlib.rc_context({'svg.hashsalt': 'curves'}):
    figure.savefig(file, format='svg', metadata={'Date': None})
  return file.getvalue()


def plot_curves(directory: RunDirectory, names: Sequence[str]):
  """A figure with a panel for each of the named metrics, over the epochs.

  Args:
    directory: the run's.
    names: keys of its reports; those joined by '+' share a panel, as in
      'd_loss+g_loss'.

  Returns:
    A matplotlib figure.

  Raises:
    InputError: no report yet, no name, or one that no report has.
  """
  reports = read_reports(directory)
  known = set().union(*reports)
  if not names:
    raise InputError(
      f'--metrics is empty; name one or more of: {", ".join(sorted(known))}'
    )
  size = (3.6 * len(names), 2.8)
  figure = matplotlib.figure.Figure(size, dpi=80, layout='constrained')
  panels = figure.subplots(1, len(names), squeeze=False)[0]
  for panel, group in zip(panels, names, strict=True):
    for name in group.split('+'):
      if name not in known:
        raise choice('metric', name, known)
      having = [line for line in reports if name in line]  # not each is scored
      epochs, values = ([x[key] for x in having] for key in ('epoch', name))
      panel.plot(epochs, values, label=name)
    panel.set_xlabel('epoch')
    panel.set_ylim(bottom=min(0.0, panel.get_ylim()[0]))
    panel.legend(fontsize='small')
  return figure
