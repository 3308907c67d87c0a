"""Starts in run directories that have been damaged or edited."""

import errno
import fcntl
import json
import shutil
import stat
import zlib

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from gan_jax.core import memory
from gan_jax.core.errors import InputError
from gan_jax.reporting.run_report import write_report
from gan_jax.runs import program
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.record import Record
from gan_jax.training import loop


@pytest.fixture
def run(toy_run):
  return toy_run


@pytest.fixture
def resume(toy_config, tiny_dataset, run):
  """Resumes the run, up to step 10."""

  def go_on(num_steps=10, **log):
    toy_config.train.num_steps = num_steps
    toy_config.log.update(log)
    return loop.train(toy_config, run, dataset=tiny_dataset)

  return go_on


def contents(folder):
  return {
    p.relative_to(folder).as_posix(): p.read_bytes()
    for p in folder.rglob('*')
    if p.is_file() and p.name != '.lock'
  }


# Missing checkpoints.


@pytest.mark.parametrize('num_steps', [8, 10])
def test_a_finished_run_without_checkpoints_is_refused(run, resume, num_steps):
  shutil.rmtree(run / 'checkpoints')
  before = contents(run)
  with pytest.raises(InputError) as caught:
    resume(num_steps)
  message = str(caught.value)
  assert str(run / 'result.json') in message
  assert 'restore that folder, or choose another --workdir' in message
  assert contents(run) == before


def test_so_is_one_that_had_some(run, resume):
  shutil.rmtree(run / 'checkpoints')
  (run / 'result.json').unlink()
  with pytest.raises(InputError, match='records checkpoints up to step 8'):
    resume()


def test_a_kill_before_the_first_checkpoint_is_no_loss(run, resume):
  """A checkpoint's line is written before the checkpoint is committed."""
  shutil.rmtree(run / 'checkpoints')
  (run / 'result.json').unlink()
  lines = (run / 'metrics.jsonl').read_text().splitlines(keepends=True)
  (run / 'metrics.jsonl').write_text(lines[0])
  assert resume(8)['steps'] == 8


# Files other than the checkpoints.


def program_is_started(tmp_path, monkeypatch, name):
  """Puts a program on the path; returns the file that it leaves."""
  trace, program = tmp_path / 'started', tmp_path / 'bin' / name
  program.parent.mkdir()
  program.write_text(f'#!/bin/sh\ntouch {trace}\n')
  program.chmod(program.stat().st_mode | stat.S_IXUSR)
  monkeypatch.setenv('PATH', str(program.parent), prepend=':')
  return trace


POSTSCRIPT = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n'


def test_no_picture_of_a_run_is_executed(
  run, resume, tmp_path, monkeypatch, capsys
):
  trace = program_is_started(tmp_path, monkeypatch, 'gs')
  path = run / 'samples/samples_00000003.png'
  path.write_bytes(POSTSCRIPT)
  assert resume(tensorboard=True)['steps'] == 10
  assert not trace.exists()
  assert f'note: not in TensorBoard: cannot read {path}' in (
    capsys.readouterr().err
  )


def test_a_damaged_picture_costs_nothing_but_itself(run, resume, capsys):
  path = run / 'samples/samples_00000003.png'
  path.write_bytes(path.read_bytes()[:-100])
  huge = run / 'samples/huge_00000003.png'
  Image.fromarray(np.zeros((1, 1), np.uint8)).save(huge)
  data = bytearray(huge.read_bytes())
  data[16:24] = (100_000).to_bytes(4) * 2  # width and height
  data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
  huge.write_bytes(data)
  assert resume(tensorboard=True)['steps'] == 10
  notes = capsys.readouterr().err
  assert f'{path}: image file is truncated' in notes
  assert f'{huge} has more pixels than the limit' in notes
  assert path.exists()


def test_what_kills_left_of_files_is_removed(run, resume):
  name = f'.{"0123456789abcdef" * 2}.tmp'
  for folder in (run, run / 'samples'):
    (folder / name).write_bytes(b'half a picture')
    (folder / '.mine.tmp').write_bytes(b'precious')
  resume()
  assert not list(run.rglob(name))
  assert len(list(run.rglob('.mine.tmp'))) == 2


@pytest.mark.parametrize('name', ['samples', 'checkpoints', 'tensorboard'])
def test_a_file_in_place_of_a_folder_is_refused(run, resume, name):
  shutil.rmtree(run / name, ignore_errors=True)
  (run / name).write_bytes(b'')
  before = contents(run)
  with pytest.raises(InputError, match=f'{name} is a file, not a folder'):
    resume()
  assert contents(run) == before


