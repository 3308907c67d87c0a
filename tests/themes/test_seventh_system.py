"""A new system in one file, with labels in its latents.

Every command works with it, and no other file mentions it.
"""

import json
import pathlib

import flax.linen as nn
import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from gan_jax.core.errors import InputError
from gan_jax.evaluation import samples
from gan_jax.runs import restore
from gan_jax.runs.program import build, init_state
from gan_jax.systems import SYSTEMS, base, sized
from gan_jax.systems.parts import networks
from gan_jax.systems.system import Latents
from tests.changes import changed
from tests.conftest import call
from tests.themes import conditional

pytestmark = pytest.mark.systems

FILE = pathlib.Path(conditional.__file__)


@pytest.fixture(scope='module', autouse=True)
def among_the_systems():
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(SYSTEMS, 'conditional', conditional)
    yield


@pytest.fixture
def config():
  config = sized(base('conditional'), 'smoke')
  config.parallel = 'jit'
  return config


@pytest.fixture(scope='module')
def args(tmp_path_factory):
  """The command-line flag of its config file."""
  path = tmp_path_factory.mktemp('config') / 'mine.py'
  path.write_text(
    'from gan_jax.systems import base, sized\n'
    "def get_config(arg): return sized(base('conditional'), 'smoke')\n"
  )
  return f'--config={path}', '--config.parallel=jit'


@pytest.fixture(scope='module')
def run(args, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('conditional') / 'run'
  assert call('train', *args, f'--workdir={workdir}').returncode == 0
  return workdir


def read(path):
  return json.loads(path.read_text())


def test_it_is_small():
  lines = FILE.read_text().splitlines()
  assert len(lines) <= 120
  for path in FILE.parents[2].glob('gan_jax/**/*.py'):
    assert "'conditional'" not in path.read_text()


def test_it_trains_and_resumes(run, args, command, tmp_path):
  again = tmp_path / 'again'
  for steps in (4, 8):
    command(
      'train', *args, f'--workdir={again}', f'--config.train.num_steps={steps}'
    )
  assert (
    read(run / 'result.json')['sha256']
    == (read(again / 'result.json')['sha256'])
  )


def test_it_is_verified_and_reported(run, command):
  assert 'identical' in command('verify', f'--workdir={run}').stdout
  command('report', f'--workdir={run}')
  page = (run / 'report.html').read_text()
  assert 'Between samples' in page
  scores = json.loads(command('evaluate', f'--workdir={run}').stdout)
  assert scores['samples_std'] > 0


def test_its_samples_know_their_class(run, command, tmp_path):
  out = tmp_path / 'grid.png'
  command('sample', f'--workdir={run}', f'--output={out}', '--num=4')
  assert np.asarray(Image.open(out)).std() > 0
  walk = tmp_path / 'walk.gif'
  command(
    'sample', f'--workdir={run}', f'--output={walk}', '--seeds=0-2',
    '--interpolate=3',
  )  # fmt: skip
  assert Image.open(walk).n_frames == 12
  opened = restore.load_generator(run)
  drawn = samples.latents(opened, [0], 50)
  assert {*np.asarray(drawn.label).tolist()} == {*range(10)}
  one = Latents(drawn.z[:1], drawn.label[:1])
  other = one._replace(label=(one.label + 1) % 10)
  first, second = (samples.generate(opened, x)['samples'] for x in (one, other))
  assert (first != second).any()
  assert_array_equal(
    first, samples.generate(opened, samples.latents(opened, [0], 1))['samples']
  )


def test_its_sweeps_run_as_lanes(args, command, tmp_path):
  out = command(
    'sweep', *args, f'--workdir={tmp_path}/sweep', '--seeds=0-1',
    '--mode=vmap',
  ).stdout  # fmt: skip
  assert '2/2' in out


def test_it_is_exported_with_its_label(run, command, tmp_path):
  out = command(
    'export', f'--workdir={run}', f'--output={tmp_path}/g.jax',
    '--platforms=cpu',
  ).stdout  # fmt: skip
  assert 'label int32[b]' in out
  assert 'rng.integers(0, 10, ' in out


def test_it_is_described(config):
  program = build(config)
  for network in program.system.networks.values():
    assert network.module.tabulate(
      jax.random.key(0), *network.example, train=False
    )


class Wrapped(nn.Module):
  """A wrapper module around a network, e.g. to count or quantise."""

  inner: nn.Module

  @nn.compact
  def __call__(self, *inputs, train):
    return self.inner(*inputs, train=train)


@pytest.mark.parametrize('discriminator', ['mlp', 'conv'])
def test_a_wrapped_network_is_checked_alike(monkeypatch, discriminator):
  """Checks use its `Network`'s fields, not its module's class."""
  for kind in (networks.GENERATORS, networks.DISCRIMINATORS):
    for name, found in kind.items():

      def wrapped(*args, module=found.module, **settings):
        return Wrapped(module(*args, **settings))

      monkeypatch.setitem(kind, name, found._replace(module=wrapped))
  config = sized(base('gan'), 'smoke')
  config = changed(config, {'model.discriminator.name': discriminator})
  config.parallel = 'jit'
  state = init_state(build(config))
  assert 'inner' in state.generator.params
  if discriminator == 'conv':
    config.model.discriminator.normalization = 'batch'
    config.loss.r1_gamma = 1.0
    with pytest.raises(
      InputError, match='with BatchNorm each logit depends on all images'
    ):
      build(config)
