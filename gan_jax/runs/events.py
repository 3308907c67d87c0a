"""TensorBoard's event files."""

import contextlib
import pathlib
import shutil
import sys
import time
from collections.abc import Iterator

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary

from gan_jax.core import os_errors
from gan_jax.core.errors import InputError
from gan_jax.data.image_files import read_image
from gan_jax.runs.metrics_log import Write, numbers, read_lines, read_samples


@contextlib.contextmanager
def write_tensorboard(directory: pathlib.Path, start: int) -> Iterator[Write]:
  """Mirrors a run's reports in DIR/tensorboard; a `metrics_log.Writer`.

  The events are written anew from the run's files, which hold nothing after
  step `start`.
  """
  del start
  folder = directory / 'tensorboard'
  shutil.rmtree(folder, ignore_errors=True)
  events = EventFile(folder)

  def write(step, values, pictures):
    for name, value in values.items():
      events.add_scalar(name, value, step)
    for name, picture in pictures.items():
      events.add_image(name, picture, step)
    events.flush()

  with contextlib.closing(events):
    for line in read_lines(directory / 'metrics.jsonl'):
      write(line['step'], numbers(line), {})
    for step, name, path in read_samples(directory):
      try:
        write(step, {}, {name: read_image(path, 3)})
      except InputError as error:
        print(f'note: not in TensorBoard: {error}', file=sys.stderr)
    yield write


class EventFile:
  """A new event file in a folder, with synchronous writes.

  tensorboardX's SummaryWriter writes in a thread. A full disk ends the thread,
  and training then blocks forever on its full queue.

  Args:
    folder: created if it does not exist.
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
