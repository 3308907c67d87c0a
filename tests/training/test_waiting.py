import io
import signal
import subprocess
import sys
import time

from tqdm import tqdm

from gan_jax.devices import hosts
from gan_jax.training import waiting
from gan_jax.training.signals import StopRequest

# A stand-in for a main thread that compiles: it does not react to signals.
COMPILING = """
import time
from tqdm import tqdm
from gan_jax.training import waiting
from gan_jax.training.signals import StopRequest

with StopRequest() as request, tqdm(disable=True) as bar:
  with waiting.compiling(bar, request, start=7):
    print('ready', flush=True)
    end = time.monotonic() + 60
    while time.monotonic() < end:
      sum(range(10**6))
"""


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_the_bar_counts_the_seconds(monkeypatch):
  screen = Terminal()
  with tqdm(total=5, file=screen) as bar:
    with waiting.compiling(bar, StopRequest(), start=0):
      time.sleep(1.3)
    assert 'compiling the first step' in screen.getvalue()
    assert ': 1 s' in screen.getvalue()
    screen.truncate(0)
    bar.update(1)
    bar.refresh()
    assert 'compiling' not in screen.getvalue()


def test_without_a_terminal_a_long_wait_is_said_once(monkeypatch, capsys):
  monkeypatch.setattr(waiting, '_SHORT_SECONDS', 0.05)
  with tqdm(disable=True) as bar:
    for seconds in (0.0, 0.5):
      with waiting.compiling(bar, StopRequest(), start=0):
        time.sleep(seconds)
      lines = capsys.readouterr().err.splitlines()
      assert len(lines) == (seconds > 0)
      assert all(line.startswith('compiling the first') for line in lines)


def test_sigterm_ends_a_compilation_at_once():
  with subprocess.Popen(
    [sys.executable, '-c', COMPILING],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    assert process.stdout.readline() == 'ready\n'
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 128 + signal.SIGTERM
    said = process.stderr.read()
  assert 'stopped by SIGTERM while compiling, at step 7;' in said


def test_one_of_several_processes_goes_on_to_tell_the_others(monkeypatch):
  monkeypatch.setattr(hosts, 'several', lambda: True)
  with StopRequest() as request, request.nothing_to_save(7):
    signal.raise_signal(signal.SIGTERM)
  assert request.received == signal.SIGTERM
