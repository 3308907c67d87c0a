import gzip
import struct

import numpy as np
import pytest
from ml_collections import ConfigDict
from numpy.testing import assert_array_equal
from scipy import io

from gan_jax.core.errors import InputError
from gan_jax.data.labelled import LabelledData
from gan_jax.data.published import LOADERS

TRAIN, TEST, EXTRA = range(40), range(50, 70), range(100, 130)


def pictures(numbers, shape):
  """Returns images and labels; image i is filled with i, its label i % 10."""
  image = np.zeros((len(numbers), *shape), np.uint8)
  image += np.array(numbers, np.uint8).reshape(-1, *(1 for _ in shape))
  image[:, 0, -1] = 255  # the corner reveals transposed axes
  return image, np.array(numbers, np.uint8) % 10


def write_svhn(folder, **more):
  for split, numbers in {'train': TRAIN, 'test': TEST, 'extra': EXTRA}.items():
    image, label = pictures(numbers, (32, 32, 3))
    arrays = {
      'X': np.transpose(image, (1, 2, 3, 0)),
      'y': np.where(label == 0, 10, label)[:, None],
    }
    io.savemat(
      folder / f'{split}_32x32.mat', arrays | more, do_compression=True
    )


def idx_bytes(array):
  header = struct.pack(f'>BBBB{array.ndim}I', 0, 0, 8, array.ndim, *array.shape)
  return header + array.tobytes()


def write_idx(folder, dot='-', end=''):
  for split, numbers in {'train': TRAIN, 't10k': TEST}.items():
    for kind, array in zip(
      ('images', 'labels'), pictures(numbers, (28, 28)), strict=True
    ):
      data = idx_bytes(array)
      name = f'{split}-{kind}{dot}idx{array.ndim}-ubyte{end}'
      (folder / name).write_bytes(gzip.compress(data) if end else data)


def npz_arrays(shape=(28, 28)):
  x_train, y_train = pictures(TRAIN, shape)
  x_test, y_test = pictures(TEST, shape)
  return {
    'x_train': x_train, 'y_train': y_train, 'x_test': x_test, 'y_test': y_test
  }  # fmt: skip


def write_npz(folder, **more):
  np.savez(folder / 'data.npz', **(npz_arrays() | more))


WRITERS = {
  'svhn_mat': write_svhn,
  'svhn_mat_extra': write_svhn,
  'idx': write_idx,
  'npz': write_npz,
}


def load(name, data_dir, num_validation=10):
  """Loads as the commands do, including the checks of every data set."""
  config = {
    'name': name,
    'made_up': False,
    'data_dir': str(data_dir),
    'batch_size': 1,
    'num_validation': num_validation,
    'classes': None,
    'num_train': None,
    'num_test': 0,
    'on_bad_file': 'stop',
    'flip': False,
    'num_labels': None,
    'label_seed': 0,
    'image_size': None,
  }
  return LabelledData(ConfigDict(config)).dataset


def check(data, shape):
  """Checks that TRAIN and TEST, and nothing else, are in the right parts."""
  held_out = data.validation.image[:, 1, 0, 0]
  assert_array_equal(np.sort(data.validation.label), np.arange(10))
  numbers = data.train.image[:, 1, 0, 0]
  assert sorted([*numbers, *held_out]) == list(TRAIN)
  assert_array_equal(data.test.image[:, 1, 0, 0], TEST)
  for part in (data.train, data.validation, data.test):
    assert part.image.dtype == np.uint8
    assert part.label.dtype == np.int32
    assert part.image.shape[1:] == shape
    assert_array_equal(part.label, part.image[:, 1, 0, 0] % 10)
    assert (part.image[:, 0, -1] == 255).all()
    assert (part.image == 255).sum() == part.image[:, 0, -1].size
  assert data.num_classes == 10
  assert data.native_size == shape[:2]


def test_the_matlab_files_of_svhn(tmp_path):
  write_svhn(tmp_path)
  raw = io.loadmat(tmp_path / 'train_32x32.mat')
  assert raw['X'].shape == (32, 32, 3, 40)
  assert (raw['y'].min(), raw['y'].max()) == (1, 10)
  data = load('svhn_mat', tmp_path)
  assert data.name == 'svhn_mat'
  check(data, (32, 32, 3))


