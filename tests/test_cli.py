"""What the commands share."""

import subprocess
import sys

import jax
import pytest
from absl import flags

from gan_jax.commands import cli
from gan_jax.core.errors import InputError
from gan_jax.devices import hosts
from tests.conftest import ROOT
from tests.test_os_errors import FULL


def test_a_path_flag_knows_the_home_folder(monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  parse = cli._Path().parse
  assert parse('~/runs/a') == '/home/me/runs/a'
  assert parse('runs/~a') == 'runs/~a'
  assert parse('gs://bucket/a') == 'gs://bucket/a'
  with pytest.raises(InputError, match='home folder that does not exist'):
    parse('~nobody-of-this-name/a')


def test_only_a_device_is_out_of_memory():
  assert not hosts.is_out_of_memory(ValueError(FULL))
  full = jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory')
  assert hosts.is_out_of_memory(full)
  assert not hosts.is_out_of_memory(jax.errors.JaxRuntimeError('INTERNAL: x'))


def test_a_launcher_is_a_program_wherever_one_stands(tmp_path):
  done = subprocess.run(
    [sys.executable, ROOT / 'experiments/train.py', '--help'],
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert '--workdir' in done.stdout
  assert 'Traceback' not in done.stderr


def test_flags_are_those_of_the_module_that_defines_them():
  holder = cli.define_path('a_path_of_a_test', '~', 'For this test.')
  try:
    assert flags.FLAGS.find_module_defining_flag(holder.name) == __name__
  finally:
    delattr(flags.FLAGS, holder.name)
