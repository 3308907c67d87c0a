"""Several configs over several label seeds, side by side in one table."""

import pathlib
from typing import NamedTuple

import numpy as np

from gan_jax.core.errors import InputError
from gan_jax.core.files import expand, write_text
from gan_jax.runs.configs import load_config
from gan_jax.runs.program import build
from gan_jax.training.loop import train


class Row(NamedTuple):
  """A line of the table."""

  name: str  # the config file's
  errors: list[float]  # on the test split, one per label seed


def compare(
  specs: list[str], label_seeds: list[int], workdir: str
) -> tuple[list[Row], str]:
  """Trains every config with every label seed; finished runs are not repeated.

  Args:
    specs: config files, each perhaps with ':arg'. The first is compared with
      each of the others on the same labels.
    label_seeds: values for `data.label_seed`; `seed` gets the same ones.
    workdir: holds a run directory for each pair, and table.md.

  Returns:
    The rows, and the table as Markdown.
  """
  configs = {}
  for spec in specs:
    name = pathlib.Path(spec.partition(':')[0]).stem
    if name in configs:
      raise InputError(f'two configs are called {name}')
    configs[name] = load_config(spec)
    if build(configs[name]).system.classifier is None:
      raise InputError(
        f'{spec}: system {configs[name].system} does not classify, and there '
        'is no test error to compare'
      )
  rows = [Row(name, []) for name in configs]
  for label_seed in label_seeds:
    for row in rows:
      config = configs[row.name].copy_and_resolve_references()
      config.data.label_seed = config.seed = label_seed
      directory = expand(workdir) / f'{row.name}-labels{label_seed}'
      print(f'== {row.name}, labels {label_seed}: {directory}', flush=True)
      row.errors.append(train(config, str(directory))['test_error'])
  table = to_markdown(rows)
  write_text(expand(workdir) / 'table.md', table)
  return rows, table


def to_markdown(rows: list[Row]) -> str:
  """Means with standard deviations, and paired differences with errors."""
  lines = [
    '| config | n | test error | difference to the first, paired | per seed |',
    '| --- | --- | --- | --- | --- |',
  ]
  first = np.array(rows[0].errors)
  for row in rows:
    errors = np.array(row.errors)
    n = len(errors)
    mean = f'{errors.mean():.2%}'
    if n > 1:
      mean += f' ± {errors.std(ddof=1):.2%}'
    difference = ''
    if row is not rows[0]:
      deltas = errors - first
      difference = f'{deltas.mean():+.2%}'
      if n > 1:
        difference += f' ± {deltas.std(ddof=1) / n**0.5:.2%}'
      if errors.mean() > 0:
        saved = 1 - first.mean() / errors.mean()
        difference += f' (the first is {saved:.0%} lower)'
    each = ' '.join(f'{100 * error:.1f}' for error in errors)
    lines.append(f'| {row.name} | {n} | {mean} | {difference} | {each} |')
  return '\n'.join(lines) + '\n'
