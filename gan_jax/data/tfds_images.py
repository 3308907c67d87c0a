"""Image data sets of TensorFlow Datasets, read without TensorFlow.

They must have been prepared in the array_record format. Decoding takes seconds
to minutes, so each split of labelled images is cached as one array.
"""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from gan_jax.core.errors import InputError
from gan_jax.core.files import expand, replacing
from gan_jax.data.dataset import Dataset, Examples, hold_out_validation
from gan_jax.data.image_files import map_in_threads

_VERSIONS = {
  'mnist': '3.0.1',
  'fashion_mnist': '3.0.1',
  'cifar10': '3.0.2',
  'svhn_cropped': '3.1.0',
}
CYCLE_GAN = tuple(
  f'cycle_gan/{name}'
  for name in (
    'apple2orange', 'summer2winter_yosemite', 'horse2zebra', 'monet2photo',
    'cezanne2photo', 'ukiyoe2photo', 'vangogh2photo', 'maps', 'cityscapes',
    'facades', 'iphone2dslr_flower',
  )
)  # fmt: skip
_VERSIONS |= dict.fromkeys(CYCLE_GAN, '3.0.0')

_FEATURES = 'tensorflow_datasets.core.features.'


def _cache_dir() -> pathlib.Path:
  base = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(base) / 'gan_jax'


def _prepared_dir(
  name: str, data_dir: str | None, splits: Sequence[str]
) -> pathlib.Path:
  """Finds the folder of a prepared data set, with all files of the splits.

  Raises:
    InputError: it is not prepared or incomplete; the message says how to
      prepare it.
  """
  base = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
  base = expand(base)
  folder = base / name / _VERSIONS[name]
  prepare = (
    'pip install tensorflow importlib_resources && '
    'python -c "import tensorflow_datasets as tfds; '
    f"tfds.builder('{name}:{_VERSIONS[name]}', data_dir='{base}', "
    "file_format='array_record').download_and_prepare()\""
  )
  if not (folder / 'dataset_info.json').is_file() or not any(
    folder.glob('*.array_record*')
  ):
    raise InputError(
      f'{name} {_VERSIONS[name]} is not prepared in {base} '
      '(config.data.data_dir or TFDS_DATA_DIR sets the folder). To prepare it, '
      f'which downloads it: {prepare}'
    )
  for split in splits:
    files = [path.name for path in folder.glob(f'*-{split}.array_record*')]
    number = re.search(r'-of-(\d+)$', files[0]) if files else None
    if not files or (number and len(files) != int(number[1])):
      raise InputError(
        f'{folder} holds {len(files)} of the '
        f'{int(number[1]) if number else "array_record"} files of split '
        f'{split}; restore them, or remove the folder and prepare it again: '
        f'{prepare}'
      )
  return folder


def _check_features(folder: pathlib.Path) -> None:
  """Refuses a folder whose features.json names classes outside of TFDS.

  TFDS imports the module of any class named there, and a run directory names
  its data folder: without this check, opening someone else's run could execute
  their code.
  """
  path = folder / 'features.json'

  def check(pairs):
    for key, value in pairs:
      names_class = key in ('pythonClassName', 'python_class_name', 'type')
      if names_class and not str(value).startswith(_FEATURES):
        raise InputError(
          f'{path} names the class {value!r}, which is not one of TensorFlow '
          "Datasets' own; this data set is not read"
        )

  try:
    json.loads(path.read_text(), object_pairs_hook=check)
  except InputError:
    raise
  except (OSError, ValueError) as error:
    raise InputError(
      f'cannot read {path}: {error}; prepare it again'
    ) from error


def _open_split(folder: pathlib.Path, split: str) -> Sequence:
  """Opens a split's examples, which are decoded on access."""
  import tensorflow_datasets as tfds  # slow to import

  _check_features(folder)
  try:
    return tfds.builder_from_directory(folder).as_data_source(split)
  except Exception as error:  # a broken folder can raise nearly anything
    raise _unreadable(folder, split, error) from error


