"""Reading and verification of checkpoints, with retries.

Three things can be wrong with a checkpoint, and each has its own error. It is
*damaged* if its hash is wrong or its bytes cannot be decoded. It has *another
structure* if it is intact but its paths, shapes or dtypes differ from the
expected ones. And it cannot be *read* if the operating system reports an error:
that is an OSError, and implies nothing about the checkpoint.
"""

import dataclasses
import errno
import pathlib
import re
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
from orbax.checkpoint import v1 as ocp

import gan_jax
from gan_jax.core import os_errors, trees
from gan_jax.core.errors import InputError, enumeration
from gan_jax.runs import formats
from gan_jax.runs.fingerprint import part_fingerprints, sha256_of_json
from gan_jax.systems.state import TrainState

_WAITS = (0.2, 1.0)  # seconds before each retry of a failed read


class Damaged(InputError):
  """A checkpoint whose hash is wrong or whose bytes cannot be decoded."""


class OtherStructure(InputError):
  """An intact checkpoint with other paths, shapes or dtypes than expected."""


class Restored(NamedTuple):
  """A checkpoint that was read and verified."""

  state: TrainState  # with the template's None fields
  progress: dict[str, Any]  # the JSON values given to `save`
  step: int


def seal(parts: dict[str, str], progress: dict[str, Any]) -> str:
  """Hashes the parts' hashes and the progress: the checkpoint's own sha256."""
  return sha256_of_json([parts, progress])


def _fields(state: TrainState) -> dict[str, Any]:
  """Returns the fields that are not None, by name."""
  fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
  return {name: tree for name, tree in fields.items() if tree is not None}


def folders(state: TrainState) -> dict[str, Any]:
  """Returns the fields that have leaves; orbax refuses empty trees."""
  return {
    name: tree for name, tree in _fields(state).items() if jax.tree.leaves(tree)
  }


def _structure(tree: Any) -> dict[str, str]:
  """Returns the dtype and shape of each leaf by its path, e.g. 'params/w'."""
  return {
    path: f'{leaf.dtype}{list(leaf.shape)}'
    for path, leaf in trees.by_path(tree).items()
  }


def structures(state: TrainState) -> dict[str, dict[str, str]]:
  """Returns the structure of each field that is not None."""
  return {name: _structure(tree) for name, tree in _fields(state).items()}


def structure_hashes(
  structures: Mapping[str, Mapping[str, str]],
) -> dict[str, str]:
  """Hashes each field's structure, under the name of its part."""
  return {
    f'{name}.structure': sha256_of_json(structure)
    for name, structure in structures.items()
  }


def patiently(path: pathlib.Path, read: Callable[[], Restored]) -> Restored:
  """Calls `read`, with retries.

  Orbax silently ignores some errors of the operating system and then returns
  wrong contents, so a verdict of damage needs confirmation by a second read.

  Raises:
    InputError: it was damaged, or had another structure, twice in a row.
    OSError: it could not be read after all retries.
  """
  refused = unread = 0
  while True:
    try:
      with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # orbax's warnings about shardings
        return read()
    except Exception as error:  # damage can raise nearly anything
      verdict, failure = error, _os_error(path, error)
    if failure is None:
      refused += 1
      if refused == 2:
        if isinstance(verdict, InputError):
          raise verdict
        raise _damaged(path, os_errors.brief(verdict)) from verdict
    else:
      refused = 0
      if unread == len(_WAITS):
        raise failure
      time.sleep(_WAITS[unread])
      unread += 1


def read_checkpoint(
  path: pathlib.Path,
  step: int,
  template: TrainState,
  initial: Callable[[], TrainState] | None,
) -> Restored:
  """Reads and checks a checkpoint once; see `Checkpoints.restore`."""
  metadata, found = _describe(path, template)
  parts, progress = metadata['parts'], metadata['progress']
  if seal(parts, progress) != metadata['sha256']:
    raise _damaged(path, 'its sha256 is wrong')
  wanted = structures(template)
  added = set()
  if initial is not None:
    added = _added(wanted, found, metadata['format'])
  if found != _without(wanted, added):
    raise _mismatch(path, wanted, found, metadata)
  if added:
    state = _read_without(path, template, added)
  else:
    read = ocp.load_checkpointables(path, folders(template))
    state = template.replace(**read)
  hashes = part_fingerprints(jax.device_get(state))
  if not hashes.items() <= parts.items():
    raise _damaged(path, 'its sha256 is wrong')
  if int(state.step) != step:
    raise _damaged(path, f'it holds step {int(state.step)}')
  if added:
    state = _filled(template, state, initial())
  return Restored(state, progress, step)


