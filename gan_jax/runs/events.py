"""TensorBoard's event files."""

import pathlib
import time

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

from gan_jax.core import os_errors


class EventFile:
  """A new event file in a folder; each event is written when it comes.

  tensorboardX's own SummaryWriter leaves that to a thread. A full disk ends the
  thread, and the training that fills its queue then waits for ever.

  Args:
    folder: made if it does not exist.
  """

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    with os_errors.at(folder):
      folder.mkdir(parents=True, exist_ok=True)
      self._writer = EventsWriter(str(folder / 'events'))

  def add_scalar(self, name: str, value: float, step: int) -> None:
    self._add(summary.scalar(name, value), step)

  def add_image(self, name: str, image: np.ndarray, step: int) -> None:
    """Adds a uint8 [H, W, 3] image."""
    self._add(summary.image(name, image, dataformats='HWC'), step)

  def _add(self, found: Summary, step: int) -> None:
    event = Event(wall_time=time.time(), step=step, summary=found)
    with os_errors.at(self._folder):
      self._writer.write_event(event)

  def flush(self) -> None:
    with os_errors.at(self._folder):
      self._writer.flush()

  def close(self) -> None:
    with os_errors.at(self._folder):
      self._writer.close()
