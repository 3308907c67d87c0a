"""The table of a system's config keys: defaults, ranges, meanings.

A table maps each key, such as 'data.batch_size', to a row. A group with a
`name` is a row of its own kind, `Variants`: its name decides which keys the
group has. Configs are flat here, {'group.key': value}.

Each row says since which format of config.json it is there (`FORMAT` in
`gan_jax.runs.formats`), so that older runs can be read: where their config.json
lacks the key, it has the value that means "as before".
"""

import ast
import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gan_jax.config.ranges import Check, one_of
from gan_jax.core.errors import InputError

Values = Mapping[str, Any]
_SAME = object()


class Key(NamedTuple):
  """A row of the table; see `key`."""

  default: Any
  check: Check
  meaning: str
  since: int
  was: Any
  free: bool


def key(
  default: Any,
  check: Check,
  meaning: str,
  *,
  since: int = 1,
  was: Any = _SAME,
  free: bool = False,
) -> Key:
  """A row of the table.

  Args:
    default: what a config has that does not state it.
    check: what it may be.
    meaning: a line for docs/config.md, with the unit.
    since: the format of config.json that it came with.
    was: the value with which a run is as it was before the key was there;
      default: the default.
    free: whether it may change between a run and its continuation.
  """
  return Key(
    default, check, meaning, since, default if was is _SAME else was, free
  )


class Variants(NamedTuple):
  """A row that is a group: which keys it has depends on its `name`."""

  default: str
  choices: Mapping[str, 'Table']  # rows by name, groups among them
  meaning: str
  since: int = 1
  was: str | None = None  # None: the default


Table = Mapping[str, Key | Variants]


def _name(variants: Variants) -> Key:
  """The row of a group's name."""
  was = variants.was or variants.default
  check = one_of(*variants.choices)
  return Key(
    variants.default, check, variants.meaning, variants.since, was, free=False
  )


def resolve(
  table: Table, values: Values, *, before: bool = False
) -> dict[str, Key]:
  """The keys that a config has by its names, and the rows of these.

  Args:
    table: of its system.
    values: the config, of which the names are looked at.
    before: whether a name that is missing is the one that means "as before",
      instead of the default.

  Raises:
    InputError: a name that is none of a group's.
  """
  keys = {}
  for path, row in table.items():
    if isinstance(row, Key):
      keys[path] = row
      continue
    name_row = _name(row)
    missing = name_row.was if before else name_row.default
    name = values.get(f'{path}.name', missing)
    if wish := name_row.check(name):
      raise InputError(f'config.{path}.name must be {wish}, not {name!r}')
    keys[f'{path}.name'] = name_row
    keys |= resolve(_inside(path, row, name), values, before=before)
  return keys


def _inside(path: str, variants: Variants, name: str) -> Table:
  """Returns the rows of a group's variant, by whole keys."""
  return {f'{path}.{k}': row for k, row in variants.choices[name].items()}


def all_rows(table: Table) -> list[tuple[str, str | None, Key]]:
  """Every (key, the name of the variant that it belongs to, row), in order."""
  rows = []
  for path, row in table.items():
    if isinstance(row, Key):
      rows.append((path, None, row))
      continue
    rows.append((f'{path}.name', None, _name(row)))
    for name in row.choices:
      rows += [
        (key, owner or name, each)
        for key, owner, each in all_rows(_inside(path, row, name))
      ]
  return rows


def unknown(key: str, known: Iterable[str]) -> InputError:
  """The error for a key that there is not."""
  near = difflib.get_close_matches(key, list(known), n=1)
  hint = f'; did you mean config.{near[0]}?' if near else ''
  return InputError(f'unknown config key config.{key}{hint}')


def _groups(table: Table) -> Iterator[tuple[str, Variants]]:
  """Yields every group with a `name`, by its path; those inside others too."""
  for path, row in table.items():
    if isinstance(row, Variants):
      yield path, row
      for name in row.choices:
        yield from _groups(_inside(path, row, name))


def _chosen_otherwise(
  table: Table, key: str, values: Values
) -> tuple[str, str, list[str]] | None:
  """The choice by which a config lacks a key: a group, its name, its owners."""
  for path, row in _groups(table):
    name = values.get(f'{path}.name')
    owners = [
      name
      for name in row.choices
      if any(key == k for k, *_ in all_rows(_inside(path, row, name)))
    ]
    if owners and name is not None and name not in owners:
      return path, name, owners
  return None


