"""Fixtures and two rules: no silent skips, no slow test in the fast tier."""

import contextlib
import ctypes
import gc
import importlib
import io
import os
import pathlib
import shutil
from typing import NamedTuple

# Before jax is imported: compiled programs are shared with the commands that
# the tests start, and two devices are simulated for the tests of pmap.
_CACHE = pathlib.Path(__file__).parents[1] / '.cache' / 'jax'
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(_CACHE))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
# XLA takes half of a test's time, mostly for optimisations that a test does not
# need. `make test-systems` and `test-slow` compile as users do.
os.environ.setdefault(
  'XLA_FLAGS',
  '--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false',
)
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['JAX_NUM_CPU_DEVICES'] = '2'

import jax
import pytest

from gan_jax import systems
from gan_jax.config import load_config
from gan_jax.devices import parallel
from gan_jax.ops import convolution, lowerings
from gan_jax.runs import program
from gan_jax.systems import SYSTEMS
from gan_jax.training import lanes, loop
from tests import made_up, toy

ROOT = pathlib.Path(__file__).parents[1]
SMOKE = '--config=configs/digits_ssgan.py:smoke'

# The only reasons for which a test may be skipped.
ALLOWED_SKIPS = (
  'chromium, chromedriver or selenium is not installed',
  'libtpu is not installed',
  'TFDS_DATA_DIR holds no prepared cycle_gan/facades',
  'TFDS_DATA_DIR holds no prepared mnist',
  'torchvision is not installed',
)
TIERS = ('systems', 'slow')
RESIDENT_BYTES = 1.5 * 2**30  # above this, a worker drops compiled programs


def pytest_addoption(parser):
  parser.addini(
    'cpu_seconds',
    'CPU seconds allowed for an unmarked test; twice that if it compiles.',
    default='5',
  )


def pytest_ignore_collect(collection_path, config):
  """Ignores PyTorch's test files in the tiers that run without PyTorch."""
  elsewhere = config.option.markexpr in ('slow', 'not systems and not slow')
  torch = collection_path.name.startswith(('test_torch', 'torch'))
  return True if elsewhere and torch else None


def pytest_itemcollected(item):
  """Marks the tests that use PyTorch as an oracle."""
  if item.path.name.startswith('test_torch') or 'torch' in item.fixturenames:
    item.add_marker('systems')


def cpu_seconds():
  """Returns the CPU time of this process and its finished children."""
  return sum(os.times()[:4])


_num_compiled = 0


def count_compilations(event, **_):
  global _num_compiled
  if event == '/jax/compilation_cache/cache_misses':
    _num_compiled += 1


jax.monitoring.register_event_listener(count_compilations)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
  """Fails an unmarked test that does not belong to the fast tier."""
  start, compiled = cpu_seconds(), _num_compiled
  outcome = yield
  seconds = cpu_seconds() - start
  limit = float(item.config.getini('cpu_seconds'))
  limit *= 1 if _num_compiled == compiled else 2
  if seconds > limit and not any(map(item.get_closest_marker, TIERS)):
    pytest.fail(
      f'it took {seconds:.1f} CPU seconds, more than the {limit:.0f} of the '
      'fast tier: make it smaller, or mark it systems (real systems, compiled '
      'and trained) or slow (kills, several processes, a browser)'
    )
  return outcome


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
  """The smoke variant of the semi-supervised GAN on digits, on one device."""
  config = load_config(str(ROOT / 'configs/digits_ssgan.py:smoke'))
  config.parallel = 'jit'
  return config


def plain(name):
  form = getattr(lowerings, f'default_{name}')
  gradients = getattr(convolution, f'_{name}_gradients')
  return convolution._bilinear(form, form, gradients)


FORMS = ('conv', 'conv_transpose', 'kernel_gradient')
PLAIN = {f'_{name}': plain(name) for name in FORMS}


@pytest.fixture(scope='module', autouse=True)
def little_memory():
  """Drops compiled programs after a test file that has used much memory."""
  yield
  if resident_bytes() > RESIDENT_BYTES:
    for cached in (systems._made, parallel._compile_step, lanes._vmapped):
      cached.cache_clear()
    program._compile_init.cache_clear()
    jax.clear_caches()
    gc.collect()
    # Otherwise what is freed stays with the process, and each file clears.
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)  # glibc's
    if trim is not None:
      trim(0)


def resident_bytes():
  """Returns the resident memory of this process; 0 if /proc does not tell."""
  statm = pathlib.Path('/proc/self/statm')
  pages = int(statm.read_text().split()[1]) if statm.exists() else 0
  return pages * os.sysconf('SC_PAGE_SIZE')


@pytest.fixture
def new_systems():
  """Clears the cache of systems before and after the test."""
  systems._made.cache_clear()
  yield
  systems._made.cache_clear()


@pytest.fixture
def plain_convolutions(new_systems, monkeypatch):
  """Uses lax's own convolutions, which compile in a fraction of the time.

  This is for tests of networks and of steps computed by hand. The tests of
  gan_jax/ops show that the CPU lowerings compute the same; trainings use those.
  """
  for name, form in PLAIN.items():
    monkeypatch.setattr(convolution, name, form)


SYSTEMS['toy'] = toy


@pytest.fixture
def toy_config():
  """The toy system: eight steps, checkpoints every two, reports every three."""
  return toy.get_config()


@pytest.fixture(scope='session')
def toy_reference(tmp_path_factory):
  """Directory and result of an uninterrupted run; no test may change it."""
  workdir = tmp_path_factory.mktemp('toy') / 'run'
  config, dataset = toy.get_config(), made_up.tiny()
  return workdir, loop.train(config, workdir, dataset=dataset)


@pytest.fixture
def toy_run(toy_reference, tmp_path):
  """A copy of that run that a test may damage."""
  return shutil.copytree(toy_reference[0], tmp_path / 'run')


@pytest.fixture
def tiny_dataset():
  return made_up.tiny()


class Done(NamedTuple):
  """Status and output of a command, named as in subprocess."""

  returncode: int
  stdout: str
  stderr: str


def call(name, *args):
  """Runs `gan-jax NAME ARGS` in this process, in the repository's root."""
  module = {
    'benchmark': 'experiments.benchmark.__main__',
    'plot_losses': 'experiments.plot_losses',
  }.get(name, f'gan_jax.commands.{name}')
  out, err = io.StringIO(), io.StringIO()
  with (
    contextlib.chdir(ROOT),
    contextlib.redirect_stdout(out),
    contextlib.redirect_stderr(err),
  ):
    status = importlib.import_module(module).main([*map(str, args)])
  return Done(status, out.getvalue(), err.getvalue())


@pytest.fixture
def command():
  """Calls a command and checks its status."""

  def run(name, *args, status=0):
    done = call(name, *args)
    assert done.returncode == status, done.stdout + done.stderr
    assert 'Traceback' not in done.stderr
    return done

  return run


@pytest.fixture(scope='session')
def trained_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('trained') / 'run'


@pytest.fixture
def trained(command, trained_dir):
  """A finished smoke run, trained once by the command itself."""
  if not trained_dir.exists():
    command('train', SMOKE, f'--workdir={trained_dir}')
  return trained_dir
