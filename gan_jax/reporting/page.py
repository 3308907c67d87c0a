"""The report of a run, and of several side by side: one HTML file each."""

import json
import pathlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gan_jax.core.files import write_text
from gan_jax.reporting import health, html, panels
from gan_jax.reporting.closer_look import (
  REAL,
  closer_look,
  data_std,
  num_images,
  read_insights,
)
from gan_jax.reporting.history import MAX_POINTS
from gan_jax.reporting.html import Html, element
from gan_jax.reporting.names import named
from gan_jax.runs.environment import environment_changes
from gan_jax.systems.system import Panel

_QUALITY = re.compile(
  r'(validation|test)_.*(fid|kid|precision|recall|density|coverage|score|'
  r'num_modes|modes_kl|class_accuracy)'
)


class Run(NamedTuple):
  """A run's files, as a report shows them."""

  name: str
  path: pathlib.Path
  config: Mapping[str, Any]  # 'group.key' to value
  data: Mapping[str, Any]  # data.json
  sessions: Sequence[Mapping[str, Any]]
  reports: Sequence[Mapping[str, Any]]  # of metrics.jsonl, at least one
  hashes: Mapping[
    int, str
  ]  # the state's sha256 at the last checkpoints, by step
  num_hashes: int  # of all checkpoints
  seconds: float  # spent in steps
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
    html.section('summary', 'Summary', _summary(run, insights)),
    html.section('numbers', 'Final numbers', *_numbers(run)),
    html.section('health', 'Health', *_health(run, std)),
  ]
  grids = panels.frames(run.path)
  if grids:
    real = folder / REAL
    max_bytes = panels.MAX_HISTORY_BYTES / len(grids)
    shown = (
      panels.history(
        name, frames, max_bytes, real.read_bytes() if real.is_file() else None
      )
      for name, frames in grids.items()
    )
    parts.append(html.section('samples', 'Samples over training', *shown))
  drawn = panels.curves(run.reports, std, run.panels)
  parts.append(html.section('curves', 'Curves', _thinning(run), drawn))
  if insights:
    parts += closer_look(folder, insights, run.reports[-1]['step'])
  else:
    parts.append(_without_insights(run))
  parts.append(html.section('ran', 'What ran', *_what_ran(run)))
  title = f'{run.name}: {_kind(run)}'
  write_text(output, html.page(title, parts, html.command(_again(run))))


def write_comparison(runs: Sequence[Run], output: pathlib.Path) -> None:
  """Writes one page of several runs: numbers, configs, curves and grids.

  Raises:
    InputError: as `write_report`.
  """
  names = [run.name for run in runs]
  rows = _side_by_side([_scalars(_result(run)) for run in runs])
  numbers = [(named(name), *values) for name, *values in rows]
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


def _again(run: Run) -> str:
  """The command that repeats a run next to its directory."""
  path = run.path.resolve()
  again = path.with_name(f'{path.name}-again')
  return _command('train', config=path, workdir=again)


def _command(name: str, **paths: pathlib.Path) -> str:
  flags = (f'--{flag}={shlex.quote(str(x))}' for flag, x in paths.items())
  return ' '.join(('gan-jax', name, *flags))


def _summary(run: Run, insights: Mapping[str, Any]) -> Html:
  last = run.reports[-1]
  rows = [
    ('system', run.config.get('system')),
    ('data', _data(run)),
    *_images(run, insights),
    ('augmentation', _augmentation(run.config)),
    ('batch size', run.config.get('data.batch_size')),
    ('steps per epoch', run.data.get('spec', {}).get('steps_per_epoch')),
    ('last report', f'step {last["step"]:,}, epoch {_number(last["epoch"])}'),
    ('state', 'not finished' if run.result is None else 'finished'),
    *_times(run),
  ]
  if run.sessions:
    session = run.sessions[-1]
    device = f'{session.get("device_count")} x {session.get("device_kind")}'
    rows.append(('device', f'{device}, {session.get("processor")}'))
    rows.append(('sessions', len(run.sessions)))
  rows += _quality(run)
  if run.hashes:
    step = max(run.hashes)
    rows.append((f'sha256 at step {step:,}', _code(run.hashes[step])))
  return html.table(row for row in rows if row[1] is not None)