def test_extra_images_train_and_never_validate(tmp_path):
  write_svhn(tmp_path)
  plain = load('svhn_mat', tmp_path, 20)
  extra = load('svhn_mat_extra', tmp_path, 20)
  assert extra.name == 'svhn_mat_extra'
  for part in ('validation', 'test'):
    for theirs, ours in zip(
      getattr(plain, part), getattr(extra, part), strict=True
    ):
      assert_array_equal(ours, theirs)
  assert_array_equal(extra.train.image[:20], plain.train.image)
  assert_array_equal(extra.train.label[:20], plain.train.label)
  assert_array_equal(extra.train.image[20:, 1, 0, 0], EXTRA)
  assert_array_equal(extra.train.label[20:], np.array(EXTRA) % 10)
  assert extra.train.image.dtype == np.uint8
  (tmp_path / 'extra_32x32.mat').unlink()
  check(load('svhn_mat', tmp_path), (32, 32, 3))
  with pytest.raises(InputError, match=r'holds no extra_32x32\.mat; .*http'):
    load('svhn_mat_extra', tmp_path)


@pytest.mark.parametrize('end', ['', '.gz'])
@pytest.mark.parametrize('dot', ['-', '.'])
def test_idx_files(tmp_path, dot, end):
  write_idx(tmp_path, dot, end)
  check(load('idx', tmp_path), (28, 28, 1))


def test_idx_files_may_be_mixed_and_the_plain_one_is_read(tmp_path):
  write_idx(tmp_path)
  name = 'train-labels-idx1-ubyte'
  (tmp_path / f'{name}.gz').write_bytes(b'not gzip')
  plain = tmp_path / 't10k-images-idx3-ubyte'
  data = gzip.compress(plain.read_bytes())
  plain.with_name(f'{plain.name}.gz').write_bytes(data)
  plain.unlink()
  check(load('idx', tmp_path), (28, 28, 1))


@pytest.mark.parametrize(
  ('shape', 'column'), [((28, 28), False), ((9, 7, 3), True)]
)
def test_npz_files(tmp_path, shape, column):
  arrays = npz_arrays(shape)
  if column:  # as in Keras's cifar10
    for key in ('y_train', 'y_test'):
      arrays[key] = arrays[key][:, None].astype(np.int64)
  np.savez_compressed(tmp_path / 'mnist.npz', **arrays)
  expected = shape if len(shape) == 3 else (*shape, 1)
  check(load('npz', tmp_path), expected)
  check(load('npz', tmp_path / 'mnist.npz'), expected)


@pytest.mark.parametrize('name', ['idx', 'npz'])
def test_the_largest_training_label_gives_the_number_of_classes(tmp_path, name):
  WRITERS[name](tmp_path)
  label = np.arange(len(TRAIN), dtype=np.uint8) % 20
  if name == 'npz':
    write_npz(tmp_path, y_train=label)
  else:
    path = tmp_path / 'train-labels-idx1-ubyte'
    path.write_bytes(idx_bytes(label))
  data = load(name, tmp_path, 20)
  assert data.num_classes == 20
  assert_array_equal(np.sort(data.validation.label), np.arange(20))


@pytest.mark.parametrize('name', WRITERS)
def test_paths_with_spaces_and_letters_of_any_alphabet(
  tmp_path, monkeypatch, name
):
  folder = tmp_path / 'meine Größen' / '数字 [1]'
  folder.mkdir(parents=True)
  WRITERS[name](folder)
  size = len(load(name, folder).test.label)
  assert size == len(TEST)
  monkeypatch.setenv('HOME', str(tmp_path))
  assert len(load(name, '~/meine Größen/数字 [1]').test.label) == size


