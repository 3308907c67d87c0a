"""Fixtures, and the rule that no test is skipped in silence."""

import os
import pathlib

# Before jax is imported: compiled programs are shared with the commands that
# the tests start, and two devices are simulated for the tests of pmap.
_CACHE = pathlib.Path(__file__).parents[1] / '.cache' / 'jax'
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(_CACHE))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['JAX_NUM_CPU_DEVICES'] = '2'

import pytest

from gan_jax.config import load_config
from gan_jax.systems import SYSTEMS
from tests import made_up, toy

ROOT = pathlib.Path(__file__).parents[1]

# The only reasons for which a test may be skipped.
ALLOWED_SKIPS = (
  'chromium, chromedriver or selenium is not installed',
  'libtpu is not installed',
  'TFDS_DATA_DIR holds no prepared cycle_gan/facades',
  'TFDS_DATA_DIR holds no prepared mnist',
  'torch is not installed',
  'torchvision is not installed',
)


def pytest_terminal_summary(terminalreporter):
  for report in terminalreporter.stats.get('skipped', []):
    reason = report.longrepr[2].removeprefix('Skipped: ')
    terminalreporter.write_line(f'skipped {report.nodeid}: {reason}')


def pytest_sessionfinish(session, exitstatus):
  reporter = session.config.pluginmanager.get_plugin('terminalreporter')
  if reporter is None:  # one of several processes: the first one reports
    return
  for report in reporter.stats.get('skipped', []):
    reason = report.longrepr[2].removeprefix('Skipped: ')
    if reason not in ALLOWED_SKIPS and exitstatus == 0:
      reporter.write_line(f'not on the list of allowed skips: {report.nodeid}')
      session.exitstatus = 1


@pytest.fixture
def smoke_config():
  """The semi-supervised GAN on digits, tiny, on one device."""
  config = load_config(str(ROOT / 'configs/digits_ssgan.py:smoke'))
  config.parallel = 'jit'
  return config


@pytest.fixture
def toy_config(monkeypatch):
  """The toy system: eight steps, saved every two, reported every three."""
  monkeypatch.setitem(SYSTEMS, 'toy', toy)
  return toy.get_config()


@pytest.fixture
def tiny_dataset():
  return made_up.tiny()