def _unreadable(folder: pathlib.Path, split: str, error: object) -> InputError:
  return InputError(
    f'cannot read split {split} of {folder}: {error}; prepare it again'
  )


def _read_split(folder: pathlib.Path, split: str) -> Examples:
  bar = tqdm(
    _open_split(folder, split),
    desc=f'reading {folder.parent.name} {split}',
    disable=not sys.stderr.isatty(),
  )
  try:
    rows = [(row['image'], row['label']) for row in bar]
    images, labels = zip(*rows, strict=True)
    return Examples(np.stack(images), np.asarray(labels, np.int32))
  except Exception as error:  # a broken record can raise nearly anything
    raise _unreadable(folder, split, error) from error


def _read_cached(folder: pathlib.Path, split: str) -> Examples:
  """Reads a split, from the cache if the prepared files are unchanged."""
  stamp = hashlib.sha256(str(folder.resolve()).encode())
  for file in sorted(folder.iterdir()):
    stat = file.stat()
    stamp.update(f'{file.name} {stat.st_size} {stat.st_mtime_ns}\n'.encode())
  name = f'{folder.parent.name}-{split}-{stamp.hexdigest()[:16]}.npz'
  path = _cache_dir() / name
  try:
    with np.load(path, allow_pickle=False) as file:
      return Examples(file['image'], file['label'])
  except Exception:  # absent or truncated: read the source
    examples = _read_split(folder, split)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
      np.savez(file, image=examples.image, label=examples.label)
  except OSError as error:
    print(
      f'warning: cannot cache {folder.parent.name} in {path}: {error}',
      file=sys.stderr,
    )
  return examples


def load(
  name: str, data_dir: str | None, num_validation: int, *, extra: bool = False
) -> Dataset:
  """Loads a data set, optionally with its split `extra` as training data."""
  splits = ('train', 'test', 'extra') if extra else ('train', 'test')
  folder = _prepared_dir(name, data_dir, splits)
  train, test, *more = (_read_cached(folder, split) for split in splits)
  if extra:
    name = f'{name}_extra'
  return hold_out_validation(name, train, test, 10, num_validation, *more)


@dataclasses.dataclass(frozen=True)
class Records:
  """Some of a split's images, decoded on each access."""

  split: str  # its name in messages
  data: Sequence[Mapping[str, Any]]
  rows: tuple[int, ...]

  def __len__(self) -> int:
    return len(self.rows)

  def take(self, rows: Iterable[int]) -> 'Records':
    return dataclasses.replace(self, rows=tuple(self.rows[i] for i in rows))

  def name(self, index: int) -> str:
    return f'image {self.rows[index]} of {self.split}'

  def read(self, index: int, channels: int) -> np.ndarray:
    try:
      image = self.data[self.rows[index]]['image']
    except Exception as error:  # a broken record can raise nearly anything
      raise InputError(
        f'cannot read {self.name(index)}: {error}; prepare it again'
      ) from error
    if image.shape[-1] != channels:
      raise InputError(
        f'{self.name(index)} has {image.shape[-1]} channels, not {channels}; '
        'prepare it again'
      )
    return image

  def sha256(self) -> str:
    """Hashes the images' sizes and pixels, in order."""

    def one(index):
      image = self.read(index, 3)
      return hashlib.sha256(
        f'{image.shape}'.encode() + image.tobytes()
      ).digest()

    parts = map_in_threads(one, range(len(self)), 'hashing images')
    return hashlib.sha256(b''.join(parts)).hexdigest()


def open_images(name: str, data_dir: str | None, split: str) -> Records:
  """Opens one split's images, of any sizes, without their labels."""
  folder = _prepared_dir(name, data_dir, [split])
  data = _open_split(folder, split)
  return Records(f'split {split} of {folder}', data, tuple(range(len(data))))


LOADERS = {
  name: functools.partial(load, name)
  for name in _VERSIONS
  if name not in CYCLE_GAN
}
LOADERS['svhn_cropped_extra'] = functools.partial(
  load, 'svhn_cropped', extra=True
)
