"""Tables of config keys: defaults, range checks, meanings.

A table maps each key, such as 'data.batch_size', to a row. A group with a
`name` is a row of type `Variants`: its name decides which keys the group has.
Configs are flat here, {'group.key': value}.

Each row records the format of config.json that introduced it (`FORMAT` in
`gan_jax.runs.formats`), so that older runs can be read: if their config.json
lacks the key, it gets the value that preserves the run's behaviour.
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
  """Returns a row of the table.

  Args:
    default: the value in configs that do not set the key.
    check: range check of the value.
    meaning: one line for docs/config.md, including the unit.
    since: the format of config.json that introduced the key.
    was: the value that preserves the behaviour of runs from before the key
      existed; by default `default`.
    free: whether it may change between a run and its continuation.
  """
  return Key(
    default, check, meaning, since, default if was is _SAME else was, free
  )


class Variants(NamedTuple):
  """A group's row, whose keys depend on its `name`."""

  default: str
  choices: Mapping[str, 'Table']  # rows, and nested groups, by name
  meaning: str
  since: int = 1
  was: str | None = None  # None: the default


Table = Mapping[str, Key | Variants]


def _name(variants: Variants) -> Key:
  """Returns the row of a group's name."""
  was = variants.was or variants.default
  check = one_of(*variants.choices)
  return Key(
    variants.default, check, variants.meaning, variants.since, was, free=False
  )


def resolve(
  table: Table, values: Values, *, before: bool = False
) -> dict[str, Key]:
  """Returns a config's keys, given its groups' names, with their rows.

  Args:
    table: the system's table.
    values: the config; only the names are read.
    before: whether a missing name takes its `was` instead of its default.

  Raises:
    InputError: a group has an unknown name.
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
  """Returns the rows of a group's variant, by full key."""
  return {f'{path}.{k}': row for k, row in variants.choices[name].items()}


def all_rows(table: Table) -> list[tuple[str, str | None, Key]]:
  """Lists every (key, its variant's name or None, row) of a table, in order."""
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
  """Returns the error for an unknown key, with the closest known one."""
  near = difflib.get_close_matches(key, list(known), n=1)
  hint = f'; did you mean config.{near[0]}?' if near else ''
  return InputError(f'unknown config key config.{key}{hint}')


def _groups(table: Table) -> Iterator[tuple[str, Variants]]:
  """Yields every group with a `name`, and its path, nested ones included."""
  for path, row in table.items():
    if isinstance(row, Variants):
      yield path, row
      for name in row.choices:
        yield from _groups(_inside(path, row, name))


def _chosen_otherwise(
  table: Table, key: str, values: Values
) -> tuple[str, str, list[str]] | None:
  """Finds the group whose name excludes a key: path, name, the key's names."""
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
  """Returns the error for a key that a config does not have."""
  found = _chosen_otherwise(table, key, values)
  if found is None:
    return unknown(key, keys)
  group, name, owners = found
  return InputError(
    f'config.{key} is a key of config.{group}.name={" or ".join(owners)}, not '
    f'of {name}'
  )


def complete(table: Table, values: Values) -> dict[str, Any]:
  """Completes a config: missing keys get their defaults.

  Keys of variants that are not chosen are dropped if they have their default.

  Raises:
    InputError: the config has any other key that is not its own.
  """
  keys = resolve(table, values)
  whole = {path: values.get(path, row.default) for path, row in keys.items()}
  for path, value in values.items():
    defaults = [row.default for key, _, row in all_rows(table) if key == path]
    if path not in keys and value not in defaults:
      raise _no_such_key(table, path, keys, whole)
  return {path: _converted(keys[path], value) for path, value in whole.items()}


def _converted(row: Key, value: Any) -> Any:
  """Converts a value to its row's type, if it can be; else returns it."""
  if (
    row.check.kind is float and type(value) is int and row.check(value) is None
  ):
    return float(value)
  if row.check.kind in (tuple, object) and isinstance(value, list):
    return tuple(value)
  return value


def check(table: Table, values: Values) -> None:
  """Raises InputError for the first unknown, missing or invalid key."""
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
  """Returns a config with changed values: names first, then keys.

  A group whose name changes gets the new variant's defaults, except for keys
  that both variants have and that were not at their default.

  Args:
    table: the system's table.
    values: the complete config.
    changes: the new values, by key.

  Returns:
    The new complete config, and a note for each value that was not the default
    and has no key in the new variant.

  Raises:
    InputError: the changed config has no such key.
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
  """Parses a value on the command line.

  A string key takes the text itself; others take a Python literal.

  Raises:
    InputError: no variant has the key, or the value is invalid.
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
