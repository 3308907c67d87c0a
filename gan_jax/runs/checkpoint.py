"""Checkpoints through orbax, each with a sha256 of our own beside it.

Orbax restores a data file with a flipped bit without a word, and casts a wrong
dtype silently; the hash notices both, and restoring falls back to the newest
checkpoint that is whole. Each field of the state is a folder of its own, and
can be restored alone.
"""

import copy
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

import gan_jax
from gan_jax.core import os_errors
from gan_jax.core.errors import InputError
from gan_jax.devices import hosts
from gan_jax.metrics.direction import lower_is_better
from gan_jax.runs import formats
from gan_jax.runs.fingerprint import part_fingerprints
from gan_jax.runs.stored_state import (
  Damaged,
  Restored,
  folders,
  patiently,
  read_checkpoint,
  seal,
  structure_hashes,
  structures,
)
from gan_jax.systems.state import TrainState


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
    parts |= structure_hashes(structures(state))
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
        folders(state),
        force=True,
        custom_metadata={
          'progress': progress,
          'parts': parts,
          'sha256': seal(parts, progress),
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
    return patiently(
      path, lambda: read_checkpoint(path, step, template, self._initial)
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


def abstract(state: Any, sharding: jax.sharding.Sharding) -> Any:
  """A template for `restore`: shapes and dtypes on the given devices."""
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state
  )


def all_finite(state: TrainState) -> bool:
  """Tells whether every floating-point number in the state is finite."""
  return all(
    np.isfinite(leaf).all()
    for leaf in jax.tree.leaves(jax.device_get(state))
    if np.issubdtype(leaf.dtype, np.floating)
  )
