"""docs/config.md: every key of every config, from the tables."""

from collections.abc import Iterable, Mapping

from gan_jax.config import COMMON
from gan_jax.config.table import Key, Table, all_rows
from gan_jax.systems import SYSTEMS, options
from gan_jax.systems.parts.objectives import RECIPES

_HEAD = """# Config keys

A config file states what its result depends on; every other key has the default
that stands here. `--config.KEY=VALUE` sets one on the command line, and
`--vary=KEY=VALUE,VALUE` of `gan-jax sweep` several. A group with a `name` has
the keys of that name: `--config.optimizer.generator.schedule.name=linear
--config.optimizer.generator.schedule.length=10`, in any order.

If choosing a name removes a key that the config file had set, a note says so;
if the key was set on the command line together with the name, it is an error.
In a sweep the names and keys of `--vary` are set on top of the config: a key is
varied only where all varied names have it. Setting one of `train.num_steps`
and `train.num_epochs` on the command line unsets the other. Keys with a * may
change when a run goes on.

This page is written by `gan-jax config > docs/config.md`.
"""
_RECIPES = """## Which loss with what

`config.loss.adversarial.name` changes the loss alone; the regularisation of its
paper is in keys of its own.

| loss | penalty | normalisation of D | Adam b1 | updates of D | paper |
| --- | --- | --- | --- | --- | --- |
"""
_COLUMNS = '| key | default | range | meaning |\n| --- | --- | --- | --- |\n'


def page() -> str:
  """The whole of docs/config.md."""
  parts = [_HEAD, f'## Of all systems\n\n{_table(all_rows(COMMON))}']
  for data in dict.fromkeys(system.DATA for system in SYSTEMS.values()):
    users = [name for name, x in SYSTEMS.items() if x.DATA is data]
    parts.append(
      f'## Data of {_listed(users)}\n\n{_table(all_rows(data.OPTIONS))}'
    )
  for name, system in SYSTEMS.items():
    parts.append(f'## {name}\n\n{_table(all_rows(system.OPTIONS))}')
  rows = ''.join(
    f'| {" | ".join([f"`{name}`", *recipe])} |\n'
    for name, recipe in RECIPES.items()
  )
  return '\n'.join([*parts, _RECIPES + rows])


def system_page(name: str) -> str:
  """The keys of one system, as lines for a terminal."""
  rows: Table = options(name)
  return '\n'.join(
    f'{key}{"*" * row.free} = {row.default!r}'
    + (f'  (of {", ".join(variants)})' if variants else '')
    + f'\n    {row.meaning}; {row.check.wish}'
    for (key, variants), row in _joined(all_rows(rows)).items()
  )


def _joined(
  rows: Iterable[tuple[str, str | None, Key]],
) -> Mapping[tuple[str, tuple[str, ...]], Key]:
  """The rows by key and variants; a row that several variants have, once."""
  found: dict[tuple[str, Key], list[str]] = {}
  for key, variant, row in rows:
    found.setdefault((key, row), []).extend([variant] if variant else [])
  return {(key, tuple(names)): row for (key, row), names in found.items()}


def _table(rows: Iterable[tuple[str, str | None, Key]]) -> str:
  lines = []
  for (key, variants), row in _joined(rows).items():
    of = f' ({_listed(variants)})' if variants else ''
    wish = row.check.wish.replace('|', '\\|')
    lines.append(
      f'| `{key}`{"*" * row.free}{of} | `{row.default!r}` | {wish} | '
      f'{row.meaning} |\n'
    )
  return _COLUMNS + ''.join(lines)


def _listed(names: Iterable[str]) -> str:
  return ', '.join(f'`{name}`' for name in names)
