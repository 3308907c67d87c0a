"""SIGTERM and Ctrl-C as requests to save and stop."""

import contextlib
import signal


class Stopped(Exception):
  """A signal asked the run to stop, and its state is saved."""

  def __init__(self, signum: int, step: int):
    self.signum = signum
    name = signal.Signals(signum).name
    super().__init__(
      f'stopped by {name} at step {step}, which is saved; the same command '
      'goes on from there'
    )


class StopRequest:
  """Inside it, the first SIGTERM or Ctrl-C is noted; a second one acts."""

  received: int | None = None

  def __enter__(self):
    self._old = {}
    with contextlib.suppress(ValueError):  # only the main thread may
      for signum in (signal.SIGTERM, signal.SIGINT):
        self._old[signum] = signal.signal(signum, self._receive)
    return self

  def _receive(self, signum, _):
    self.received = signum
    self.__exit__()

  def __exit__(self, *_):
    for signum, handler in self._old.items():
      signal.signal(signum, handler)