@pytest.mark.parametrize('text', ['{}', '[]', '{"steps": 8}'])
def test_a_result_that_is_none_is_refused_by_name(run, resume, text):
  (run / 'result.json').write_text(text)
  with pytest.raises(InputError, match=r'result\.json is not the file that'):
    resume(8)
  with pytest.raises(InputError, match=r'result\.json is not the file that'):
    write_report(run, run / 'report.html', look=False)


def test_a_run_without_its_data_file_is_not_called_young(run, resume):
  (run / 'data.json').unlink()
  with pytest.raises(InputError, match='it was removed, or not copied'):
    resume()


# Lines of metrics.jsonl.


def drop(run, keep):
  path = run / 'metrics.jsonl'
  lines = path.read_text().splitlines(keepends=True)
  path.write_text(''.join(x for x in lines if keep(json.loads(x))))


def test_lost_lines_are_mentioned(run, resume, capsys):
  drop(run, lambda x: x['step'] != 6 and 'validation_error' not in x)
  resume()
  lost = 'the report of step 3, the checkpoint of step 6, the report of step 6'
  assert f'metrics.jsonl has lost {lost};' in capsys.readouterr().err


def test_nothing_is_missed_of_a_whole_run(run, resume, capsys):
  resume(report_every_steps=5)
  resume(12, report_every_steps=4)
  assert 'lost' not in capsys.readouterr().err
  lines = [json.loads(x) for x in (run / 'metrics.jsonl').open()]
  assert [x['step'] for x in lines if 'epoch' in x] == [3, 6, 10, 12]


def test_what_is_missed_follows_the_starts():
  sessions = [
    {'from_step': 0, 'report_every_steps': 3},
    {'from_step': 7, 'report_every_steps': 2},
    {'from_step': 9},  # of version 0.1.0, which does not record it
  ]
  lost = Record([], sessions).lost(5, 14)
  assert [step for step, what in lost if what == 'report'] == [3, 6, 8]
  assert [step for step, what in lost if what == 'checkpoint'] == [5, 10, 14]


# Starts that are refused before they write anything.


@pytest.mark.parametrize('number', [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_called_so(
  toy_config, tiny_dataset, tmp_path, monkeypatch, number
):
  def flock(*_):
    raise OSError(number, 'Function not implemented')

  monkeypatch.setattr(fcntl, 'flock', flock)
  with pytest.raises(InputError, match=r'cannot lock files \(flock: Func'):
    loop.train(toy_config, tmp_path / 'run', dataset=tiny_dataset)


def test_a_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert RunDirectory('~/runs/a').path == tmp_path / 'runs/a'
  with pytest.raises(InputError, match='home folder that does not exist'):
    RunDirectory('~nobody-of-this-name/a')


def test_a_name_that_no_file_can_have(toy_config, tiny_dataset):
  with pytest.raises(InputError, match='contains a NUL'):
    loop.train(toy_config, 'a\0b', dataset=tiny_dataset)


def test_images_that_cannot_fit_are_refused(toy_config, tiny_dataset, tmp_path):
  toy_config.data.update(image_size=100_000, num_validation=250)
  with pytest.raises(InputError, match=r'1,797 images .* 16,735\.9 GiB'):
    loop.train(toy_config, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_a_state_that_cannot_fit_is_refused(
  toy_config, tiny_dataset, tmp_path, monkeypatch
):
  """The shapes tell: the first layer's weights, Adam's moments, the average."""
  monkeypatch.setattr(memory, 'host_bytes', lambda: 2**34)
  toy_config.model.z_dim = 10**8
  with pytest.raises(InputError, match=r'would take 95\.4 GiB .* only 16\.0'):
    loop.train(toy_config, tmp_path / 'run', dataset=tiny_dataset)
  assert not (tmp_path / 'run').exists()


def test_a_container_has_less_memory_than_its_machine(tmp_path, monkeypatch):
  whole = memory.host_bytes()
  monkeypatch.setattr(memory, '_CGROUP', tmp_path / 'memory.max')
  assert memory.host_bytes() >= whole
  (tmp_path / 'memory.max').write_text('1000\n')
  assert memory.host_bytes() == 1000
  (tmp_path / 'memory.max').write_text('max\n')
  assert memory.host_bytes() >= whole


def test_a_system_that_is_no_name():
  with pytest.raises(InputError, match=r"unknown system \['gan'\]; choose"):
    program.check(ConfigDict({'system': ['gan']}))
