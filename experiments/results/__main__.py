"""Writes docs/results.md from tables.toml and the committed scores of runs.

  python -m experiments.results
  python -m experiments.results --add=runs/grid/arm=GAN-seed=0 \
    --as=grid_gan/GAN-0 --verify

The second command records a finished run here: its scores, seed, hours and
hashes. With --verify it trains the run again first, compares every bit, and
records that, too. For a run of a search, --split=validation leaves out its
scores on test data.
"""

import json
import pathlib
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from gan_jax.commands import cli
from gan_jax.core.files import write_json, write_text
from gan_jax.sweep.tables import mean_and_std

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parents[1] / 'docs/results.md'


def main(argv: Sequence[str] | None = None) -> int:
  return cli.call('python -m experiments.results', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  cli.define_path(values, 'add', 'A finished run to record.')
  flags.DEFINE_string(
    'as',
    None,
    'The name of its record, TABLE/NAME-SEED.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'split',
    'test',
    ['test', 'validation'],
    'Whose scores to record.',
    flag_values=values,
  )
  flags.DEFINE_bool(
    'verify', False, 'Train the run again and compare it.', flag_values=values
  )


def run(values: cli.Flags) -> int | None:
  name = values['as'].value
  if (values.add is None) != (name is None):
    raise cli.InputError('--add=RUN and --as=TABLE/NAME-SEED go together')
  if values.add is not None:
    record = record_of(values.add, values.split, verify=values.verify)
    path = HERE / f'{name}.json'
    path.parent.mkdir(exist_ok=True)
    write_json(path, record)
    print(path)
  write_text(PAGE, page(HERE))
  print(PAGE)


def record_of(workdir: str, split: str, *, verify: bool) -> dict[str, Any]:
  """Returns what the tables need of a finished run."""
  from gan_jax.reporting.history import read_history
  from gan_jax.runs.directory import RunDirectory
  from gan_jax.training import verify as verification

  directory = RunDirectory(workdir)
  config, result = directory.read_config(), directory.read_result()
  finding = verification.verify(workdir).finding if verify else None
  if finding is not None:
    raise cli.InputError(f'{workdir} cannot be repeated: {finding}')
  return {
    'seed': config.seed,
    'steps': result['steps'],
    'hours': read_history(directory).seconds / 3600,
    'scores': {
      name: value
      for name, value in result.items()
      if isinstance(value, int | float) and name.startswith(f'{split}_')
    },
    'sha256': result['sha256']['state'],
    'config_sha256': result['config_sha256'],
    'verified': verify,
  }


def page(folder: pathlib.Path) -> str:
  """Returns docs/results.md; each table of tables.toml is a section."""
  with (folder / 'tables.toml').open('rb') as file:
    tables = tomllib.load(file)
  sections = [_section(folder, table) for table in tables['table']]
  return '\n'.join([tables['introduction'], *sections])


def _section(folder: pathlib.Path, table: Mapping[str, Any]) -> str:
  scores, rows = table['scores'], table['row']
  compared = any('published' in row for row in rows)
  head = [''] + compared * [f'{score}, published' for score in scores]
  head += [f'{score}, ours' if compared else score for score in scores]
  head += ['n', table.get('remarks', 'differs from the paper'), 'hours', 'hash']
  lines = [head, ['---'] * len(head)]
  for row in rows:
    paths = sorted(folder.glob(row['records'])) if 'records' in row else []
    records = [json.loads(path.read_text()) for path in paths]
    published = row.get('published', {})
    lines.append([
      row['name'],
      *compared * [published.get(score, '') for score in scores],
      *_ours(scores, records, row.get('missing', 'not run')),
      str(len(records)),
      row.get('remark', ''),
      *_cost(records),
    ])  # fmt: skip
  parts = [f'## {table["title"]}', table['protocol'].strip()]
  parts.append('\n'.join(f'| {" | ".join(line)} |' for line in lines))
  if compared:
    parts.append(f'Published: {table["published"]}.')
  parts.append(f'```sh\n{table["command"].strip()}\n```')
  if 'found' in table:
    parts.append(table['found'].strip())
  return '\n\n'.join(parts) + '\n'


def _ours(
  scores: Mapping[str, Mapping[str, Any]],
  records: Sequence[Mapping[str, Any]],
  missing: str,
) -> list[str]:
  """Returns mean and deviation of each score, or why there are none."""
  if not records:
    return [missing] * len(scores)
  cells = []
  for score in scores.values():
    names = score['key'].split(' or ')
    values = [
      next((x['scores'][name] for name in names if name in x['scores']), None)
      for x in records
    ]
    if None in values:  # an infinite divergence is not recorded
      cells.append('infinite')
      continue
    values = [score['scale'] * x for x in values]
    mean, std = mean_and_std(values)
    form = f'{{:.{score["digits"]}f}}'
    cells.append(form.format(mean))
    if std is not None:
      cells[-1] += f' ± {form.format(std)}'
  return cells


def _cost(records: Sequence[Mapping[str, Any]]) -> list[str]:
  if not records or 'hours' not in records[0]:  # a baseline is not trained
    return ['', '']
  verified = [str(x['seed']) for x in records if x['verified']]
  told = f', seed {", ".join(verified)} verified' if verified else ''
  hours = sum(x['hours'] for x in records)
  return [f'{hours:.1f}', f'`{records[0]["sha256"][:12]}`{told}']


if __name__ == '__main__':
  cli.launch(main)
