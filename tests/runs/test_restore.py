import shutil

import pytest
from numpy.testing import assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.evaluation.samples import generate, latents
from gan_jax.runs.restore import load_generator, load_run
from tests.toy import without


@pytest.fixture
def workdir(toy_run):
  """A run with checkpoints at steps 4, 6 and 8."""
  return toy_run


def test_a_generator_needs_no_discriminator(workdir, capsys):
  whole = load_run(workdir)
  z = latents(whole, range(3))
  want = generate(whole, z)['samples']
  for path in workdir.glob('checkpoints/*/discriminator'):
    shutil.rmtree(path)
  alone = load_generator(workdir)
  assert alone.step == 8
  assert alone.state.discriminator is None
  assert_array_equal(generate(alone, z)['samples'], want)
  assert capsys.readouterr().err == ''
  with pytest.raises(InputError, match='every checkpoint'):
    load_run(workdir)


def test_a_damaged_generator_falls_back(workdir, capsys):
  shutil.rmtree(workdir / 'checkpoints/8/generator')
  assert load_generator(workdir).step == 6
  line = capsys.readouterr().err
  assert line.count('\n') == 1
  assert 'falling back' in line


def test_a_classifier_alone_has_no_generator(workdir, monkeypatch):
  without(monkeypatch, sampler=None)
  with pytest.raises(InputError, match='toy has no generator'):
    load_generator(workdir)
