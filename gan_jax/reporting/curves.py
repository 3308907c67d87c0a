"""Curves of a run's metrics over its steps."""

import pathlib
from collections.abc import Sequence

import matplotlib.figure

from gan_jax.errors import InputError, choice
from gan_jax.reporting.metrics import read_lines


def plot_curves(metrics: pathlib.Path, names: Sequence[str]):
  """A figure with a panel for each of the named metrics, over the epochs.

  Args:
    metrics: a run's metrics.jsonl.
    names: keys of its reports; those joined by '+' share a panel, as in
      'd_loss+g_loss'.

  Returns:
    A matplotlib figure.

  Raises:
    InputError: no report yet, or a name that no report has.
  """
  reports = [line for line in read_lines(metrics) if 'epoch' in line]
  if not reports:
    raise InputError(f'{metrics} has no report yet')
  size = (3.6 * len(names), 2.8)
  figure = matplotlib.figure.Figure(size, dpi=80, layout='constrained')
  panels = figure.subplots(1, len(names), squeeze=False)[0]
  for panel, group in zip(panels, names, strict=True):
    for name in group.split('+'):
      if name not in reports[0]:
        raise choice('metric', name, reports[0])
      epochs, values = zip(
        *((line['epoch'], line[name]) for line in reports), strict=True
      )
      panel.plot(epochs, values, label=name)
    panel.set_xlabel('epoch')
    panel.set_ylim(bottom=min(0.0, panel.get_ylim()[0]))
    panel.legend(fontsize='small')
  return figure
