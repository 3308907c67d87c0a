"""Writer of a run's reports, pictures and checkpoints."""

import math
from typing import Any

import jax

from gan_jax.devices import hosts
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.runs.checkpoint import Checkpoints, best_step
from gan_jax.runs.fingerprint import fingerprints
from gan_jax.runs.metrics_log import MetricsLog
from gan_jax.systems.state import TrainState
from gan_jax.training.meter import Diverged, Meter
from gan_jax.training.signals import Interrupted, StopRequest


class Recorder:
  """Writes reports and checkpoints of one run.

  Args:
    evaluator: of its program.
    log: of its directory.
    checkpoints: of its directory.
    best_metric: the value in a report by which the best checkpoint is kept.
    values: its values in the reports that are written already, by step.
    request: what stops the run.
  """

  def __init__(
    self,
    evaluator: Evaluator,
    log: MetricsLog,
    checkpoints: Checkpoints,
    best_metric: str | None,
    values: dict[int, float],
    request: StopRequest,
  ):
    self._evaluator, self._log, self._request = evaluator, log, request
    self._checkpoints, self._best_metric = checkpoints, best_metric
    self._values = values

  def report(
    self,
    step: int,
    state: TrainState,
    meter: Meter,
    times: dict[str, float],
  ) -> dict[str, Any]:
    """Writes a report of the steps that the meter has seen.

    Args:
      step: that of the state.
      state: what is evaluated.
      meter: of the steps; it starts anew.
      times: how long they took.

    Returns:
      The report's line. {} if a stop is requested: then the meter is as it was,
      and what is saved of it makes the next start write the report.
    """
    try:
      with self._request.interruptible():
        own = hosts.own_copy(state)
        line = self._evaluator.line(step, own, meter.means()) | times
        grids = self._evaluator.grids(own)
    except Interrupted:
      return {}
    self._log.write_report(line, grids)
    value = line.get(self._best_metric)
    if value is not None and math.isfinite(value):
      self._values[step] = value
    meter.reset()
    return line

  def write_hash(self, step: int, state: TrainState) -> None:
    """Writes the line by which `verify` knows a checkpoint."""
    sha256 = fingerprints(jax.device_get(state))['state']
    self._log.write({'step': step, 'state_sha256': sha256})

  def write_divergence(self, error: Diverged) -> None:
    """Writes the line by which a report knows that the run has diverged.

    It is after the last checkpoint, so that a run that goes on drops it.
    """
    self._log.write({'step': error.step, 'diverged': str(error)})

  def save(self, step: int, state: TrainState, meter: Meter) -> None:
    """Saves a state, which may be donated again afterwards."""
    # The one before is committed before this one's line is written, and this
    # one's line before it is committed: so two lines prove a checkpoint.
    self._checkpoints.wait()
    self.write_hash(step, state)
    saved = [*self._checkpoints.steps(), step]
    values = {s: self._values[s] for s in saved if s in self._values}
    best = best_step(values, self._best_metric) if values else None
    self._checkpoints.save(state, meter.saved(), best)
