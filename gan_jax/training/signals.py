"""SIGTERM and Ctrl-C as requests to save and stop."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from gan_jax.devices import hosts


class Stopped(Exception):
  """The run was stopped by a signal, and its state is saved."""

  def __init__(self, signum: int, step: int):
    self.signum = signum
    name = signal.Signals(signum).name
    super().__init__(
      f'stopped by {name} at step {step}, which is saved; run the same command '
      'again to resume'
    )


class Interrupted(BaseException):
  """Work was abandoned because a stop was requested.

  Like KeyboardInterrupt it is no Exception, so that nothing catches it as a
  failure.
  """


class StopRequest:
  """Context manager that turns SIGTERM and Ctrl-C into a request to stop.

  The first signal is recorded and acknowledged at once. A second one ends the
  process without saving.
  """

  received: int | None = None

  def __init__(self):
    self._handlers = {}
    self._interruptible = False
    self._saved_step: int | None = None  # while there is nothing to save

  def __enter__(self):
    if threading.current_thread() is not threading.main_thread():
      return self  # no other thread can have handlers
    for signum in (signal.SIGTERM, signal.SIGINT):
      self._handlers[signum] = signal.signal(signum, self._receive)
    # While a program is compiled or runs, the interpreter calls no handler. So
    # a thread receives the signal's number through a pipe.
    self._source, self._sink = os.pipe()
    os.set_blocking(self._sink, False)
    self._old_sink = signal.set_wakeup_fd(self._sink, warn_on_full_buffer=False)
    self._speaker = threading.Thread(target=self._speak, daemon=True)
    self._speaker.start()
    return self

  def __exit__(self, *_):
    if not self._handlers:
      return
    for signum, handler in self._handlers.items():
      signal.signal(signum, handler)
    signal.set_wakeup_fd(self._old_sink)
    os.close(self._sink)
    self._speaker.join()
    os.close(self._source)

  @contextlib.contextmanager
  def interruptible(self) -> Iterator[None]:
    """Abandons its body when a stop is requested, now or before.

    Raises:
      Interrupted: a stop is requested.
    """
    self._interruptible = True
    try:
      if self.received is not None:
        raise Interrupted
      yield
    finally:
      self._interruptible = False

  @contextlib.contextmanager
  def nothing_to_save(self, step: int) -> Iterator[None]:
    """Lets SIGTERM end the process at once, as its body has nothing to save.

    With several processes the signal is recorded as usual, because the others
    would wait for this one.

    Args:
      step: the number of steps done and saved.
    """
    self._saved_step = None if hosts.several() else step
    try:
      yield
    finally:
      self._saved_step = None

  def _receive(self, signum, _):
    self.received = self.received or signum
    if self._interruptible:
      self._interruptible = False
      raise Interrupted

  def _speak(self) -> None:
    told = False
    while number := os.read(self._source, 1):
      if number[0] not in self._handlers:
        continue  # a signal that others handle
      if told:
        os._exit(128 + number[0])
      told = True
      step = self._saved_step
      if number[0] == signal.SIGTERM and step is not None:
        print(
          f'stopped by SIGTERM while compiling, at step {step}; run the same '
          'command again to resume',
          file=sys.stderr,
          flush=True,
        )
        os._exit(128 + signal.SIGTERM)
      print(
        f'{signal.Signals(number[0]).name} received: saving and stopping after '
        'the current step (a compilation is finished first); a second '
        'signal ends the process at once, without saving',
        file=sys.stderr,
        flush=True,
      )
