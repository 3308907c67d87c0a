"""Data sets in their published file formats, read without TFDS."""

import functools
import gzip
import math
import pathlib
import struct
from collections.abc import Callable

import numpy as np

from gan_jax.core.errors import InputError
from gan_jax.core.files import expand
from gan_jax.data.dataset import (
  Dataset,
  Examples,
  check_examples,
  hold_out_validation,
)

_SVHN = (
  'it must name a folder with train_32x32.mat, test_32x32.mat and, for '
  'svhn_mat_extra, extra_32x32.mat, from '
  'http://ufldl.stanford.edu/housenumbers/'
)
_IDX = (
  'it must name a folder with train-images-idx3-ubyte, '
  'train-labels-idx1-ubyte, t10k-images-idx3-ubyte and '
  't10k-labels-idx1-ubyte, each plain or .gz, e.g. from '
  'https://storage.googleapis.com/cvdf-datasets/mnist/ or '
  'https://github.com/zalandoresearch/fashion-mnist'
)
_NPZ = (
  'it must name a .npz file, or a folder with only one, that holds x_train, '
  'y_train, x_test and y_test, e.g. '
  'https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz'
)


def _find(
  data_dir: str | None, names: tuple[str, ...], expected: str
) -> pathlib.Path:
  """Finds a file by its possible names; InputError if there is none."""
  if data_dir is None:
    raise InputError(f'config.data.data_dir is None; {expected}')
  for name in names:
    path = expand(data_dir) / name
    if path.is_file():
      return path
  raise InputError(
    f'config.data.data_dir = {data_dir} holds no {names[0]}; {expected}'
  )


def _read(path: pathlib.Path, read: Callable, keys: tuple[str, ...] = ()):
  """Calls `read(path)`; InputError if it fails or lacks one of `keys`."""
  try:
    content = read(path)
  except Exception as error:  # a broken file can raise nearly anything
    reason = ' '.join(str(error).split())  # some of numpy's are many lines
    raise InputError(
      f'cannot read {path}: {reason}; download it again'
    ) from error
  missing = [key for key in keys if key not in content]
  if missing:
    raise InputError(
      f'{path} has no {", ".join(missing)}; it must hold {", ".join(keys)}'
    )
  return content


def _examples(image: np.ndarray, label: np.ndarray, part: str) -> Examples:
  """Builds examples from images [N, H, W(, C)] and labels [N] or [N, 1]."""
  if image.ndim == 3:
    image = image[..., None]
  if label.ndim == 2 and label.shape[1] == 1:
    label = label[:, 0]
  check_examples(Examples(image, label), np.iinfo(np.int32).max, part)
  return Examples(image, label.astype(np.int32))


def _read_mat(data_dir: str | None, split: str) -> Examples:
  path = _find(data_dir, (f'{split}_32x32.mat',), _SVHN)
  from scipy import io  # slow to import

  keys = ('X', 'y')
  arrays = _read(path, lambda p: io.loadmat(p, variable_names=keys), keys)
  shape = arrays['X'].shape
  if shape[:-1] != (32, 32, 3):
    raise InputError(f'X in {path} must be [32, 32, 3, N], not {list(shape)}')
  image = np.ascontiguousarray(np.moveaxis(arrays['X'], -1, 0))
  label = arrays['y']
  if label.dtype.kind == 'f' and (label == np.round(label)).all():
    label = label.astype(np.int32)  # as Matlab saves numbers
  image, label = _examples(image, label, str(path))
  return Examples(image, np.where(label == 10, 0, label))


def load_svhn(
  data_dir: str | None, num_validation: int, *, extra: bool = False
) -> Dataset:
  """Loads Street View House Numbers (cropped digits) from Matlab files.

  References:
    Netzer et al. 2011, Reading Digits in Natural Images with Unsupervised
    Feature Learning.
  """
  splits = ('train', 'test', 'extra') if extra else ('train', 'test')
  train, test, *more = (_read_mat(data_dir, split) for split in splits)
  name = 'svhn_mat_extra' if extra else 'svhn_mat'
  return hold_out_validation(name, train, test, 10, num_validation, *more)


def _read_idx(data_dir: str | None, name: str, ndim: int) -> np.ndarray:
  """Reads an idx file, uint8 with `ndim` axes."""
  spellings = (name, name.replace('-idx', '.idx'))
  names = tuple(f'{s}{end}' for s in spellings for end in ('', '.gz'))
  path = _find(data_dir, names, _IDX)

  def read(path):
    with (gzip.open if path.suffix == '.gz' else open)(path, 'rb') as file:
      return file.read()

  data = _read(path, read)
  magic = bytes((0, 0, 8, ndim))
  if data[:4] != magic:
    raise InputError(
      f'{path} is not the idx file that its name suggests: it starts with '
      f'0x{data[:4].hex()}, not 0x{magic.hex()}; download it again'
    )
  start = 4 + 4 * ndim
  header = data[4:start].ljust(4 * ndim, b'\0')
  shape = struct.unpack(f'>{ndim}I', header)
  if len(data) != start + math.prod(shape):
    raise InputError(
      f'{path} has {len(data)} bytes, but its header says '
      f'{start + math.prod(shape)}; download it again'
    )
  return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def load_idx(data_dir: str | None, num_validation: int) -> Dataset:
  """Loads the four files of MNIST, or of a data set in its format."""
  train, test = (
    _examples(
      _read_idx(data_dir, f'{split}-images-idx3-ubyte', 3),
      _read_idx(data_dir, f'{split}-labels-idx1-ubyte', 1),
      f'{data_dir}, {split}',
    )
    for split in ('train', 't10k')
  )
  num_classes = 1 + int(train.label.max())
  return hold_out_validation('idx', train, test, num_classes, num_validation)


def load_npz(data_dir: str | None, num_validation: int) -> Dataset:
  """Loads an .npz file with Keras's names: x_train, y_train, x_test, y_test."""
  if data_dir is None:
    raise InputError(f'config.data.data_dir is None; {_NPZ}')
  path = expand(data_dir)
  paths = [path] if path.is_file() else list(path.glob('*.npz'))
  if len(paths) != 1:
    raise InputError(
      f'config.data.data_dir = {data_dir} holds {len(paths)} .npz files; {_NPZ}'
    )
  keys = ('x_train', 'y_train', 'x_test', 'y_test')

  def read(path):
    # np.load does not close a file that it opens itself and cannot read.
    with open(path, 'rb') as raw, np.load(raw, allow_pickle=False) as file:
      return {key: np.asarray(file[key]) for key in keys if key in file}

  arrays = _read(paths[0], read, keys)
  train, test = (
    _examples(arrays[f'x_{s}'], arrays[f'y_{s}'], f'{paths[0]}, {s}')
    for s in ('train', 'test')
  )
  num_classes = 1 + int(train.label.max())
  return hold_out_validation('npz', train, test, num_classes, num_validation)


LOADERS = {
  'svhn_mat': load_svhn,
  'svhn_mat_extra': functools.partial(load_svhn, extra=True),
  'idx': load_idx,
  'npz': load_npz,
}
