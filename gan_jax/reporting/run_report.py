"""The report of a run directory, and of several side by side."""

import os
import pathlib
import sys
import time
from collections.abc import Sequence

from gan_jax import config as cfg
from gan_jax.core.errors import InputError
from gan_jax.reporting import insights, page
from gan_jax.reporting.history import read_history
from gan_jax.runs import restore
from gan_jax.runs.directory import RunDirectory

REPORT = 'report.html'  # in the run directory
_FIRST_SECONDS = 60.0


def read_run(directory: RunDirectory) -> page.Run:
  """A run's files, as reports want them.

  Raises:
    InputError: this is no run directory, its files are damaged, or it has no
      report yet.
  """
  _, config, _, system = restore.open_system(directory.path)
  history = read_history(directory)
  return page.Run(
    name=directory.path.resolve().name,
    path=directory.path,
    config=dict(cfg.flatten(config)),
    data=directory.read_data(),
    sessions=directory.sessions(),
    reports=history.reports,
    hashes=history.hashes,
    num_hashes=history.num_hashes,
    seconds=history.seconds,
    result=directory.read_result() if directory.result.exists() else None,
    panels=system.panels,
    d_may_win=system.d_may_win,
    divergence=history.divergence,
  )


def write_report(
  workdir: str | os.PathLike,
  output: pathlib.Path,
  *,
  look: bool = True,
  data_dir: str | None = None,
) -> None:
  """Writes the report of a run directory.

  Args:
    workdir: the run directory.
    output: an HTML file.
    look: whether to look at its newest checkpoint and its data. If they
      cannot be had, the report says why, and so does a line on stderr.
    data_dir: where the data are now, if not where the config says.

  Raises:
    InputError: as `read_run`.
  """
  directory = RunDirectory(workdir)
  contents = read_run(directory)
  if look:
    try:
      run = restore.load_run(workdir)
      insights.write_insights(run, restore.load_run_data(run, data_dir))
    except InputError as error:
      contents = contents._replace(missing=str(error))
      print(f'note: no closer look: {error}', file=sys.stderr)
  page.write_report(contents, output)


class LiveReport:
  """Writes DIR/report.html anew while a run goes on, from its files alone.

  At first after a minute, and then as often as it takes a fiftieth of the time
  at most: short runs and large pages do not wait for it.
  """

  def __init__(self, directory: RunDirectory):
    self._directory = directory
    self._due = time.monotonic() + _FIRST_SECONDS

  def update(self) -> None:
    """Writes it if it is time to; training goes on if that fails."""
    started = time.monotonic()
    if started < self._due:
      return
    output = self._directory.path / REPORT
    try:
      page.write_report(read_run(self._directory), output)
    except (InputError, OSError) as error:
      print(f'note: no report: {error}', file=sys.stderr)
    took = time.monotonic() - started
    self._due = time.monotonic() + max(_FIRST_SECONDS, 50 * took)

  def finish(self) -> None:
    """Writes it once more if there is one already."""
    if (self._directory.path / REPORT).exists():
      self._due = 0.0
      self.update()


def write_comparison(
  workdirs: Sequence[str | os.PathLike], output: pathlib.Path
) -> None:
  """Writes one page of several run directories; those of one name by path.

  Raises:
    InputError: as `read_run`, or a directory is named twice.
  """
  directories = [RunDirectory(workdir) for workdir in workdirs]
  if len({d.path.resolve() for d in directories}) < len(directories):
    raise InputError('a run directory is named twice; name each once')
  runs = [read_run(directory) for directory in directories]
  if len({run.name for run in runs}) < len(runs):
    runs = [run._replace(name=str(run.path)) for run in runs]
  page.write_comparison(runs, output)
