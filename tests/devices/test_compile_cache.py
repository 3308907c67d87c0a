import os
import subprocess
import sys

import jax
import pytest

from gan_jax.core import machine
from gan_jax.devices import compile_cache


@pytest.fixture
def folder(monkeypatch, tmp_path):
  """The default cache folder of a user who has set none."""
  before = jax.config.jax_compilation_cache_dir
  jax.config.update('jax_compilation_cache_dir', None)
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  yield tmp_path / 'gan_jax'
  jax.config.update('jax_compilation_cache_dir', before)


def test_programs_are_kept_in_the_users_cache_folder(folder):
  assert not compile_cache.in_use()
  compile_cache.enable()
  (kind,) = folder.iterdir()
  assert jax.config.jax_compilation_cache_dir == str(kind)
  assert jax.__version__ in kind.name
  assert compile_cache.in_use()


def test_a_folder_that_the_user_has_set_stays(folder, tmp_path):
  jax.config.update('jax_compilation_cache_dir', str(tmp_path / 'own'))
  compile_cache.enable()
  assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'own')
  assert not folder.exists()


def test_each_kind_of_processor_has_a_folder_of_its_own(folder, monkeypatch):
  for instructions in ('avx2', 'avx2 avx512f'):
    monkeypatch.setattr(machine, 'instructions', lambda x=instructions: x)
    compile_cache.enable()
    jax.config.update('jax_compilation_cache_dir', None)
  assert len(list(folder.iterdir())) == 2


def test_a_home_that_cannot_be_written_is_no_error(folder):
  folder.write_text('a file where the folder would be')
  compile_cache.enable()
  assert not compile_cache.in_use()


COMPILE = """
import jax
from gan_jax.devices import compile_cache

compile_cache.enable()
with compile_cache.mended():
  print(jax.jit(lambda x: x * 2 + 1)(3.0))
"""


def test_half_an_entry_is_replaced_in_silence(tmp_path):
  """A killed process leaves one, and jax would warn at every start."""

  def sizes():
    return {
      path.name: path.stat().st_size for path in tmp_path.rglob('*-cache')
    }

  def compile_():
    environment = os.environ | {
      'XDG_CACHE_HOME': str(tmp_path),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    }
    del environment['JAX_COMPILATION_CACHE_DIR']
    done = subprocess.run(
      [sys.executable, '-c', COMPILE],
      env=environment,
      capture_output=True,
      text=True,
      check=True,
    )
    assert done.stdout == '7.0\n'
    assert not done.stderr

  compile_()
  whole = sizes()
  assert whole
  for path in tmp_path.rglob('*-cache'):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  compile_()
  assert sizes() == whole