def _images(run: Run, insights: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
  """The sizes of the splits, as far as they are recorded."""
  sizes = run.data.get('num_images') or num_images(insights)
  counts = run.data.get('spec', {}).get('class_counts')
  if not sizes and counts:  # of an earlier version
    sizes = {'train': [sum(counts)]}
  for split, numbers in sizes.items():
    words = ' + '.join(f'{number:,}' for number in numbers)
    yield f'{"training" if split == "train" else split} images', words
  if (labels := run.config.get('data.num_labels')) is not None:
    yield 'labels kept', f'{labels:,}'


def _augmentation(config: Mapping[str, Any]) -> str | None:
  """The policy; None of a system that augments nothing."""
  if 'augment.policy' not in config:
    return None
  policy = config['augment.policy']
  if policy is None:
    return 'none'
  words = f'{policy}, probability {config["augment.probability"]:g}'
  schedule = config.get('augment.schedule.name', 'constant')
  return words if schedule == 'constant' else f'{words}, {schedule}'


def _times(run: Run) -> Iterator[tuple[str, str]]:
  """The start of the first session, and the time of all steps."""
  started = run.sessions[0].get('started') if run.sessions else None
  if started is not None:
    yield 'started', started
  if run.seconds:
    minutes, seconds = divmod(round(run.seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = (hours, 'h'), (minutes, 'min'), (seconds, 's')
    words = [f'{number} {unit}' for number, unit in parts if number]
    duration = ' '.join(words[:2]) or 'less than a second'
    yield 'duration', f'{duration}, without reports and checkpoints'


def _quality(run: Run) -> Iterator[tuple[Html, str]]:
  """FID and the like, each as it was computed last."""
  last = {}
  for report in run.reports:
    scores = {k: x for k, x in report.items() if _QUALITY.fullmatch(k)}
    last |= {k: (x, f', step {report["step"]:,}') for k, x in scores.items()}
  scores = run.result or {}
  last |= {k: (x, '') for k, x in scores.items() if _QUALITY.fullmatch(k)}
  for name, (value, when) in last.items():
    yield named(name), f'{_number(value)}{when}'
  if last:
    yield 'features from', str(run.config.get('eval.extractor'))


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
  rows = _scalars(_result(run)).items()
  yield html.table((named(name), value) for name, value in rows)


def _thinning(run: Run) -> Html:
  """A note on what curves of many reports leave out."""
  if len(run.reports) <= MAX_POINTS:
    return Html()
  note = (
    f'Curves of more than {MAX_POINTS:,} reports are thinned: the steps are '
    f'cut into {MAX_POINTS // 2 - 1} equal spans, and of each the least and '
    'the greatest value are drawn.'
  )
  return element('p', note, class_='faint')


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
  for name, frames in panels.frames(run.path).items():
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
      html.command(_command('report', workdir=run.path.resolve())),
    ),
  )


def _what_ran(run: Run) -> Iterator[Html]:
  yield element('h3', 'Do it again')
  path = run.path.resolve()
  yield html.table(
    (what, html.command(line))
    for what, line in (
      ('from the start, elsewhere', _again(run)),
      ('go on', _command('train', workdir=path)),
      ('train it again and compare', _command('verify', workdir=path)),
    )
  )
  yield element('h3', 'Config')
  yield html.table((key, _code(repr(x))) for key, x in run.config.items())
  yield element('h3', 'Data')
  yield html.table((key, _code(x)) for key, x in _flat(run.data))
  if run.hashes:
    yield element('h3', "The state's sha256")
    rows = ((f'step {k:,}', _code(run.hashes[k])) for k in sorted(run.hashes))
    title = f'at {run.num_hashes:,} checkpoints'
    if run.num_hashes > len(run.hashes):
      title += f', the last {len(run.hashes)} here'
    all_of_them = element('p', 'All are in ', _code(run.path / 'metrics.jsonl'))
    yield _folded(title, html.join(html.table(rows), all_of_them))
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
