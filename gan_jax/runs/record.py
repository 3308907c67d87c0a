"""Record of a run: its starts, reports and checkpoints."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gan_jax.core.errors import enumeration


class Record(NamedTuple):
  """A run's lines in metrics.jsonl and environment.json, read once."""

  lines: Sequence[dict[str, Any]]  # of metrics.jsonl
  sessions: Sequence[dict[str, Any]]  # of environment.json, one per start

  @property
  def hashes(self) -> dict[int, str]:
    """The state's sha256 at each checkpoint ever started, by step."""
    return {
      line['step']: line['state_sha256']
      for line in self.lines
      if 'state_sha256' in line
    }

  @property
  def reports(self) -> dict[int, dict[str, Any]]:
    """The lines of the reports, by step."""
    return {line['step']: line for line in self.lines if 'epoch' in line}

  @property
  def divergence(self) -> str | None:
    """The metric or weight that was not finite, if that ended the run."""
    found = [line['diverged'] for line in self.lines if 'diverged' in line]
    return found[-1] if found else None

  def lost(self, save_every: int, until: int) -> list[tuple[int, str]]:
    """Lists the step and kind, report or checkpoint, of each missing line.

    Reports of version 0.1.0 are not counted as missing, since its sessions do
    not record how often they reported.

    Args:
      save_every: steps between checkpoints.
      until: the number of completed steps.
    """
    due: set[int] = set()
    for session in self.sessions:
      start, every = session['from_step'], session.get('report_every_steps')
      due = {step for step in due if step <= start}
      if every is not None:
        due |= set(range(start // every * every + every, until + 1, every))
    saves = {*range(save_every, until + 1, save_every), until} - {0}
    lost = [(step, 'report') for step in due - self.reports.keys()]
    lost += [(step, 'checkpoint') for step in saves - self.hashes.keys()]
    return sorted(lost)


def told(lost: Sequence[tuple[int, str]]) -> str:
  """Formats missing lines for a message."""
  return enumeration([f'the {what} of step {step}' for step, what in lost])
