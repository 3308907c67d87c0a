"""Comparison of several configs over several label seeds, in one table."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from gan_jax.core.errors import InputError
from gan_jax.core.files import expand, write_text
from gan_jax.runs.configs import load_config
from gan_jax.runs.directory import RunDirectory
from gan_jax.sweep.plan import Run
from gan_jax.sweep.run import Datasets, Result, train_groups
from gan_jax.systems import override
from gan_jax.training.meter import Diverged


class Row(NamedTuple):
  """A row of the table."""

  name: str  # of the config file
  errors: dict[int, float]  # on the test split, by label seed


def compare(
  specs: Sequence[str], label_seeds: Sequence[int], workdir: str
) -> Result:
  """Trains every config with every label seed; finished runs are not repeated.

  Args:
    specs: config files, each with an optional ':arg'. The first is compared
      with each of the others on the same labels.
    label_seeds: values of `data.label_seed`, and of `seed`.
    workdir: the folder of the run directories and of table.md.

  Raises:
    InputError: a config is invalid, or its system is not a classifier; it is
      raised before any run starts.
  """
  configs = {}
  for spec in specs:
    name = pathlib.Path(spec.partition(':')[0]).stem
    if name in configs:
      raise InputError(f'two configs are called {name}')
    configs[name] = load_config(spec)
  data = Datasets(None)
  runs = [
    _plan_run(name, config, seed)
    for seed in label_seeds
    for name, config in configs.items()
  ]
  for run in runs[: len(configs)]:
    if data.build(run).system.classifier is None:
      raise InputError(
        f'{run.cell["config"]}: system {run.config.system} does not classify, '
        'and there is no test error to compare'
      )
  names = {config.data.name for config in configs.values()}
  if len(names) > 1:
    raise InputError(
      f'the configs use different data, {", ".join(sorted(names))}, so that '
      'there are no pairs to compare; set the same config.data.name'
    )
  book = _Table(workdir, list(configs))
  train_groups([[run] for run in runs], book, data, lanes=False)
  return Result(book.write(), book.failed, [book.path(run) for run in runs])


def _plan_run(name: str, config: ConfigDict, seed: int) -> Run:
  seeds = {'seed': seed, 'data.label_seed': seed}
  config, _ = override(config, seeds)
  return Run({'config': name}, seed, config, f'{name}-labels{seed}', [])


class _Table:
  """Ledger of the runs' test errors; see `sweep.run.Ledger`."""

  def __init__(self, workdir: str, names: Sequence[str]):
    self._workdir = expand(workdir)
    self._rows = {name: Row(name, {}) for name in names}
    self.failed: dict[str, str] = {}

  def path(self, run: Run) -> pathlib.Path:
    return self._workdir / run.name

  def has_result(self, run: Run) -> bool:
    return RunDirectory(self.path(run)).result.exists()

  def note(self, run: Run, error: Diverged | InputError | None) -> None:
    if error is not None:
      self.failed[run.name] = ' '.join(str(error).split())
      return
    result = RunDirectory(self.path(run)).read_result()
    self._rows[run.cell['config']].errors[run.seed] = result['test_error']

  def about(self, run: Run) -> str:
    if run.name in self.failed:
      return f'failed: {self.failed[run.name]}'
    error = self._rows[run.cell['config']].errors[run.seed]
    return f'test error {error:.2%}; {self.path(run)}'

  def write(self) -> str:
    table = to_markdown(list(self._rows.values()))
    if self.failed:
      lines = (f'- {name}: {why}\n' for name, why in self.failed.items())
      table += '\nFailed:\n\n' + ''.join(lines)
    self._workdir.mkdir(parents=True, exist_ok=True)
    write_text(self._workdir / 'table.md', table)
    return table


def to_markdown(rows: Sequence[Row]) -> str:
  """Formats means with standard deviations, and paired differences."""
  lines = [
    '| config | n | test error | difference to the first, paired | per seed |',
    '| --- | --- | --- | --- | --- |',
  ]
  for row in rows:
    errors = np.array(list(row.errors.values()))
    n = len(errors)
    if n == 0:
      lines.append(f'| {row.name} | 0 |  |  |  |')
      continue
    mean = f'{errors.mean():.2%}'
    if n > 1:
      mean += f' ± {errors.std(ddof=1):.2%}'
    difference = _paired(row, rows[0]) if row is not rows[0] else ''
    each = ' '.join(f'{100 * error:.1f}' for error in errors)
    lines.append(f'| {row.name} | {n} | {mean} | {difference} | {each} |')
  return '\n'.join(lines) + '\n'


def _paired(row: Row, first: Row) -> str:
  """Formats the mean difference over common seeds, with its standard error."""
  seeds = [seed for seed in row.errors if seed in first.errors]
  if not seeds:
    return ''
  errors, others = (
    np.array([x.errors[seed] for seed in seeds]) for x in (row, first)
  )
  deltas = errors - others
  difference = f'{deltas.mean():+.2%}'
  if len(seeds) > 1:
    difference += f' ± {deltas.std(ddof=1) / len(seeds) ** 0.5:.2%}'
  if errors.mean() > 0:
    saved = 1 - others.mean() / errors.mean()
    word = 'lower' if saved >= 0 else 'higher'
    difference += f' (the first is {abs(saved):.0%} {word})'
  return difference
