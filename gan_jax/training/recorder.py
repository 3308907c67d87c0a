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
    evaluator: the evaluator of the run's program.
    log: its metrics log.
    checkpoints: its checkpoints.
    best_metric: name of the reported value that selects the best checkpoint.
    values: that metric in the reports written so far, by step.
    request: the request to stop the run.
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
    """Writes a report on the steps since the last one.

    Args:
      step: the step of the state.
      state: the state to evaluate.
      meter: the metrics of these steps; it is reset.
      times: the step times.

    Returns:
      The report's line. {} if a stop is requested: then the meter keeps its
      sums, which are saved, and the next start writes the report.
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
    """Writes the line with the state's hash that `verify` compares."""
    sha256 = fingerprints(jax.device_get(state))['state']
    self._log.write({'step': step, 'state_sha256': sha256})

  def write_divergence(self, error: Diverged) -> None:
    """Writes the line by which a report knows that the run has diverged.

    It is after the last checkpoint, so that a run that goes on drops it.
    """
    self._log.write({'step': error.step, 'diverged': str(error)})

  def save(self, step: int, state: TrainState, meter: Meter) -> None:
    """Saves a state; its buffers may be donated afterwards."""
    # The previous checkpoint is committed before this one's line is written,
    # and the line before this checkpoint is committed. So two lines in the log
    # prove that there was a checkpoint.
    self._checkpoints.wait()
    self.write_hash(step, state)
    saved = [*self._checkpoints.steps(), step]
    values = {s: self._values[s] for s in saved if s in self._values}
    best = best_step(values, self._best_metric) if values else None
    self._checkpoints.save(state, meter.saved(), best)
