"""Data sets in folders of image files, and their layouts."""

import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from gan_jax.core import memory
from gan_jax.core.errors import InputError
from gan_jax.core.files import expand
from gan_jax.data.dataset import (
  Dataset,
  Examples,
  crop_to_native,
  hold_out_validation,
  take_out,
)
from gan_jax.data.image_files import (
  Pictures,
  find_images,
  is_image,
  list_folder,
  map_in_threads,
  note_skipped,
  read_image,
  refuse_bad,
  resize,
)

_PAIRS = (
  'it must name a folder with train/ and, if there is a test part, test/ (or '
  'val/), each with images of A (left) and B (right) side by side, or each '
  'with A/ and B/ where partners share a name; or a folder with A/train/ and '
  'B/train/, and A/test/ and B/test/'
)
_DOMAINS = (
  'it must name a folder with trainA/, trainB/ and, if there is a test part, '
  'testA/ and testB/'
)
_CLASSES = (
  'it must name a folder of images, or one with a folder of images per class, '
  'or a folder with such a train/ and, if there is a test part, such a test/ '
  '(or val/)'
)


def _root(data_dir: str | None, expected: str) -> pathlib.Path:
  if data_dir is None:
    raise InputError(f'config.data.data_dir is None; {expected}')
  root = expand(data_dir)
  if root.is_file():
    raise InputError(
      f'config.data.data_dir = {data_dir} is a file; if it is an archive, '
      f'unpack it first: {expected}'
    )
  if not root.is_dir():
    raise InputError(
      f'config.data.data_dir = {data_dir} does not exist; {expected}'
    )
  return root


def _splits(folder: pathlib.Path, expected: str) -> dict[str, pathlib.Path]:
  """Finds the splits 'train' and, if there is test/ or val/, 'test'."""
  if not (folder / 'train').is_dir():
    raise InputError(
      f'config.data.data_dir: {folder} has no train/; {expected}'
    )
  found = {'train': folder / 'train'}
  for name in ('test', 'val'):
    if (folder / name).is_dir():
      return found | {'test': folder / name}
  return found


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
  """Lists a folder's sub-folders; refuses a mixture with images."""
  entries = list_folder(folder)
  folders = [path for path in entries if path.is_dir()]
  files = [path for path in entries if not path.is_dir() and is_image(path)]
  if folders and files:
    raise InputError(
      f'{folder} holds both folders, e.g. {folders[0].name}, and images, e.g. '
      f'{files[0].name}; move one of the two elsewhere'
    )
  return folders


def _first(names: Sequence) -> str:
  more = f' and {len(names) - 1} more' if len(names) > 1 else ''
  return f'{names[0]}{more}'


