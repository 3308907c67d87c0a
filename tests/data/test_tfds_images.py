import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.data import tfds_images
from gan_jax.data.tfds_images import LOADERS
from tests.made_up import prepare_tfds

NUM_TRAIN, NUM_TEST, NUM_EXTRA = 40, 20, 30


@pytest.fixture(scope='session')
def prepared(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp('tfds')
  splits = {'train': range(NUM_TRAIN), 'test': range(NUM_TEST)}
  prepare_tfds(data_dir, 'mnist', '3.0.1', (28, 28, 1), splits)
  prepare_tfds(data_dir, 'cifar10', '3.0.2', (32, 32, 3), splits, with_id=True)
  splits['extra'] = range(100, 100 + NUM_EXTRA)
  prepare_tfds(data_dir, 'svhn_cropped', '3.1.0', (32, 32, 3), splits)
  return data_dir


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  return tmp_path / 'cache' / 'gan_jax'


def test_a_prepared_set_is_read(prepared):
  data = LOADERS['mnist'](str(prepared), 10)
  assert data.train.image.shape == (30, 28, 28, 1)
  assert data.train.image.dtype == np.uint8
  assert data.native_size == (28, 28)
  together = np.concatenate([data.train.image, data.validation.image])
  assert sorted(together[:, 0, 0, 0]) == list(range(NUM_TRAIN))
  assert_array_equal(np.sort(data.validation.label), np.arange(10))
  for part in (data.train, data.validation, data.test):
    assert_array_equal(part.label, part.image[:, 0, 0, 0] % 10)


def test_cifar10_is_read_without_its_ids(prepared):
  data = LOADERS['cifar10'](str(prepared), 10)
  assert data.train.image.shape == (30, 32, 32, 3)
  assert data.test.image.shape == (20, 32, 32, 3)
  for part in (data.train, data.validation, data.test):
    assert_array_equal(part.label, part.image[:, 0, 0, 0] % 10)


def test_extra_images_train_and_never_validate(prepared):
  plain = LOADERS['svhn_cropped'](str(prepared), 20)
  extra = LOADERS['svhn_cropped_extra'](str(prepared), 20)
  assert (plain.name, extra.name) == ('svhn_cropped', 'svhn_cropped_extra')
  for part in ('validation', 'test'):
    for ours, theirs in zip(
      getattr(plain, part), getattr(extra, part), strict=True
    ):
      assert_array_equal(ours, theirs)
  assert extra.train.image.dtype == np.uint8
  assert extra.train.label.dtype == np.int32
  assert_array_equal(extra.train.image[:20], plain.train.image)
  numbers = extra.train.image[20:, 0, 0, 0]
  assert sorted(numbers) == list(range(100, 100 + NUM_EXTRA))
  assert_array_equal(extra.train.label[20:], numbers % 10)


def test_the_environment_names_the_folder_too(prepared, monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', str(prepared))
  assert len(LOADERS['mnist'](None, 10).test.label) == NUM_TEST


def test_it_is_read_once(prepared, cache, monkeypatch):
  first = LOADERS['mnist'](str(prepared), 10)
  assert len(list(cache.iterdir())) == 2
  with monkeypatch.context() as patch:
    patch.setattr(tfds_images, '_read_split', pytest.fail)
    again = LOADERS['mnist'](str(prepared), 10)
  assert_array_equal(first.train.image, again.train.image)


@pytest.mark.parametrize('damage', [lambda b: b[:-100], lambda b: b''])
def test_a_broken_cache_is_made_again(prepared, cache, damage):
  first = LOADERS['mnist'](str(prepared), 10)
  for path in cache.iterdir():
    path.write_bytes(damage(path.read_bytes()))
  again = LOADERS['mnist'](str(prepared), 10)
  assert_array_equal(first.train.image, again.train.image)


def test_a_cache_of_other_files_is_not_used(prepared, tmp_path, monkeypatch):
  folder = tmp_path / 'mnist' / '3.0.1'
  shutil.copytree(prepared / 'mnist/3.0.1', folder)
  LOADERS['mnist'](str(tmp_path), 10)
  os.utime(folder / 'mnist-train.array_record-00000-of-00001', ns=(0, 0))
  read = []
  monkeypatch.setattr(
    tfds_images,
    '_read_split',
    lambda *args, read_split=tfds_images._read_split: (
      read.append(args[1]) or read_split(*args)
    ),
  )
  LOADERS['mnist'](str(tmp_path), 10)
  assert read == ['train', 'test']
  LOADERS['mnist'](str(tmp_path), 10)
  assert read == ['train', 'test']


def test_one_flipped_bit_in_the_cache_is_noticed(prepared, cache):
  first = LOADERS['mnist'](str(prepared), 10)
  for path in cache.iterdir():
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
  again = LOADERS['mnist'](str(prepared), 10)
  assert_array_equal(first.train.image, again.train.image)


@pytest.mark.parametrize(
  ('name', 'builder'),
  [
    ('mnist', 'mnist:3.0.1'),
    ('fashion_mnist', 'fashion_mnist:3.0.1'),
    ('cifar10', 'cifar10:3.0.2'),
    ('svhn_cropped', 'svhn_cropped:3.1.0'),
    ('svhn_cropped_extra', 'svhn_cropped:3.1.0'),
  ],
)
def test_a_set_that_is_not_prepared_says_how_to(tmp_path, name, builder):
  with pytest.raises(InputError) as error:
    LOADERS[name](str(tmp_path), 10)
  message = str(error.value)
  assert 'pip install tensorflow importlib_resources' in message
  assert f"tfds.builder('{builder}'" in message
  assert f"data_dir='{tmp_path}'" in message
  assert "file_format='array_record').download_and_prepare()" in message
  assert '\n' not in message


def test_a_set_prepared_without_its_extra_split_is_named(tmp_path):
  splits = {'train': range(NUM_TRAIN), 'test': range(NUM_TEST)}
  prepare_tfds(tmp_path, 'svhn_cropped', '3.1.0', (32, 32, 3), splits)
  with pytest.raises(InputError, match=r'3\.1\.0 holds 0 of .* split extra;'):
    LOADERS['svhn_cropped_extra'](str(tmp_path), 10)


def test_a_split_that_is_not_whole_is_named_before_any_is_read(
  prepared, tmp_path, monkeypatch
):
  folder = tmp_path / 'mnist' / '3.0.1'
  shutil.copytree(prepared / 'mnist/3.0.1', folder)
  (test,) = folder.glob('*-test.array_record*')
  monkeypatch.setattr(tfds_images, '_read_split', pytest.fail)
  half = test.rename(str(test).replace('-of-00001', '-of-00002'))
  with pytest.raises(InputError, match=r'holds 1 of the 2 files of split test'):
    LOADERS['mnist'](str(tmp_path), 10)
  half.unlink()
  with pytest.raises(InputError, match=r'holds 0 of .* files of split test'):
    LOADERS['mnist'](str(tmp_path), 10)


def test_a_set_in_another_format_is_not_prepared(prepared, tmp_path):
  folder = tmp_path / 'mnist' / '3.0.1'
  shutil.copytree(prepared / 'mnist/3.0.1', folder)
  for path in folder.glob('*.array_record*'):
    path.rename(str(path).replace('array_record', 'tfrecord'))
  with pytest.raises(InputError, match=r'mnist 3\.0\.1 is not prepared in'):
    LOADERS['mnist'](str(tmp_path), 10)


def test_broken_records_are_named(prepared, tmp_path):
  folder = tmp_path / 'mnist' / '3.0.1'
  folder.mkdir(parents=True)
  for path in (prepared / 'mnist/3.0.1').iterdir():
    data = path.read_bytes()
    if 'train.array_record' in path.name:
      data = data[: len(data) // 2]
    (folder / path.name).write_bytes(data)
  with pytest.raises(InputError, match=r'cannot read split train of .*3\.0\.1'):
    LOADERS['mnist'](str(tmp_path), 10)


@pytest.mark.parametrize(
  'key', ['pythonClassName', 'python_class_name', 'type']
)
def test_a_folder_cannot_name_code_to_run(prepared, tmp_path, monkeypatch, key):
  """TFDS imports classes named in features.json, and a run names the folder."""
  witness = tmp_path / 'executed'
  (tmp_path / 'payload.py').write_text(f"open({str(witness)!r}, 'w')")
  monkeypatch.syspath_prepend(tmp_path)
  folder = tmp_path / 'mnist' / '3.0.1'
  shutil.copytree(prepared / 'mnist/3.0.1', folder)
  path = folder / 'features.json'
  features = json.loads(path.read_text())
  inner = features['featuresDict']['features']['image']
  inner.pop('pythonClassName')
  inner[key] = 'payload.X'
  path.write_text(json.dumps(features))
  with pytest.raises(InputError, match=r'features\.json'):
    LOADERS['mnist'](str(tmp_path), 10)
  features = {key: 'payload.X', 'content': {}}
  path.write_text(json.dumps(features))
  with pytest.raises(InputError, match=r'features\.json'):
    LOADERS['mnist'](str(tmp_path), 10)
  assert not witness.exists()


@pytest.mark.systems
def test_the_real_mnist():
  base = pathlib.Path(os.environ.get('TFDS_DATA_DIR', 'unset'))
  if not (base / 'mnist/3.0.1').is_dir():
    pytest.skip('TFDS_DATA_DIR holds no prepared mnist')
  data = LOADERS['mnist'](None, 10000)
  assert len(data.train.label) == 50000
  assert_array_equal(np.bincount(data.validation.label), [1000] * 10)
  assert len(data.test.label) == 10000
  labels = np.concatenate([data.train.label, data.validation.label])
  assert_array_equal(
    np.bincount(labels),
    [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
  )
  pixels = np.concatenate([data.train.image, data.validation.image]) / 255.0
  np.testing.assert_allclose(pixels.mean(), 0.1307, atol=5e-5)
  np.testing.assert_allclose(pixels.std(), 0.3081, atol=5e-5)
