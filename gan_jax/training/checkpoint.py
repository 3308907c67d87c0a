"""Checkpoints through orbax, each with a sha256 of our own beside it.

Orbax restores a data file with a flipped bit without a word, and casts a wrong
dtype silently; the hash notices both, and restoring falls back to the newest
checkpoint that is whole. Each field of the state is a folder of its own, and
can be restored alone.
"""

import copy
import dataclasses
import pathlib
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from gan_jax.errors import InputError
from gan_jax.evaluation.quality import lower_is_better
from gan_jax.training import hosts
from gan_jax.training.fingerprint import part_fingerprints, sha256_of_json
from gan_jax.training.state import TrainState

_VALUE = 'value'  # what orbax ranks a checkpoint by


class Restored(NamedTuple):
  """A checkpoint that was read and found whole."""

  state: TrainState  # None where the template was
  progress: dict[str, Any]  # what `save` was given, JSON values
  step: int


def _seal(parts: dict[str, str], progress: dict[str, Any]) -> str:
  return sha256_of_json([parts, progress])


def _folders(state: TrainState) -> dict[str, Any]:
  """The fields by name, without those that orbax refuses: trees of nothing."""
  fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
  return {name: tree for name, tree in fields.items() if jax.tree.leaves(tree)}


class Checkpoints:
  """The checkpoints of one run.

  Args:
    directory: their folder; made when the first one is saved.
    keep: how many of the latest to keep when saving.
    best: the name of a value: the checkpoint with the best one is kept too.
  """

  def __init__(
    self, directory: pathlib.Path, *, keep: int = 1, best: str | None = None
  ):
    self._directory = directory.absolute()  # orbax wants it so
    self._keep, self._best = keep, best
    self._writer = None

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
    value: float | None = None,
  ) -> None:
    """Starts to save; returns when the state may be donated again.

    Where several processes train together, all call this, and the first writes.

    Args:
      state: what to save.
      progress: JSON values to save beside it.
      value: what `best` names, if it was computed for this state; the first
        process's counts.
    """
    if self._best is not None:
      value = hosts.from_first(np.nan if value is None else value)
      value = None if np.isnan(value) else value
    if self._writer is None:
      context = ocp.Context()
      if hosts.several():  # orbax would let each process write a part
        context.array.saving.use_replica_parallel = False
        context.array.saving.array_metadata_store = None
      self._writer = ocp.training.Checkpointer(
        self._directory,
        context=context,
        preservation_policy=self._policy(),
        cleanup_tmp_directories=True,
      )
    progress = copy.deepcopy(progress)  # orbax writes it later, by reference
    parts = part_fingerprints(jax.device_get(state))
    # Without `force`, orbax skips a save while the last one is being written.
    self._writer.save_checkpointables_async(
      int(state.step),
      _folders(state),
      force=True,
      metrics=None if value is None else {_VALUE: value},
      custom_metadata={
        'progress': progress,
        'parts': parts,
        'sha256': _seal(parts, progress),
      },
    )

  def _policy(self):
    """Which checkpoints orbax keeps."""
    policies = ocp.training.preservation_policies
    latest = policies.LatestN(self._keep)
    if self._best is None:
      return latest
    best = policies.BestN(
      n=1,
      get_metric_fn=lambda metrics: metrics[_VALUE],
      reverse=lower_is_better(self._best),  # it keeps the last of the order
      keep_checkpoints_without_metrics=False,
    )
    return policies.AnyPreservationPolicy([latest, best])

  def close(self) -> None:
    """Waits until what was saved is committed."""
    if self._writer is not None:
      self._writer.close()
      self._writer = None

  def restore(self, step: int, template: TrainState) -> Restored:
    """One checkpoint, checked.

    Args:
      step: which.
      template: a state of the right structure, shapes, dtypes and placement
        (values are not read; `jax.ShapeDtypeStruct` with sharding will do).
        A player or `extra` that is None is neither read nor checked.

    Raises:
      InputError: it is damaged or of another structure; the message says how.
    """
    path = self.path(step)
    try:
      with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # orbax on shardings it would guess
        # Through `step`: the other folders' metadata need not be there.
        metadata = ocp.metadata(path, 'step').custom_metadata
        read = ocp.load_checkpointables(path, _folders(template))
      progress, parts = metadata['progress'], metadata['parts']
      whole = _seal(parts, progress) == metadata['sha256']
    except Exception as error:  # damage can raise nearly anything
      reason = str(error).strip().split('\n')[0] or type(error).__name__
      raise InputError(f'checkpoint {path} cannot be read: {reason}') from error
    state = template.replace(**read)
    found = part_fingerprints(jax.device_get(state))
    if not (whole and found.items() <= parts.items()):
      raise InputError(f'checkpoint {path} is damaged: its sha256 is wrong')
    if int(state.step) != step:
      raise InputError(f'checkpoint {path} holds step {int(state.step)}')
    return Restored(state, progress, step)

  def restore_latest(
    self, template: TrainState, report: Callable[[str], None]
  ) -> Restored | None:
    """The newest whole checkpoint; None if none was ever saved.

    Args:
      template: as for `restore`.
      report: called with a line for each damaged checkpoint passed over.

    Raises:
      InputError: there are checkpoints, and all of them are damaged.
    """
    steps = self.steps()
    for step in reversed(steps):
      try:
        return self.restore(step, template)
      except InputError as error:
        report(f'warning: {error}; falling back to the one before')
    if steps:
      raise InputError(
        f'every checkpoint in {self._directory} is damaged; move the folder '
        'away to start over'
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
