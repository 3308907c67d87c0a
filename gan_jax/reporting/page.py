"""The report of a run, and of several side by side: one HTML file each."""

import json
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gan_jax.core.files import write_text
from gan_jax.reporting import health, html, panels
from gan_jax.reporting.closer_look import closer_look, data_std, read_insights
from gan_jax.reporting.html import Html, element
from gan_jax.runs.environment import environment_changes
from gan_jax.systems.system import Panel


class Run(NamedTuple):
  """A run's files, as a report shows them."""

  name: str
  path: pathlib.Path
  config: Mapping[str, Any]  # 'group.key' to value
  data: Mapping[str, Any]  # data.json
  sessions: Sequence[Mapping[str, Any]]
  reports: Sequence[Mapping[str, Any]]  # of metrics.jsonl, at least one
  hashes: Mapping[int, str]  # the state's sha256 at each checkpoint's step
  result: Mapping[str, Any] | None  # result.json
  missing: str = 'they were not asked for'  # why there are no insights
  panels: Sequence[Panel] = ()  # of its system
  d_may_win: bool = False  # see `System`
  divergence: str | None = None  # what ended the run, if that did


def write_report(run: Run, output: pathlib.Path) -> None:
  """Writes the report of one run.

  Raises:
    InputError: what report/ holds is not what `training.insights` writes.
  """
  folder = run.path / 'report'
  insights = read_insights(folder)
  std = data_std(insights, run.data)
  parts = [
    html.section('summary', 'Summary', _summary(run)),
    html.section('numbers', 'Final numbers', *_numbers(run)),
    html.section('health', 'Health', *_health(run, std)),
  ]
  grids = panels.frames(run.path / 'samples')
  if grids:
    shown = (panels.history(name, frames) for name, frames in grids.items())
    parts.append(html.section('samples', 'Samples over training', *shown))
  drawn = panels.curves(run.reports, std, run.panels)
  parts.append(html.section('curves', 'Curves', drawn))
  if insights:
    parts += closer_look(folder, insights, run.reports[-1]['step'])
  else:
    parts.append(_without_insights(run))
  parts.append(html.section('ran', 'What ran', *_what_ran(run)))
  write_text(output, html.page(f'{run.name}: {_kind(run)}', parts))


def write_comparison(runs: Sequence[Run], output: pathlib.Path) -> None:
  """Writes one page of several runs: numbers, configs, curves and grids.

  Raises:
    InputError: as `write_report`.
  """
  names = [run.name for run in runs]
  numbers = _side_by_side([_scalars(_result(run)) for run in runs])
  states = [
    html.join(
      element('h3', run.name),
      *_health(run, data_std(read_insights(run.path / 'report'), run.data)),
    )
    for run in runs
  ]
  configs = _differing([run.config for run in runs])
  legend = (panels.legend(name, i) for i, name in enumerate(names))
  parts = [
    html.section('all', 'Final numbers', html.table(numbers, ['', *names])),
    html.section('health', 'Health', *states),
    html.section(
      'config',
      'Differing config keys',
      html.table(configs, ['', *names])
      if configs
      else element('p', 'There are none.'),
    ),
    html.section(
      'curves',
      'Curves',
      element('p', *legend),
      panels.compared_curves(
        [run.reports for run in runs],
        list(dict.fromkeys(panel for run in runs for panel in run.panels)),
      ),
    ),
  ]
  grids = [_final_grid(run, *last) for run in runs for last in _last_grids(run)]
  if grids:
    side_by_side = element('div', *grids, class_='pair')
    parts.append(html.section('samples', 'Final grids', side_by_side))
  write_text(output, html.page(f'{len(runs)} runs side by side', parts))


def _kind(run: Run) -> str:
  return f'{run.config.get("system")} on {_data(run)}'


def _data(run: Run) -> str:
  name = run.config.get('data.name')
  return (
    f'random images like {name}' if run.config.get('data.made_up') else name
  )


def _summary(run: Run) -> Html:
  last = run.reports[-1]
  state = 'finished' if run.result is not None else 'not finished'
  rows = [
    ('system', run.config.get('system')),
    ('data', _data(run)),
    ('last report', f'step {last["step"]:,}, epoch {_number(last["epoch"])}'),
    ('state', state),
  ]
  if run.sessions:
    session = run.sessions[-1]
    device = f'{session.get("device_count")} x {session.get("device_kind")}'
    rows.append(('device', f'{device}, {session.get("processor")}'))
    rows.append(('sessions', len(run.sessions)))
  if run.hashes:
    step = max(run.hashes)
    rows.append((f'sha256 at step {step:,}', _code(run.hashes[step])))
  return html.table(rows)


