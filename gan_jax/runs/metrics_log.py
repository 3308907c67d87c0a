"""A run's metrics.jsonl and samples/, and the writers that mirror them."""

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gan_jax.core import os_errors
from gan_jax.core.errors import InputError
from gan_jax.core.files import write_text
from gan_jax.runs import grids

# Called for each report: the step, its numbers by name, and its pictures by
# name, uint8 [H, W, 3].
Write = Callable[[int, Mapping[str, float], Mapping[str, np.ndarray]], None]
# A context manager of the run directory and the step from which the run goes on
# that yields what is called. Steps after it were dropped, and come again.
Writer = Callable[[pathlib.Path, int], contextlib.AbstractContextManager[Write]]


def read_lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
  """The lines of a metrics.jsonl; a last one that a kill cut short is left out.

  Raises:
    InputError: another line is not what this project wrote.
  """
  if not path.is_file():
    return
  with path.open('rb') as file:
    for number, text in enumerate(file, start=1):
      try:
        line = json.loads(text.decode())  # of bytes, it is slower
        if not isinstance(line['step'], int):
          raise TypeError
      except (ValueError, TypeError, KeyError):
        if next(file, None) is None:
          return
        raise InputError(
          f'{path} is damaged in line {number}; mend or remove that line'
        ) from None
      yield line


class MetricsLog:
  """Appends reports to DIR/metrics.jsonl and DIR/samples/, and to writers.

  Opening it drops later lines and samples than those of step `start`, so that
  each step stands once.

  Args:
    directory: the run's.
    start: the step from which the run goes on.
    writers: what else is told of each report, once it is on disk here.
  """

  def __init__(
    self, directory: pathlib.Path, start: int, writers: Sequence[Writer] = ()
  ):
    self._path = path = directory / 'metrics.jsonl'
    lines = [line for line in read_lines(path) if line['step'] <= start]
    write_text(path, ''.join(json.dumps(line) + '\n' for line in lines))
    self._directory = directory
    for step, _, sample in read_samples(directory):
      if step > start:
        sample.unlink()
    with contextlib.ExitStack() as stack:
      self._writes = [
        stack.enter_context(writer(directory, start)) for writer in writers
      ]
      self._writers = stack.pop_all()
    self._file = path.open('a')

  def write(self, line: dict[str, Any]) -> None:
    """Adds a line; on disk when this returns."""
    with os_errors.at(self._path):
      self._file.write(json.dumps(line) + '\n')
      self._file.flush()
      os.fsync(self._file.fileno())

  def write_report(
    self, line: dict[str, Any], pictures: Mapping[str, np.ndarray]
  ) -> None:
    """Adds a report's line and its pictures, uint8 [H, W, 3] by name."""
    self.write(line)
    for name, picture in pictures.items():
      self.write_sample(name, line['step'], picture)
    for write in self._writes:
      write(line['step'], numbers(line), pictures)

  def write_sample(self, name: str, step: int, image: np.ndarray) -> None:
    """Saves uint8 [H, W, 3] as samples/NAME_STEP.png."""
    grids.save_png(
      self._directory / 'samples' / f'{name}_{step:08d}.png', image
    )

  def close(self) -> None:
    """Closes the writers and the file.

    After a failed write this tries to write the line again.
    """
    with self._writers, os_errors.at(self._path):
      self._file.close()


def numbers(line: Mapping[str, Any]) -> dict[str, float]:
  """Returns the values of a line of metrics.jsonl that are metrics."""
  return {k: value for k, value in line.items() if isinstance(value, float)}


def read_samples(
  directory: pathlib.Path,
) -> list[tuple[int, str, pathlib.Path]]:
  """Finds a run's sample grids: step, name and path of each."""
  found = []
  for path in sorted((directory / 'samples').glob('*.png')):
    if match := re.fullmatch(r'(.+)_(\d{8})', path.stem):
      found.append((int(match[2]), match[1], path))
  return found
