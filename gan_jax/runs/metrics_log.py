"""metrics.jsonl, and TensorBoard events made from it."""

import json
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from gan_jax.core import os_errors
from gan_jax.core.errors import InputError
from gan_jax.core.files import write_text
from gan_jax.data.image_files import read_image
from gan_jax.runs import grids


def read_lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
  """The lines of a metrics.jsonl; a last one that a kill cut short is left out.

  Raises:
    InputError: another line is not what this project wrote.
  """
  if not path.is_file():
    return
  lines = path.read_bytes().splitlines()
  for number, text in enumerate(lines, start=1):
    try:
      line = json.loads(text)
      if not isinstance(line['step'], int):
        raise TypeError
    except (ValueError, TypeError, KeyError):
      if number == len(lines):
        return
      raise InputError(
        f'{path} is damaged in line {number}; mend or remove that line'
      ) from None
    yield line


class MetricsLog:
  """Appends to DIR/metrics.jsonl and mirrors it as TensorBoard events.

  Opening it drops everything after step `start`, so that each step stands
  once: later lines, later samples, and the events, which are made anew from
  what is left.

  Args:
    directory: the run's.
    start: the step from which the run goes on.
    tensorboard: whether to mirror.
  """

  def __init__(self, directory: pathlib.Path, start: int, tensorboard: bool):
    self._path = path = directory / 'metrics.jsonl'
    lines = [line for line in read_lines(path) if line['step'] <= start]
    write_text(path, ''.join(json.dumps(line) + '\n' for line in lines))
    self._samples = directory / 'samples'
    for sample in self._sample_files():
      if _step_of(sample) > start:
        sample.unlink()
    self._file = path.open('a')
    events = directory / 'tensorboard'
    self._events = None
    if tensorboard:
      # Slow to import, where PyTorch is installed above all.
      from gan_jax.runs.events import EventFile

      shutil.rmtree(events, ignore_errors=True)
      self._events = EventFile(events)
    for line in lines:
      self._mirror(line)
    for sample in self._sample_files():
      self._mirror_file(sample)

  def _sample_files(self) -> list[pathlib.Path]:
    paths = sorted(self._samples.glob('*.png'))
    return [p for p in paths if re.fullmatch(r'.+_\d{8}', p.stem)]

  def _mirror(self, line: dict[str, Any]) -> None:
    if self._events is not None:
      for name, value in line.items():
        if isinstance(value, float):
          self._events.add_scalar(name, value, line['step'])
      self._events.flush()

  def _mirror_file(self, sample: pathlib.Path) -> None:
    """Mirrors a sample of an earlier start; skips a damaged one."""
    if self._events is not None:
      try:
        self._mirror_sample(sample, read_image(sample, 3))
      except InputError as error:
        print(f'note: not in TensorBoard: {error}', file=sys.stderr)

  def _mirror_sample(self, path: pathlib.Path, image: np.ndarray) -> None:
    if self._events is not None:
      name = path.stem.rpartition('_')[0]
      self._events.add_image(name, image, _step_of(path))
      self._events.flush()

  def write(self, line: dict[str, Any]) -> None:
    """Adds a line; on disk when this returns."""
    with os_errors.at(self._path):
      self._file.write(json.dumps(line) + '\n')
      self._file.flush()
      os.fsync(self._file.fileno())
    self._mirror(line)

  def write_sample(self, name: str, step: int, image: np.ndarray) -> None:
    """Saves uint8 [H, W, 3] as samples/NAME_STEP.png."""
    path = self._samples / f'{name}_{step:08d}.png'
    grids.save_png(path, image)
    self._mirror_sample(path, image)

  def close(self) -> None:
    """Also after a failed write, whose line it tries to write again."""
    try:
      with os_errors.at(self._path):
        self._file.close()
    finally:
      if self._events is not None:
        self._events.close()


def _step_of(sample: pathlib.Path) -> int:
  return int(sample.stem.rpartition('_')[2])
