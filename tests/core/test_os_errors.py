"""Operating-system errors have a path, a cause and a remedy."""

import errno
import os
import pathlib

import pytest

from gan_jax.core import os_errors
from gan_jax.core.files import replacing

# The error of tensorstore, through which orbax writes, on a full disk.
FULL = (
  'RESOURCE_EXHAUSTED: Error writing local file "/x/d": Failed writing: '
  '"/x/d.__lock": No space left on device [os_error_code=\'28\'] [source '
  "locations='tensorstore/kvstore/file/file_key_value_store.cc:1']"
)


def test_what_is_said():
  error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), '/runs/a/x')
  assert os_errors.explain(error) == (
    '/runs/a/x: No space left on device; free some space'
  )


def test_an_error_without_a_remedy_or_a_path_is_told_all_the_same():
  assert os_errors.explain(OSError(errno.EXDEV, 'cross')) == 'cross'
  assert os_errors.explain(OSError()) == 'OSError'
  assert os_errors.explain(OSError('odd\n one')) == 'odd one'


def test_an_error_of_tensorstore_is_one_of_the_operating_system():
  with pytest.raises(OSError, match='No space left') as caught:  # noqa: SIM117
    with os_errors.at('/runs/a'):
      raise ValueError(FULL)
  assert caught.value.errno == errno.ENOSPC
  assert caught.value.filename == '/runs/a'
  assert str(caught.value.__cause__) == FULL


def test_other_errors_are_left_alone():
  error = ValueError('os_error')
  with pytest.raises(ValueError, match='os_error') as caught:  # noqa: SIM117
    with os_errors.at('/runs/a'):
      raise error
  assert caught.value is error


def test_a_path_that_is_known_is_kept():
  with pytest.raises(FileNotFoundError) as caught, os_errors.at('/runs/a'):
    pathlib.Path('/no/such/file').read_bytes()
  assert caught.value.filename == '/no/such/file'


def test_a_full_disk_names_the_file(tmp_path):
  with pytest.raises(OSError, match='No space left') as caught:  # noqa: SIM117
    with replacing(tmp_path / 'result.json'):
      pathlib.Path('/dev/full').write_text('x')
  assert caught.value.filename == str(tmp_path / 'result.json')
  assert list(tmp_path.iterdir()) == []


def test_every_file_of_a_folder_is_read(tmp_path):
  (tmp_path / 'a').mkdir()
  (tmp_path / 'a/x').write_bytes(b'x')
  os_errors.read_through(tmp_path)
  (tmp_path / 'a/loop').symlink_to('loop')
  with pytest.raises(OSError, match='symbolic links') as caught:
    os_errors.read_through(tmp_path)
  assert caught.value.filename == str(tmp_path / 'a/loop')


def test_a_long_message_is_cut():
  assert os_errors.brief('a\nb') == 'a b'
  assert len(os_errors.brief('x' * 21158)) == 300
