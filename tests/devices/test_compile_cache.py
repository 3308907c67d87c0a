import jax
import pytest

from gan_jax.core import machine
from gan_jax.devices import compile_cache


@pytest.fixture
def folder(monkeypatch, tmp_path):
  """The cache folder of a user who has set none."""
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