def _by_stem(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """Finds images by name without extension, which partners share."""
  paths = find_images(folder)
  images = {path.stem: path for path in paths}
  twins = [path for path in paths if images[path.stem] != path]
  if twins:
    raise InputError(
      'more than one file in its folder has, but for the extension, the name '
      f'of {_first(twins)}; keep one of them'
    )
  return images


def _partners(
  folder_a: pathlib.Path, folder_b: pathlib.Path
) -> tuple[Pictures, Pictures]:
  a, b = _by_stem(folder_a), _by_stem(folder_b)
  alone = [(a | b)[stem] for stem in sorted(a.keys() ^ b.keys())]
  if alone:
    raise InputError(
      f'no partner in {folder_a} or {folder_b} for {_first(alone)}; partners '
      'must share a name, but for the extension'
    )
  return Pictures(tuple(a.values())), Pictures(tuple(b[stem] for stem in a))


def _sides(folder: pathlib.Path) -> tuple[Pictures, Pictures]:
  """Finds the pairs of one split."""
  if _subfolders(folder):
    return _partners(folder / 'A', folder / 'B')
  paths = tuple(find_images(folder))
  return Pictures(paths, 'left'), Pictures(paths, 'right')


def find_pairs(data_dir: str | None) -> dict[str, tuple[Pictures, Pictures]]:
  """Finds aligned pairs (A, B) of the splits 'train' and 'test'.

  Args:
    data_dir: a folder with `train/` and, if there is a test part, `test/` (or
      `val/`), each with images of A and B side by side, or each with `A/` and
      `B/`; or with `A/train/`, `B/train/` and so on. Files in A and B are
      partners if they share a name; their extensions may differ.

  Returns:
    A and B of each existing split, in the same order.

  Raises:
    InputError: another layout, or files without exactly one partner.
  """
  root = _root(data_dir, _PAIRS)
  if (root / 'train').is_dir() or not (root / 'A').is_dir():
    splits = _splits(root, _PAIRS)
    return {split: _sides(folder) for split, folder in splits.items()}
  a, b = (_splits(root / side, _PAIRS) for side in 'AB')
  if a.keys() != b.keys():
    raise InputError(
      f'only one of {root}/A and {root}/B has a test/ or val/; {_PAIRS}'
    )
  return {split: _partners(a[split], b[split]) for split in a}


def find_domains(data_dir: str | None) -> dict[str, tuple[Pictures, Pictures]]:
  """Finds two unaligned sets (A, B) of the splits 'train' and 'test'.

  Args:
    data_dir: a folder with `trainA/`, `trainB/` and, if there is a test part,
      `testA/` and `testB/`.

  Returns:
    A and B of each existing split.

  Raises:
    InputError: another layout, or an empty folder.
  """
  root = _root(data_dir, _DOMAINS)
  folders = {
    split: [root / f'{split}{side}' for side in 'AB']
    for split in ('train', 'test')
  }
  if not any(folder.is_dir() for folder in folders['test']):
    del folders['test']
  for folder in itertools.chain(*folders.values()):
    if not folder.is_dir():
      raise InputError(
        f'config.data.data_dir = {data_dir} has no {folder.name}/; {_DOMAINS}'
      )
  return {
    split: tuple(Pictures(tuple(find_images(folder))) for folder in both)
    for split, both in folders.items()
  }


def find_classes(
  data_dir: str | None,
) -> dict[str, tuple[Pictures, np.ndarray]]:
  """Finds images and their classes, of 'train' and, if there is one, 'test'.

  Args:
    data_dir: a folder of images, or with a folder of images per class; or a
      folder with such a `train/` and, if there is a test part, such a `test/`
      (or `val/`).

  Returns:
    Each split's files and their labels, int32 [N]: the index of the class in
    the sorted names, or 0 without classes.

  Raises:
    InputError: another layout, or a class without images or in one split only.
  """
  root = _root(data_dir, _CLASSES)
  if any((root / name).is_dir() for name in ('train', 'test', 'val')):
    folders = _splits(root, _CLASSES)
  else:
    folders = {'train': root}
  names = [{path.name for path in _subfolders(x)} for x in folders.values()]
  odd = sorted(names[0] ^ names[-1])
  if odd:
    raise InputError(
      f'train and {folders["test"].name} in {root} do not both have the class '
      f'{_first(odd)}; add its folder'
    )
  found = {}
  for split, folder in folders.items():
    classes = [find_images(path) for path in _subfolders(folder) or [folder]]
    labels = np.repeat(np.arange(len(classes)), [len(x) for x in classes])
    paths = tuple(itertools.chain(*classes))
    found[split] = Pictures(paths), labels.astype(np.int32)
  return found


def _take_test(
  train: Examples, num_classes: int, num_test: int | None
) -> tuple[Examples, Examples]:
  """Splits off a test part, class-balanced unless a class is too small.

  If `num_test` is None, it takes a tenth.
  """
  if num_test == 0:
    return train, Examples(*(x[:0] for x in train))
  part = 'the test part of image_folder'
  num = len(train.label) // 10 if num_test is None else num_test
  balanced = max(1, num // num_classes)
  if np.bincount(train.label).min() > balanced:
    return take_out(train, balanced * num_classes, num_classes, part)
  rows = Examples(np.arange(len(train.label)), np.zeros_like(train.label))
  rest, test = take_out(rows, max(1, num), 1, part)
  return (
    Examples(*(x[rest.image] for x in train)),
    Examples(*(x[test.image] for x in train)),
  )


def load_image_folder(config) -> Dataset:
  """Loads images of any size, with or without classes, as RGB squares.

  Args:
    config: the group `data`; `image_size` is the side to which the central
      square of each image is resized. For the layouts of `data_dir` see
      `find_classes`. Without a test part, `num_test` images are held out.

  Raises:
    InputError: no `image_size`, another layout, or files that cannot be read,
      unless `on_bad_file` is 'skip'.
  """
  size = config.image_size
  if size is None:
    raise InputError(
      'config.data.image_size is None; image_folder resizes its images: set '
      'the side, e.g. 64'
    )
  found = find_classes(config.data_dir)
  num = sum(len(labels) for _, labels in found.values())
  memory.check(
    f'{num:,} images of {size}x{size} pixels',
    num * size**2 * 3,
    memory.host_bytes(),
    f'reduce config.data.image_size = {size}, or the folder',
  )
  parts, bad = {}, []
  for split, (pictures, labels) in found.items():
    parts[split], reasons = _read_squares(split, pictures, labels, size)
    bad += reasons
  if bad and (config.on_bad_file == 'stop' or len(bad) == num):
    refuse_bad(bad, num)
  note_skipped(bad)
  train = parts['train']
  num_classes = 1 + int(max(labels.max() for _, labels in found.values()))
  if 'test' in parts:
    if config.num_test:
      raise InputError(
        f'config.data.num_test = {config.num_test}, but {config.data_dir} has '
        'a test part of its own; set it to 0'
      )
    test = parts['test']
  else:
    train, test = _take_test(train, num_classes, config.num_test)
  dataset = hold_out_validation(
    'image_folder', train, test, num_classes, config.num_validation
  )
  return dataset._replace(num_skipped=len(bad))


def resize_square(image: np.ndarray, size: int) -> np.ndarray:
  """Resizes the central square of an image, uint8 [H, W, C], to a side."""
  side = min(image.shape[:2])
  return resize(crop_to_native(image, (side, side)), (size, size))


def _read_squares(
  split: str, pictures: Pictures, labels: np.ndarray, size: int
) -> tuple[Examples, list[str]]:
  """Reads a split's images; returns them, and why others cannot be read."""

  def read(path):
    try:
      image = read_image(path, 3)
    except InputError as error:
      return str(error)
    return resize_square(image, size)

  read_all = map_in_threads(read, pictures.paths, f'reading {split} images')
  images = list(read_all)
  good = [i for i, image in enumerate(images) if not isinstance(image, str)]
  shape = (0, size, size, 3)
  whole = np.stack([images[i] for i in good]) if good else np.empty(shape, 'u1')
  bad = [image for image in images if isinstance(image, str)]
  return Examples(whole, labels[good]), bad