def _no_such_key(
  table: Table, key: str, keys: Mapping[str, Key], values: Values
):
  """The error for a key that a config does not have, whatever it is."""
  found = _chosen_otherwise(table, key, values)
  if found is None:
    return unknown(key, keys)
  group, name, owners = found
  return InputError(
    f'config.{key} is a key of config.{group}.name={" or ".join(owners)}, not '
    f'of {name}'
  )


def complete(table: Table, values: Values) -> dict[str, Any]:
  """A config with all its keys: those that it does not state have the default.

  A key of a variant that was not chosen is dropped where it has its default.

  Raises:
    InputError: for any other key that the config cannot have.
  """
  keys = resolve(table, values)
  whole = {path: values.get(path, row.default) for path, row in keys.items()}
  for path, value in values.items():
    defaults = [row.default for key, _, row in all_rows(table) if key == path]
    if path not in keys and value not in defaults:
      raise _no_such_key(table, path, keys, whole)
  return {path: _converted(keys[path], value) for path, value in whole.items()}


def _converted(row: Key, value: Any) -> Any:
  """The value as its row's kind; what cannot be converted stays as it is."""
  if (
    row.check.kind is float and type(value) is int and row.check(value) is None
  ):
    return float(value)
  if row.check.kind in (tuple, object) and isinstance(value, list):
    return tuple(value)
  return value


def check(table: Table, values: Values) -> None:
  """Raises InputError for the first unknown, missing or bad key."""
  keys = resolve(table, values)
  for path in values:
    if path not in keys:
      raise _no_such_key(table, path, keys, values)
  for path, row in keys.items():
    if path not in values:
      raise InputError(
        f'config.{path} is missing; system {values.get("system")!r} needs it'
      )
    if wish := row.check(values[path]):
      raise InputError(f'config.{path} must be {wish}, not {values[path]!r}')


def override(
  table: Table, values: Values, changes: Values
) -> tuple[dict[str, Any], list[str]]:
  """A config with other values: names first, then keys.

  A group that gets another name has that variant's defaults, but for values
  that were stated, of keys that both have.

  Args:
    table: of the config's system.
    values: the config, with all its keys.
    changes: the new values, by key.

  Returns:
    The new config with all its keys, and a note for each value that was stated
    and that the new variant has no key for.

  Raises:
    InputError: a key that the config does not have after that.
  """
  named = dict(values) | {
    k: v for k, v in changes.items() if k.endswith('.name')
  }
  keys, before = resolve(table, named), resolve(table, values)
  notes = [
    f'config.{path} = {value!r} is dropped: config.{group}.name={name} has no '
    'such key'
    for path, value in values.items()
    if path not in keys and path in before and value != before[path].default
    for group, name, _ in [_chosen_otherwise(table, path, named)]
  ]
  whole = {path: row.default for path, row in keys.items()} | {
    path: value
    for path, value in named.items()
    if path in keys and not (path in before and value == before[path].default)
  }
  for path in changes:
    if path not in keys:
      raise _no_such_key(table, path, keys, whole)
  return complete(table, whole | changes), notes


def parse(table: Table, path: str, text: str) -> Any:
  """The value that a text on the command line means.

  It is the text itself for a key of text, else a Python literal.

  Raises:
    InputError: no such key in any variant, or no value for it.
  """
  rows = [row for key, _, row in all_rows(table) if key == path]
  if not rows:
    raise unknown(path, (key for key, *_ in all_rows(table)))
  literal = {'true': True, 'false': False}.get(text.lower(), text)
  with contextlib.suppress(
    ValueError, SyntaxError, TypeError, MemoryError, RecursionError
  ):
    literal = ast.literal_eval(text.strip())
  candidates = [text, literal] if text != 'None' else [None, text]
  for row in rows:
    for candidate in candidates:
      value = _converted(row, candidate)
      if row.check.accepts(value):
        return value
  wishes = ' or '.join(dict.fromkeys(row.check.wish for row in rows))
  raise InputError(f'config.{path} must be {wishes}, not {literal!r}')
