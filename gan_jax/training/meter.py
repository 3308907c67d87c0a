"""Mean step metrics and step time."""

import time
from typing import Any

import jax
import numpy as np


class Diverged(RuntimeError):
  """A metric or a weight became NaN or infinite.

  Args:
    message: which, and when.
    step: the step after which it was found.
  """

  def __init__(self, message: str, step: int = 0):
    super().__init__(message)
    self.step = step


class Meter:
  """Mean step metrics since the last report; raises if one is not finite.

  The sums are saved with each checkpoint, so that a resumed run reports the
  same as an uninterrupted one. A step's metrics are read only after the next
  step has been dispatched, so that the device never waits for the host.

  Args:
    saved: the value of `saved` in a checkpoint, or {}.
  """

  def __init__(self, saved: dict[str, Any]):
    self._sums: dict[str, float] = dict(saved.get('sums', {}))
    self._count: int = saved.get('count', 0)
    self._pending: tuple[int, Any] | None = None

  def add(self, step: int, metrics: Any) -> None:
    """Takes the metrics [steps] of the dispatch that ended at `step`."""
    previous, self._pending = self._pending, (step, metrics)
    self._read(previous)

  def flush(self) -> None:
    """Waits for the last metrics.

    Raises:
      Diverged: one of them is not finite.
    """
    previous, self._pending = self._pending, None
    self._read(previous)

  def _read(self, pending: tuple[int, Any] | None) -> None:
    if pending is None:
      return
    step, metrics = pending
    values = {k: np.asarray(v) for k, v in jax.device_get(metrics).items()}
    num_steps = len(next(iter(values.values())))
    for i in range(num_steps):
      bad = [
        name for name, value in values.items() if not np.isfinite(value[i])
      ]
      if bad:  # losses first, as the most telling
        bad.sort(key=lambda name: 'loss' not in name)
        found = ', '.join(f'{name} is {values[name][i]}' for name in bad)
        at = step - num_steps + i + 1
        raise Diverged(f'{found} at step {at}', at)
      for name, value in values.items():
        self._sums[name] = self._sums.get(name, 0.0) + float(value[i])
      self._count += 1

  def saved(self) -> dict[str, Any]:
    return {'sums': self._sums, 'count': self._count}

  @property
  def empty(self) -> bool:
    """Returns whether no step has been added since the last report."""
    return self._count == 0

  def means(self) -> dict[str, float]:
    return {name: total / self._count for name, total in self._sums.items()}

  def reset(self) -> None:
    """Clears the sums, after a report."""
    self._sums, self._count = {}, 0


class Clock:
  """Step time, excluding reports, checkpoints and the first compilation.

  Args:
    epoch_rows: training images per step.
    steps_per_epoch: for `lap`.
  """

  TIMES = ('step_seconds', 'epoch_seconds')  # what a lap returns

  def __init__(self, epoch_rows: int, steps_per_epoch: int):
    self._epoch_rows = epoch_rows
    self._steps_per_epoch = steps_per_epoch
    self._started: float | None = None  # None until the first step is over
    self._begun, self._counted = 0.0, 0  # since then, reports included
    self._steps = self._lap_steps = 0
    self._seconds = self._lap_seconds = 0.0

  def step(self, num: int) -> None:
    """Counts `num` more dispatched steps."""
    if self._started is None:
      self.resume()
      self._begun = self._started
    else:
      self._lap_steps += num
      self._counted += num

  def pause(self) -> None:
    if self._started is not None:
      self._lap_seconds += time.perf_counter() - self._started

  def resume(self) -> None:
    self._started = time.perf_counter()

  def lap(self) -> dict[str, float]:
    """Returns seconds per step and epoch since the last lap; call it paused."""
    seconds = self._lap_seconds / max(1, self._lap_steps)
    self._seconds += self._lap_seconds
    self._steps += self._lap_steps
    self._lap_seconds, self._lap_steps = 0.0, 0
    return {
      'step_seconds': seconds,
      'epoch_seconds': seconds * self._steps_per_epoch,
    }

  def elapsed(self) -> float:
    """Returns the seconds since the first step, with reports and saves."""
    return time.perf_counter() - self._begun if self._counted else 0.0

  def seconds_left(self, num: int) -> float | None:
    """Estimates the time of `num` steps, including reports and checkpoints."""
    if not self._counted:
      return None
    return num * (time.perf_counter() - self._begun) / self._counted

  def images_per_second(self) -> float | None:
    """Returns the mean over all laps; None if no step was timed."""
    self.lap()
    if not self._steps:
      return None
    return self._epoch_rows * self._steps / self._seconds