def _health(run: Run, std: float | None) -> list[Html]:
  facts = health.Facts(std, run.d_may_win, run.config, run.data, run.divergence)
  findings = health.examine(run.reports, facts)
  if findings:
    return [element('p', x.sentence, class_='finding') for x in findings]
  number = len(run.reports)
  if number < health.LASTING:
    said = f'Too few reports to tell: {number}, of {health.LASTING} or more.'
    return [element('p', said, class_='faint')]
  seen, unseen = map('; '.join, health.looked_at(run.reports, facts))
  said = (
    f'No fault found by these checks, of the later half of {number} reports: '
    f'{seen}. They do not see what the samples look like.'
    if seen
    else 'There is nothing to tell by.'
  )
  if unseen:
    said += f' Not known: {unseen}.'
  return [element('p', said, class_='fine' if seen else 'faint')]


def _result(run: Run) -> Mapping[str, Any]:
  """result.json, or the last report of a run that is not finished."""
  return run.reports[-1] if run.result is None else run.result


def _scalars(values: Mapping[str, Any]) -> dict[str, str]:
  return {
    name: _number(value)
    for name, value in values.items()
    if not isinstance(value, (dict, list)) and name != 'config_sha256'
  }


def _number(value: Any) -> str:
  return f'{value:.4g}' if isinstance(value, float) else str(value)


def _numbers(run: Run) -> Iterator[Html]:
  if run.result is None:
    yield element('p', 'The run is not finished: these are its last report.')
  yield html.table(_scalars(_result(run)).items())


def _side_by_side(
  columns: Sequence[Mapping[str, Any]],
) -> list[tuple[str, ...]]:
  """A row for each name in any of the columns."""
  names = dict.fromkeys(name for column in columns for name in column)
  return [(name, *(c.get(name, '') for c in columns)) for name in names]


def _differing(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
  """The keys whose values are not the same in all."""
  written = [{k: repr(v) for k, v in config.items()} for config in configs]
  rows = _side_by_side(written)
  return sorted(row for row in rows if len(set(row[1:])) > 1)


def _last_grids(run: Run) -> Iterator[tuple[str, int, pathlib.Path]]:
  for name, frames in panels.frames(run.path / 'samples').items():
    yield name, *frames[-1]


def _final_grid(run: Run, name: str, step: int, path: pathlib.Path) -> Html:
  return html.figure(
    html.picture(path.read_bytes(), f'{name} of {run.name}', 'pixels'),
    element('span', run.name, class_='name'),
    f': {name}, step {step:,}',
  )


def _without_insights(run: Run) -> tuple[str, str, Html]:
  return html.section(
    'look',
    'A closer look',
    element(
      'p',
      'Nearest training images, interpolations, mistakes and translations are '
      f'missing: {run.missing}.',
    ),
    element(
      'p',
      'Where the data and a checkpoint are, this adds them: ',
      _code('gan-jax report --workdir=DIR'),
    ),
  )


def _what_ran(run: Run) -> Iterator[Html]:
  yield element('h3', 'Do it again')
  path = shlex.quote(str(run.path))
  yield html.table(
    (what, _code(f'gan-jax {command}'))
    for what, command in (
      ('elsewhere, from the start', f'train --config={path} --workdir=DIR'),
      ('go on', f'train --workdir={path}'),
      ('train it again and compare', f'verify --workdir={path}'),
    )
  )
  yield element('h3', 'Config')
  yield html.table((key, _code(repr(x))) for key, x in run.config.items())
  yield element('h3', 'Data')
  yield html.table((key, _code(x)) for key, x in _flat(run.data))
  if run.hashes:
    yield element('h3', "The state's sha256")
    rows = ((f'step {k:,}', _code(run.hashes[k])) for k in sorted(run.hashes))
    yield _folded(f'at {len(run.hashes)} checkpoints', html.table(rows))
  yield element('h3', 'Sessions')
  before: Mapping[str, Any] = {}
  for session in run.sessions:
    title = f'from step {session.get("from_step")}'
    if before:
      changes = environment_changes(before, session)
      title += f'; changed: {"; ".join(changes) or "nothing that decides"}'
    rows = ((key, _code(x)) for key, x in _flat(session))
    yield _folded(title, html.table(rows), open=not before)
    before = session


def _folded(title: str, content: Html, **attributes: Any) -> Html:
  return element('details', element('summary', title), content, **attributes)


def _flat(value: Mapping[str, Any], prefix: str = '') -> Iterator[tuple]:
  """The leaves of JSON objects as ('group.key', text)."""
  for key, item in value.items():
    if isinstance(item, dict):
      yield from _flat(item, f'{prefix}{key}.')
    else:
      yield (
        f'{prefix}{key}',
        item if isinstance(item, str) else json.dumps(item),
      )


def _code(value: Any) -> Html:
  return element('code', value)
