"""What a run writes as it goes on: reports, pictures and checkpoints."""

from typing import Any

import jax

from gan_jax.reporting.metrics import MetricsLog
from gan_jax.training import hosts
from gan_jax.training.checkpoint import Checkpoints
from gan_jax.training.evaluator import Evaluator
from gan_jax.training.fingerprint import fingerprints
from gan_jax.training.meter import Meter
from gan_jax.training.state import TrainState


class Recorder:
  """Writes reports and checkpoints of one run.

  Args:
    evaluator: of its program.
    log: of its directory.
    checkpoints: likewise.
    best_metric: the value in a report by which the best checkpoint is kept.
  """

  def __init__(
    self,
    evaluator: Evaluator,
    log: MetricsLog,
    checkpoints: Checkpoints,
    best_metric: str | None,
  ):
    self._evaluator, self._log = evaluator, log
    self._checkpoints, self._best_metric = checkpoints, best_metric

  def record(
    self,
    step: int,
    state: TrainState,
    meter: Meter,
    *,
    times: dict[str, float] | None,
    save: bool,
  ) -> dict[str, Any]:
    """Writes what is due at a step.

    Args:
      step: that of the state.
      state: it may be donated again afterwards.
      meter: of the steps; a report starts it anew.
      times: for a report; None if none is due.
      save: whether to save.

    Returns:
      The report's line, or {}.
    """
    line = {}
    if times is not None:
      own = hosts.own_copy(state)
      line = self._evaluator.line(step, own, meter.means()) | times
      self._log.write(line)
      for name, grid in self._evaluator.grids(own).items():
        self._log.write_sample(name, step, grid)
    if save:
      # On disk before the checkpoint can be: every checkpoint has its line.
      sha256 = fingerprints(jax.device_get(state))['state']
      self._log.write({'step': step, 'state_sha256': sha256})
      best = line.get(self._best_metric)
      self._checkpoints.save(state, meter.saved(), best)
    return line