@pytest.mark.parametrize(
  ('name', 'wanted'),
  [
    ('svhn_mat', ('train_32x32.mat', 'ufldl.stanford.edu')),
    ('svhn_mat_extra', ('extra_32x32.mat', 'ufldl.stanford.edu')),
    ('idx', ('t10k-labels-idx1-ubyte', 'storage.googleapis.com')),
    ('npz', ('x_train, y_train, x_test', 'mnist.npz')),
  ],
)
def test_absent_files_are_named_with_their_source(tmp_path, name, wanted):
  for data_dir in (None, str(tmp_path), str(tmp_path / 'nowhere')):
    with pytest.raises(InputError) as error:
      LOADERS[name](data_dir, 10)
    message = str(error.value)
    assert message.startswith('config.data.data_dir ')
    assert all(words in message for words in wanted)
    assert '\n' not in message


def test_two_npz_files_are_one_too_many(tmp_path):
  write_npz(tmp_path)
  np.savez(tmp_path / 'other.npz', x=0)
  with pytest.raises(InputError, match=r'holds 2 \.npz files'):
    load('npz', tmp_path)
  assert load('npz', tmp_path / 'data.npz').num_classes == 10


BROKEN = {
  'svhn_mat': 'train_32x32.mat',
  'svhn_mat_extra': 'extra_32x32.mat',
  'idx': 'train-images-idx3-ubyte',
  'npz': 'data.npz',
}


@pytest.mark.parametrize('kept', [0, 1, 3, 5, 20, 130, 200, 0.5, 0.99])
@pytest.mark.parametrize('name', BROKEN)
def test_truncated_files_are_named(tmp_path, name, kept):
  WRITERS[name](tmp_path)
  path = tmp_path / BROKEN[name]
  data = path.read_bytes()
  kept = int(kept * len(data)) if isinstance(kept, float) else kept
  path.write_bytes(data[:kept])
  with pytest.raises(InputError) as error:
    load(name, tmp_path)
  assert str(path) in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', BROKEN)
def test_other_files_under_the_name_are_refused(tmp_path, name):
  WRITERS[name](tmp_path)
  path = tmp_path / BROKEN[name]
  npy = tmp_path / 'array.npy'
  np.save(npy, np.zeros(3))
  for data in (
    b'<!DOCTYPE html><html><title>404</title></html>' * 50,
    npy.read_bytes(),
    gzip.compress(path.read_bytes()),
  ):
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
      load(name, tmp_path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
  'damage',
  [
    lambda data: data[: len(data) // 2],
    lambda data: data[:-6] + b'\0' + data[-5:],  # the checksum
    lambda data: data[:40] + b'\xff' * 40 + data[80:],
    lambda data: gzip.decompress(data),
  ],
)
def test_damaged_gz_files_are_named(tmp_path, damage):
  write_idx(tmp_path, end='.gz')
  path = tmp_path / 'train-images-idx3-ubyte.gz'
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(InputError, match=r'cannot read .*idx3-ubyte\.gz: '):
    load('idx', tmp_path)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda d: d[:3] + b'\1' + d[4:], '0x00000801, not 0x00000803'),
    (lambda d: d[:2] + b'\x0d' + d[3:], '0x00000d03, not 0x00000803'),
    (lambda d: d + b'\0', 'has 31377 bytes, but its header says 31376'),
    (lambda d: d[:4] + b'\xff' * 12 + d[16:], 'has 31376 bytes'),
  ],
)
def test_wrong_idx_headers(tmp_path, change, message):
  write_idx(tmp_path)
  path = tmp_path / 'train-images-idx3-ubyte'
  path.write_bytes(change(path.read_bytes()))
  with pytest.raises(InputError, match=f'train-images-idx3-ubyte .*{message}'):
    load('idx', tmp_path)


def test_labels_of_other_images(tmp_path):
  write_idx(tmp_path)
  path = tmp_path / 'train-labels-idx1-ubyte'
  path.write_bytes(idx_bytes(np.zeros(39, np.uint8)))
  with pytest.raises(InputError, match=r', train labels .* \[40\].* \[39\]'):
    load('idx', tmp_path)


class Bomb:
  """Object whose pickle, when loaded, creates the file `witness`."""

  def __init__(self, witness):
    self.witness = witness

  def __reduce__(self):
    return open, (self.witness, 'w')


