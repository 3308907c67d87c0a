import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

import gan_jax

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  """Runs `pip install .` on a copy of the sources, as it leaves a build/."""
  source = tmp_path_factory.mktemp('source')
  for name in ('pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  for name in ('gan_jax', 'experiments', 'configs', 'tests'):
    shutil.copytree(ROOT / name, source / name)
  target = tmp_path_factory.mktemp('site')
  subprocess.run(
    [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps',
     '--no-build-isolation', f'--target={target}', str(source)],
    check=True, capture_output=True,
  )  # fmt: skip
  return target


def test_only_the_package_is_installed_and_it_is_typed(installed):
  names = {p.name for p in installed.iterdir() if p.suffix != '.dist-info'}
  assert names == {'bin', 'gan_jax'}
  assert [p.name for p in (installed / 'bin').iterdir()] == ['gan-jax']
  assert (installed / 'gan_jax/py.typed').is_file()
  modules = {p.relative_to(installed) for p in installed.rglob('*.py')}
  sources = {p.relative_to(ROOT) for p in (ROOT / 'gan_jax').rglob('*.py')}
  assert modules == sources


def test_it_can_be_imported_from_anywhere(installed, tmp_path):
  code = (
    'import gan_jax.losses, jax.numpy as jnp; print(gan_jax.__file__); '
    'print(gan_jax.losses.gan_logits(jnp.zeros(4)))'
  )
  out = subprocess.run(
    [sys.executable, '-c', code],
    cwd=tmp_path,
    env={'PYTHONPATH': str(installed), 'JAX_PLATFORMS': 'cpu'},
    check=True, capture_output=True, text=True,
  ).stdout.splitlines()  # fmt: skip
  assert out[0].startswith(str(installed))
  assert float(out[1]) == pytest.approx(1.3862944)


def test_what_is_imported_needs_little_beside_jax():
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  names = {re.split('[<>=~]', need)[0] for need in project['dependencies']}
  assert names == {'jax', 'flax', 'optax', 'numpy', 'scipy', 'tqdm'}


def test_requirements_pin_everything_and_name_the_stack():
  lines = (ROOT / 'requirements.txt').read_text().splitlines()
  pins = [line for line in lines if not line.startswith('#')]
  assert all(line.count('==') == 1 for line in pins)
  names = {line.partition('==')[0].lower().replace('_', '-') for line in pins}
  assert names >= {
    'jax', 'flax', 'optax', 'orbax-checkpoint', 'tensorflow-datasets', 'numpy',
    'absl-py', 'ml-collections', 'pytest',
  }  # fmt: skip


def test_the_citation_is_of_this_version():
  lines = (ROOT / 'CITATION.cff').read_text().splitlines()
  fields = dict(x.split(': ', 1) for x in lines if re.match(r'[a-z-]+: ', x))
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  assert fields['version'] == gan_jax.__version__
  assert fields['license'] == project['license']
  assert 'Apache License' in (ROOT / 'LICENSE').read_text()