def _added(
  wanted: Mapping[str, Mapping[str, str]],
  found: Mapping[str, Mapping[str, str]],
  format_number: int,
) -> set[str]:
  """Returns the missing leaves that formats later than this one introduced."""
  return {
    f'{name}/{leaf}'
    for name in wanted
    for leaf in wanted[name].keys() - found[name].keys()
    for pattern, since in formats.ADDED_LEAVES.items()
    if since > format_number and re.fullmatch(pattern, f'{name}/{leaf}')
  }


def _without(
  structures: Mapping[str, Mapping[str, str]], leaves: Collection[str]
) -> dict[str, dict[str, str]]:
  return {
    name: {k: v for k, v in tree.items() if f'{name}/{k}' not in leaves}
    for name, tree in structures.items()
  }


def _read_without(
  path: pathlib.Path, template: TrainState, leaves: Collection[str]
) -> TrainState:
  """Reads the state with None for leaves that it does not have yet."""
  kept = jax.tree_util.tree_map_with_path(
    lambda at, x: None if trees.name(at) in leaves else x, template
  )
  by_path = trees.by_path(kept)
  saved = {  # orbax needs the saved tree, not one with None leaves
    name: jax.tree_util.tree_map_with_path(
      lambda at, _, name=name: by_path[
        '/'.join(filter(None, (name, trees.name(at))))
      ],
      ocp.metadata(path, name).metadata,
    )
    for name in folders(kept)
  }
  read = {
    '/'.join(filter(None, (name, at))): x
    for name, tree in ocp.load_checkpointables(path, saved).items()
    for at, x in trees.by_path(tree).items()
  }
  return jax.tree_util.tree_map_with_path(
    lambda at, _: read[trees.name(at)], kept
  )


def _filled(
  template: TrainState, state: TrainState, initial: TrainState
) -> TrainState:
  """Fills the state's missing leaves with the initial ones."""
  read, new = trees.by_path(state), trees.by_path(initial)
  return jax.tree_util.tree_map_with_path(
    lambda at, _: read.get(trees.name(at), new[trees.name(at)]), template
  )


def _os_error(path: pathlib.Path, error: Exception) -> OSError | None:
  """Finds the operating system's error behind another; None: bad bytes.

  A missing file, or a folder in place of a file, is damage.
  """
  damage = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
  found = os_errors.behind(error, path)
  if found is not None and found.errno not in damage:
    return found
  try:  # orbax may have hidden one behind its own error
    os_errors.read_through(path)
  except OSError as found:
    return found
  return None


def _describe(
  path: pathlib.Path, template: TrainState
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
  """Reads a checkpoint's metadata and its fields' structures."""
  # From `step`, since the other folders' metadata may be missing.
  metadata = ocp.metadata(path, 'step').custom_metadata
  found = {}
  for name in _fields(template):
    there = (path / name).is_dir()
    found[name] = _structure(ocp.metadata(path, name).metadata) if there else {}
  return {k: metadata[k] for k in ('parts', 'progress', 'sha256')} | {
    'gan_jax': metadata.get('gan_jax', '0.1.0'),  # 0.1.0 recorded neither
    'format': metadata.get('format', 1),
  }, found


def _damaged(path: pathlib.Path, reason: str) -> Damaged:
  return Damaged(f'checkpoint {path} is damaged: {reason}')


def _mismatch(
  path: pathlib.Path,
  wanted: Mapping[str, Mapping[str, str]],
  found: Mapping[str, Mapping[str, str]],
  metadata: Mapping[str, Any],
) -> InputError:
  """Returns the error for a checkpoint with an unexpected structure."""
  parts = metadata['parts']
  for name, sha256 in structure_hashes(found).items():
    if parts.get(name, sha256) != sha256:
      return _damaged(path, f'its {name} is not what was saved')
  old, new = (
    {f'{name}/{leaf}': x for name in tree for leaf, x in tree[name].items()}
    for tree in (found, wanted)
  )
  lines = [
    f'{leaf}: {old.get(leaf, "(absent)")} -> {new.get(leaf, "(absent)")}'
    for leaf in sorted(old.keys() | new.keys())
    if old.get(leaf) != new.get(leaf)
  ]
  version = metadata['gan_jax']
  remedy = 'The config of its run was edited: restore it'
  if version != gan_jax.__version__:
    remedy = (
      f'It was written by gan_jax {version}, this is {gan_jax.__version__}; '
      'use that version'
    )
  return OtherStructure(
    f'checkpoint {path} is intact, but its structure is not the one of this '
    f'config: {enumeration(lines)}. {remedy}, or choose another --workdir'
  )