def test_nothing_in_an_npz_file_is_unpickled(tmp_path):
  witness = tmp_path / 'executed'
  bomb = np.array([Bomb(str(witness))] * len(TRAIN), object)
  write_npz(tmp_path, x_train=bomb)
  with pytest.raises(InputError, match=r'data\.npz: Object arrays cannot'):
    load('npz', tmp_path)
  (tmp_path / 'data.npz').write_bytes(bomb.dumps())
  with pytest.raises(InputError, match=r'cannot read .*data\.npz'):
    load('npz', tmp_path)
  assert not witness.exists()


def test_missing_arrays_are_named(tmp_path):
  arrays = npz_arrays()
  del arrays['y_train'], arrays['x_test']
  np.savez(tmp_path / 'data.npz', **arrays)
  with pytest.raises(InputError, match=r'data\.npz has no y_train, x_test; '):
    load('npz', tmp_path)
  write_svhn(tmp_path)
  io.savemat(tmp_path / 'test_32x32.mat', {'X': np.zeros(3)})
  with pytest.raises(InputError, match=r'test_32x32\.mat has no y; '):
    load('svhn_mat', tmp_path)


@pytest.mark.parametrize(
  ('name', 'more', 'message'),
  [
    ('npz', {'x_train': np.zeros((40, 8, 8))}, 'uint8 .* not float64'),
    ('npz', {'x_train': np.zeros(40, np.uint8)}, r'not \[40\]'),
    ('npz', {'y_train': np.zeros(40)}, 'integers .* not float64'),
    ('npz', {'y_train': np.full(40, -1)}, r'range over -1\.\.-1'),
    ('npz', {'y_train': np.full(40, 2**32)}, 'range over 4294967296'),
    ('npz', {'y_train': np.array(['a'] * 40)}, 'integers .* not <U1'),
    ('npz', {'y_train': np.zeros((40, 10), int)}, r'not int64 \[40, 10\]'),
    ('npz', {'y_test': np.full(20, 10)}, r'0\.\.9, but range over 10'),
    ('svhn_mat', {'X': np.zeros((40, 32, 32, 3), np.uint8)}, r'\[32, 32, 3, N'),
    ('svhn_mat', {'X': {'a': 1}}, r'X in .* must be \[32, 32, 3, N\]'),
    ('svhn_mat', {'y': np.ones((1, 3), np.uint8)}, r'\[40\], not uint8 \[1, 3'),
    ('svhn_mat', {'y': np.full((40, 1), 0.5)}, 'integers .* not float64'),
    ('svhn_mat', {'y': 'nine'}, 'integers .* not <U4'),
  ],
)
def test_other_contents_are_refused(tmp_path, name, more, message):
  WRITERS[name](tmp_path, **more)
  with pytest.raises(InputError, match=message):
    load(name, tmp_path)


def test_labels_that_matlab_has_saved_again_are_whole_numbers(tmp_path):
  write_svhn(tmp_path)
  want = load('svhn_mat', tmp_path).train.label
  path = tmp_path / 'train_32x32.mat'
  arrays = io.loadmat(path)
  io.savemat(path, {'X': arrays['X'], 'y': arrays['y'].astype(float)})
  assert_array_equal(load('svhn_mat', tmp_path).train.label, want)


def test_labels_beyond_the_digits_are_refused(tmp_path):
  write_svhn(tmp_path)
  path = tmp_path / 'train_32x32.mat'
  arrays = io.loadmat(path)
  arrays['y'][-1] = 11
  io.savemat(path, {'X': arrays['X'], 'y': arrays['y']})
  with pytest.raises(InputError, match=r'svhn_mat train .* range over 0\.\.11'):
    load('svhn_mat', tmp_path)


@pytest.mark.parametrize('name', WRITERS)
def test_impossible_validation_splits(tmp_path, name):
  WRITERS[name](tmp_path)
  with pytest.raises(InputError, match=r'config\.data\.num_validation'):
    load(name, tmp_path, 50)
