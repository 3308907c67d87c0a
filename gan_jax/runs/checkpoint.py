"""Checkpoints through orbax, each with a sha256 of our own beside it.

Orbax restores a data file with a flipped bit without a word, and casts a wrong
dtype silently; the hash notices both, and restoring falls back to the newest
checkpoint that is whole. Each field of the state is a folder of its own, and
can be restored alone.

Three things can be wrong with a checkpoint, and each has an error of its own.
It is *damaged* if its hash is wrong or its bytes cannot be decoded. It is of
*another structure* if it is whole but its paths, shapes or dtypes are not those
asked for. And it cannot be *read* if the operating system says so: that is an
OSError, and says nothing about the checkpoint.
"""

import copy
import dataclasses
import errno
import pathlib
import re
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

import gan_jax
from gan_jax.core import os_errors
from gan_jax.core.errors import InputError, enumeration
from gan_jax.devices import hosts
from gan_jax.metrics.direction import lower_is_better
from gan_jax.runs import formats
from gan_jax.runs.fingerprint import part_fingerprints, sha256_of_json
from gan_jax.systems.state import TrainState

_WAITS = (0.2, 1.0)  # seconds before a failed reading is tried again


class Damaged(InputError):
  """A checkpoint whose hash is wrong or whose bytes cannot be decoded."""


class OtherStructure(InputError):
  """A whole checkpoint with other paths, shapes or dtypes than asked for."""


class Restored(NamedTuple):
  """A checkpoint that was read and found whole."""

  state: TrainState  # None where the template was
  progress: dict[str, Any]  # what `save` was given, JSON values
  step: int


def _seal(parts: dict[str, str], progress: dict[str, Any]) -> str:
  return sha256_of_json([parts, progress])


def _fields(state: TrainState) -> dict[str, Any]:
  """The fields that are not None, by name."""
  fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
  return {name: tree for name, tree in fields.items() if tree is not None}


def _folders(state: TrainState) -> dict[str, Any]:
  """The fields without those that orbax refuses: trees of nothing."""
  return {
    name: tree for name, tree in _fields(state).items() if jax.tree.leaves(tree)
  }


