"""Checkpoints, written by orbax and verified by a sha256 of the state.

Orbax silently restores a data file with a flipped bit, and silently casts a
wrong dtype. The hash detects both, and restoring falls back to the newest
intact checkpoint. Each field of the state has its own folder, and can be
restored alone.
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
  """Orbax preservation policy that keeps the best checkpoint."""

  step: int

  def should_preserve(self, checkpoints, *, context) -> list[bool]:
    del context
    return [checkpoint.step == self.step for checkpoint in checkpoints]


def best_step(values: Mapping[int, float], name: str) -> int:
  """Returns the step with the best value, the latest one if several tie.

  Args:
    values: the metric's values by step; not empty.
    name: the metric's name, such as 'validation_fid'.
  """
  sign = 1 if lower_is_better(name) else -1
  return min(values, key=lambda step: (sign * values[step], -step))


class Checkpoints:
  """Checkpoints of one run.

  Args:
    directory: their folder, created by the first save.
    keep: number of recent checkpoints to keep when saving.
    initial: returns the state at step 0, for leaves that older versions lack;
      None: checkpoints without such leaves cannot be restored.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    *,
    keep: int = 1,
    initial: Callable[[], TrainState] | None = None,
  ):
    self._directory = directory.absolute()  # orbax requires it
    self._keep, self._best = keep, _Best()
    self._initial = initial
    self._writer = self._response = None

  def steps(self) -> list[int]:
    """Lists the steps of the committed checkpoints, in order."""
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
    """Starts an asynchronous save; returns when the state may be donated.

    With several processes, all call this, and the first one writes.

    Args:
      state: the state to save.
      progress: JSON values to save with it.
      best: the step of the best checkpoint, to be kept in addition to recent
        ones; the first process's value is used.
    """
    self._best.step = int(hosts.from_first(-1 if best is None else best))
    parts = part_fingerprints(jax.device_get(state))
    parts |= structure_hashes(structures(state))
    progress = copy.deepcopy(progress)  # orbax writes it later, by reference
    self.wait()
    if int(state.step) in self.steps():
      raise InputError(
        f'{self.path(int(state.step))} already exists; choose another folder, '
        'or remove it'
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
    if hosts.several():  # by default each process would write a part
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
    """Waits until the last save is committed.

    Raises:
      OSError: it could not be written, e.g. to a full disk.
    """
    response, self._response = self._response, None
    if response is not None:
      with os_errors.at(self._directory):
        response.result()  # also ends orbax's thread and event loop

  def close(self) -> None:
    """Waits like `wait`, and ends orbax's threads."""
    try:
      self.wait()
    finally:
      writer, self._writer = self._writer, None
      if writer is not None:
        with os_errors.at(self._directory):
          writer.close()

  def restore(self, step: int, template: TrainState) -> Restored:
    """Restores and verifies one checkpoint.

    Args:
      step: the checkpoint's step.
      template: a state with the expected structure, shapes, dtypes and
        placement, such as `jax.ShapeDtypeStruct`s with sharding. A player or
        `extra` that is None is neither read nor checked.

    Raises:
      Damaged: its hash is wrong, or its bytes cannot be decoded.
      OtherStructure: its structure differs from the template's.
      OSError: reading it failed three times in a row.
    """
    path = self.path(step)
    return patiently(
      path, lambda: read_checkpoint(path, step, template, self._initial)
    )

  def restore_latest(
    self, template: TrainState, report: Callable[[str], None]
  ) -> Restored | None:
    """Restores the newest intact checkpoint; None if there are none.

    Args:
      template: see `restore`.
      report: called with a message for each damaged checkpoint it skips.

    Raises:
      Damaged: there are checkpoints, and all of them are damaged.
      OtherStructure: the newest undamaged one has another structure.
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
        f'every checkpoint in {self._directory} is damaged; restore an intact '
        'one from a backup, or start again in another --workdir'
      )
    return None

  def set_aside(self, after: int) -> None:
    """Moves the checkpoints after step `after`, which are damaged, away."""
    for step in self.steps():
      if step > after:
        folder = self._directory.with_name('damaged_checkpoints')
        folder.mkdir(exist_ok=True)
        target = folder / str(step)
        while target.exists():
          target = target.with_name(target.name + '+')
        self.path(step).rename(target)


def abstract(state: Any, sharding: jax.sharding.Sharding) -> Any:
  """Returns a template for `restore`: shapes and dtypes with a sharding."""
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
