"""Progress and signals while the first step compiles."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

from tqdm import tqdm

from gan_jax.devices import compile_cache
from gan_jax.training.signals import StopRequest

_SHORT_SECONDS = 5.0  # without a terminal, shorter waits need no message


@contextlib.contextmanager
def compiling(bar: tqdm, request: StopRequest, start: int) -> Iterator[None]:
  """Shows the compile time on the bar, and lets SIGTERM end the process.

  Without a terminal, a line on stderr says after a few seconds that the step is
  being compiled.

  Args:
    bar: the progress bar of the steps.
    request: the request to stop; until the first step there is nothing to save.
    start: the number of steps done.
  """
  done = threading.Event()
  counting = threading.Thread(target=_count, args=(bar, done), daemon=True)
  counting.start()
  try:
    with request.nothing_to_save(start):
      yield
  finally:
    done.set()
    counting.join()
    bar.set_postfix_str('', refresh=False)


def _count(bar: tqdm, done: threading.Event) -> None:
  begin = time.monotonic()
  text = 'compiling the first step'
  if compile_cache.in_use():
    text += ' (later starts find it in the cache)'
  if bar.disable:
    if not done.wait(_SHORT_SECONDS):
      print(text, file=sys.stderr, flush=True)
    return
  while not done.wait(1.0):
    bar.set_postfix_str(f'{text}: {time.monotonic() - begin:.0f} s')