def _structure(tree: Any) -> dict[str, str]:
  """The dtype and shape of each leaf by its path, e.g. 'params/w'."""
  return {
    _leaf(path): (f'{leaf.dtype}{list(leaf.shape)}')
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def _structures(state: TrainState) -> dict[str, dict[str, str]]:
  """The structure of each field that is not None."""
  return {name: _structure(tree) for name, tree in _fields(state).items()}


def _structure_hashes(
  structures: Mapping[str, Mapping[str, str]],
) -> dict[str, str]:
  """The hash of each field's structure, as it stands among the parts."""
  return {
    f'{name}.structure': sha256_of_json(structure)
    for name, structure in structures.items()
  }


class _Best:
  """Orbax's policy for one checkpoint that is kept beside the latest."""

  step: int

  def should_preserve(self, checkpoints, *, context) -> list[bool]:
    del context
    return [checkpoint.step == self.step for checkpoint in checkpoints]


def best_step(values: Mapping[int, float], name: str) -> int:
  """The step with the best value, the latest of those.

  Args:
    values: one or more, by step.
    name: what they are of, such as 'validation_fid'.
  """
  sign = 1 if lower_is_better(name) else -1
  return min(values, key=lambda step: (sign * values[step], -step))


class Checkpoints:
  """The checkpoints of one run.

  Args:
    directory: their folder; made when the first one is saved.
    keep: how many of the latest to keep when saving.
    initial: makes the state at step 0, for leaves that older versions had not;
      None: such checkpoints cannot be restored.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    *,
    keep: int = 1,
    initial: Callable[[], TrainState] | None = None,
  ):
    self._directory = directory.absolute()  # orbax wants it so
    self._keep, self._best = keep, _Best()
    self._initial = initial
    self._writer = self._response = None

  def steps(self) -> list[int]:
    """The steps of the committed checkpoints, in order."""
    if not self._directory.is_dir():
      return []
    return sorted(
      int(path.name)
      for path in self._directory.iterdir()
      if path.name.isdigit()
    )

  def path(self, step: int) -> pathlib.Path:
    return self._directory / str(step)

  def save(
    self,
    state: TrainState,
    progress: dict[str, Any],
    best: int | None = None,
  ) -> None:
    """Starts to save; returns when the state may be donated again.

    Where several processes train together, all call this, and the first writes.

    Args:
      state: what to save.
      progress: JSON values to save beside it.
      best: the step of a checkpoint that is kept beside the latest; the first
        process's counts.
    """
    self._best.step = int(hosts.from_first(-1 if best is None else best))
    parts = part_fingerprints(jax.device_get(state))
    parts |= _structure_hashes(_structures(state))
    progress = copy.deepcopy(progress)  # orbax writes it later, by reference
    self.wait()
    if int(state.step) in self.steps():
      raise InputError(
        f'{self.path(int(state.step))} is there already; choose another '
        'folder, or remove it'
      )
    with os_errors.at(self._directory):
      if self._writer is None:
        self._writer = self._open_writer()
      # Without `force`, orbax may skip a save.
      self._response = self._writer.save_checkpointables_async(
        int(state.step),
        _folders(state),
        force=True,
        custom_metadata={
          'progress': progress,
          'parts': parts,
          'sha256': _seal(parts, progress),
          'gan_jax': gan_jax.__version__,
          'format': formats.current(),
        },
      )

  def _open_writer(self) -> ocp.training.Checkpointer:
    policies = ocp.training.preservation_policies
    context = ocp.Context()
    if hosts.several():  # orbax would let each process write a part
      context.array.saving.use_replica_parallel = False
      context.array.saving.array_metadata_store = None
    return ocp.training.Checkpointer(
      self._directory,
      context=context,
      preservation_policy=policies.AnyPreservationPolicy(
        [policies.LatestN(self._keep), self._best]
      ),
      cleanup_tmp_directories=True,
    )

  def wait(self) -> None:
    """Waits until what was saved is committed.

    Raises:
      OSError: it could not be written, e.g. to a full disk.
    """
    response, self._response = self._response, None
    if response is not None:
      with os_errors.at(self._directory):
        response.result()  # also ends orbax's thread and event loop

  def close(self) -> None:
    """Waits as `wait` does, and lets go of orbax's own threads."""
    try:
      self.wait()
    finally:
      writer, self._writer = self._writer, None
      if writer is not None:
        with os_errors.at(self._directory):
          writer.close()

  def restore(self, step: int, template: TrainState) -> Restored:
    """One checkpoint, checked.

    Args:
      step: which.
      template: a state of the right structure, shapes, dtypes and placement
        (values are not read; `jax.ShapeDtypeStruct` with sharding will do).
        A player or `extra` that is None is neither read nor checked.

    Raises:
      Damaged: its hash is wrong, or its bytes cannot be decoded.
      OtherStructure: it is not of the template's structure.
      OSError: it cannot be read, three times in a row.
    """
    path = self.path(step)
    return _patiently(
      path, lambda: _restore(path, step, template, self._initial)
    )

  def restore_latest(
    self, template: TrainState, report: Callable[[str], None]
  ) -> Restored | None:
    """The newest whole checkpoint; None if none was ever saved.

    Args:
      template: as for `restore`.
      report: called with a line for each damaged checkpoint passed over.

    Raises:
      Damaged: there are checkpoints, and all of them are damaged.
      OtherStructure: the newest that is not damaged is of another structure.
      OSError: it cannot be read.
    """
    steps = self.steps()
    for step in reversed(steps):
      try:
        return self.restore(step, template)
      except Damaged as error:
        report(f'warning: {error}; falling back to the one before')
    if steps:
      raise Damaged(
        f'every checkpoint in {self._directory} is damaged; bring a whole one '
        'back, or train anew in another --workdir'
      )
    return None

  def set_aside(self, after: int) -> None:
    """Moves checkpoints later than `after`, the damaged ones, away."""
    for step in self.steps():
      if step > after:
        folder = self._directory.with_name('damaged_checkpoints')
        folder.mkdir(exist_ok=True)
        target = folder / str(step)
        while target.exists():
          target = target.with_name(target.name + '+')
        self.path(step).rename(target)


def _patiently(path: pathlib.Path, read: Callable[[], Restored]) -> Restored:
  """`read()`, tried again where that may help.

  Orbax passes over some errors of the operating system in silence, so that what
  it read is not what is there: no verdict is final before the second time.

  Raises:
    InputError: it was damaged, or of another structure, twice in a row.
    OSError: it could not be read, however long one waited.
  """
  refused = unread = 0
  while True:
    try:
      with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # orbax on shardings it would guess
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


def _restore(
  path: pathlib.Path,
  step: int,
  template: TrainState,
  initial: Callable[[], TrainState] | None,
) -> Restored:
  """Reads and checks a checkpoint once; see `Checkpoints.restore`."""
  metadata, found = _describe(path, template)
  parts, progress = metadata['parts'], metadata['progress']
  if _seal(parts, progress) != metadata['sha256']:
    raise _damaged(path, 'its sha256 is wrong')
  wanted = _structures(template)
  added = set()
  if initial is not None:
    added = _added(wanted, found, metadata['format'])
  if found != _without(wanted, added):
    raise _mismatch(path, wanted, found, metadata)
  if added:
    state = _read_without(path, template, added)
  else:
    read = ocp.load_checkpointables(path, _folders(template))
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
  """The leaves that are not there, since that format had none of them yet."""
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


def _leaf(path: Any) -> str:
  """A leaf of a state by its path, e.g. 'generator/params/w'."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def _read_without(
  path: pathlib.Path, template: TrainState, leaves: Collection[str]
) -> TrainState:
  """The state as it was saved: None where a leaf was not there yet."""
  kept = jax.tree_util.tree_map_with_path(
    lambda at, x: None if _leaf(at) in leaves else x, template
  )
  by_path = {
    _leaf(at): x for at, x in jax.tree_util.tree_leaves_with_path(kept)
  }
  saved = {  # orbax wants the saved tree, not one with holes
    name: jax.tree_util.tree_map_with_path(
      lambda at, _, name=name: by_path[
        '/'.join(filter(None, (name, _leaf(at))))
      ],
      ocp.metadata(path, name).metadata,
    )
    for name in _folders(kept)
  }
  read = {
    '/'.join(filter(None, (name, _leaf(at)))): x
    for name, tree in ocp.load_checkpointables(path, saved).items()
    for at, x in jax.tree_util.tree_leaves_with_path(tree)
  }
  return jax.tree_util.tree_map_with_path(lambda at, _: read[_leaf(at)], kept)


def _filled(
  template: TrainState, state: TrainState, initial: TrainState
) -> TrainState:
  """The state with the initial leaves where it has none."""
  read, new = (
    {_leaf(at): x for at, x in jax.tree_util.tree_leaves_with_path(tree)}
    for tree in (state, initial)
  )
  return jax.tree_util.tree_map_with_path(
    lambda at, _: read.get(_leaf(at), new[_leaf(at)]), template
  )


def _os_error(path: pathlib.Path, error: Exception) -> OSError | None:
  """The error of the operating system behind another; None: the bytes are bad.

  What is missing, or is a folder where a file should be, is damage.
  """
  damage = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
  found = os_errors.behind(error, path)
  if found is not None and found.errno not in damage:
    return found
  try:  # orbax may have raised an error of its own about one
    os_errors.read_through(path)
  except OSError as found:
    return found
  return None


def _describe(
  path: pathlib.Path, template: TrainState
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
  """What was saved beside a checkpoint, and its fields' structures."""
  # Through `step`: the other folders' metadata need not be there.
  metadata = ocp.metadata(path, 'step').custom_metadata
  found = {}
  for name in _fields(template):
    there = (path / name).is_dir()
    found[name] = _structure(ocp.metadata(path, name).metadata) if there else {}
  return {k: metadata[k] for k in ('parts', 'progress', 'sha256')} | {
    'gan_jax': metadata.get('gan_jax', '0.1.0'),  # which wrote neither down
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
  """The error for a checkpoint whose structure is not the one asked for."""
  parts = metadata['parts']
  for name, sha256 in _structure_hashes(found).items():
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
  remedy = 'The config of its run was edited: bring it back'
  if version != gan_jax.__version__:
    remedy = (
      f'It was written by gan_jax {version}, this is {gan_jax.__version__}; '
      'use that version'
    )
  return OtherStructure(
    f'checkpoint {path} is whole, but not of the structure that this config '
    f'has here: {enumeration(lines)}. {remedy}, or choose another --workdir'
  )


def abstract(state: Any, sharding: jax.sharding.Sharding) -> Any:
  """A template for `restore`: shapes and dtypes on the given devices."""
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state
  )


def all_finite(state: TrainState) -> bool:
  """Whether every floating-point number in the state is finite."""
  return all(
    np.isfinite(leaf).all()
    for leaf in jax.tree.leaves(jax.device_get(state))
    if np.issubdtype(leaf.dtype, np.floating)
  )
