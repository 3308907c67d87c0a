"""Data sets of labelled images in memory: splits, subsets, label masks."""

from typing import NamedTuple

import numpy as np

from gan_jax.core import memory
from gan_jax.core.errors import InputError
from gan_jax.data.spec import POINT

# The splits are part of a data set's definition: no config changes this seed.
_SPLIT_SEED = 0


class Examples(NamedTuple):
  """Labelled images."""

  image: np.ndarray  # uint8 [N, H, W, C]
  label: np.ndarray  # int32 [N]


class Dataset(NamedTuple):
  """Data set of labelled images.

  Validation images select models; test images are for the final score only.
  """

  name: str
  train: Examples
  validation: Examples
  test: Examples
  num_classes: int
  native_size: tuple[int, int]  # the images' size before padding
  num_skipped: int = 0  # files that could not be read
  # Classes of a channel, if images are stacks of gray ones (`data.synthetic`).
  num_stacked: int | None = None


def class_balanced(
  labels: np.ndarray, num: int, num_classes: int, seed: int
) -> np.ndarray:
  """Draws a class-balanced random subset.

  Args:
    labels: integers [N] in 0..num_classes - 1.
    num: the size of the subset, a multiple of `num_classes`.
    num_classes: K.
    seed: the seed of the draw, which depends on it and the labels alone.

  Returns:
    The indices of the subset, [num], sorted.

  Raises:
    InputError: `num` is not divisible by K, or a class has too few examples.
  """
  if num % num_classes:
    raise InputError(
      f'{num} examples cannot be balanced over {num_classes} classes; use a '
      f'multiple of {num_classes}'
    )
  rng = np.random.Generator(np.random.Philox(seed))
  chosen = []
  for k in range(num_classes):
    candidates = rng.permutation(np.flatnonzero(labels == k))
    if len(candidates) < num // num_classes:
      raise InputError(
        f'class {k} has {len(candidates)} examples, fewer than the '
        f'{num // num_classes} needed for {num} class-balanced ones'
      )
    chosen.append(candidates[: num // num_classes])
  return np.sort(np.concatenate(chosen))


def take_out(
  examples: Examples, num: int, num_classes: int, part: str
) -> tuple[Examples, Examples]:
  """Splits off `num` class-balanced examples; returns (rest, taken)."""
  try:
    taken = class_balanced(examples.label, num, num_classes, _SPLIT_SEED)
  except InputError as error:
    raise InputError(f'{part}: {error}') from None
  mask = np.zeros(len(examples.label), bool)
  mask[taken] = True
  return (
    Examples(*(x[~mask] for x in examples)),
    Examples(*(x[mask] for x in examples)),
  )


def hold_out_validation(
  name: str,
  train: Examples,
  test: Examples,
  num_classes: int,
  num_validation: int,
  extra: Examples | None = None,
) -> Dataset:
  """Builds a data set with a validation part from its training split.

  `extra` is added to the remaining training images, never to validation.
  """
  train, validation = take_out(
    train, num_validation, num_classes, f'config.data.num_validation, {name}'
  )
  if extra is not None:
    pairs = zip(train, extra, strict=True)
    train = Examples(*(np.concatenate(pair) for pair in pairs))
  size = train.image.shape[1:3]
  return Dataset(name, train, validation, test, num_classes, size)


def select(
  dataset: Dataset, classes: tuple[int, ...] | None, num_train: int | None
) -> Dataset:
  """Selects some classes of a data set, and some of its training images.

  Args:
    dataset: the data set.
    classes: the labels to keep in all parts; the first becomes 0, the second 1,
      ...; None: all, unchanged.
    num_train: the number of training images to keep, class-balanced and always
      the same; None: all.

  Raises:
    InputError: an unknown or repeated class, a part without images of these
      classes, or too few training images.
  """
  if classes is not None:
    if not set(classes) <= set(range(dataset.num_classes)):
      raise InputError(
        f'config.data.classes = {classes}, but the classes of {dataset.name} '
        f'are 0..{dataset.num_classes - 1}'
      )
    if len(set(classes)) < len(classes):
      raise InputError(f'config.data.classes = {classes} names a class twice')
    parts = {}
    for part in ('train', 'validation', 'test'):
      image, label = getattr(dataset, part)
      kept = np.isin(label, classes)
      if not kept.any() and (part != 'test' or len(label)):
        raise InputError(
          f'{dataset.name} has no {part} images of config.data.classes = '
          f'{classes}; raise config.data.num_validation'
          if part == 'validation'
          else f'{dataset.name} has no {part} images of class {classes}'
        )
      new = np.argsort(classes)[np.searchsorted(sorted(classes), label[kept])]
      parts[part] = Examples(image[kept], new.astype(np.int32))
    dataset = dataset._replace(**parts, num_classes=len(classes))
  if num_train is not None:
    train = dataset.train
    try:
      kept = class_balanced(
        train.label, num_train, dataset.num_classes, _SPLIT_SEED
      )
    except InputError as error:
      raise InputError(f'config.data.num_train: {error}') from None
    dataset = dataset._replace(train=Examples(*(x[kept] for x in train)))
  return dataset


def label_mask(labels: np.ndarray, config, num_classes: int) -> np.ndarray:
  """Draws a class-balanced mask of the training labels to keep, bool [N]."""
  if config.num_labels is None:
    return np.ones(len(labels), bool)
  if config.num_labels > len(labels):
    raise InputError(
      f'config.data.num_labels = {config.num_labels} is more than the '
      f'{len(labels)} training images'
    )
  try:
    kept = class_balanced(
      labels, config.num_labels, num_classes, config.label_seed
    )
  except InputError as error:
    raise InputError(f'config.data.num_labels: {error}') from None
  mask = np.zeros(len(labels), bool)
  mask[kept] = True
  return mask


def check_examples(examples: Examples, num_classes: int, part: str) -> None:
  """Raises InputError unless shapes, dtypes and labels fit `Examples`."""
  image, label = examples
  if part.endswith(' test') and not len(image):
    return  # none were held out
  if image.shape[1:] == POINT and image.dtype == np.float32:
    if not np.isfinite(image).all():
      raise InputError(f'{part} points must be finite')
  elif image.dtype != np.uint8:
    raise InputError(
      f'{part} images must be uint8 in 0..255, not {image.dtype}; convert '
      'them, e.g. np.uint8(np.round(255 * x)) for x in [0, 1]'
    )
  elif image.ndim != 4 or image.shape[-1] not in (1, 3) or not image.size:
    raise InputError(
      f'{part} images must be [N, H, W, 1 or 3] with N, H, W > 0, not '
      f'{list(image.shape)}'
    )
  if label.shape != image.shape[:1] or label.dtype.kind not in 'iu':
    raise InputError(
      f'{part} labels must be integers [{len(image)}], not {label.dtype} '
      f'{list(label.shape)}'
    )
  if label.min() < 0 or label.max() >= num_classes:
    raise InputError(
      f'{part} labels must lie in 0..{num_classes - 1}, but range over '
      f'{label.min()}..{label.max()}'
    )


def prepare(dataset: Dataset, image_size: int | None) -> Dataset:
  """Checks a data set, and zero-pads its images to `image_size`."""
  if image_size is not None:
    if dataset.train.image.shape[1:] == POINT:
      raise InputError(
        f'config.data.image_size = {image_size}, but {dataset.name} has points '
        'instead of images; set it to None'
      )
    _check_memory(dataset, image_size)
  parts = {}
  for part in ('train', 'validation', 'test'):
    examples = getattr(dataset, part)
    check_examples(examples, dataset.num_classes, f'{dataset.name} {part}')
    if image_size is not None:
      height, width = dataset.native_size
      if image_size < max(height, width):
        raise InputError(
          f'config.data.image_size = {image_size} is smaller than the '
          f'{height}x{width} images; images are padded, never shrunk'
        )
      pads = [(0, 0)]
      for size in (height, width):
        before = (image_size - size) // 2
        pads.append((before, image_size - size - before))
      padded = np.pad(examples.image, [*pads, (0, 0)])
      examples = examples._replace(image=padded)
    parts[part] = examples
  shapes = {examples.image.shape[1:] for examples in parts.values()}
  if len(shapes) > 1:
    raise InputError(f'{dataset.name}: splits of different sizes, {shapes}')
  return dataset._replace(**parts)


def _check_memory(dataset: Dataset, image_size: int) -> None:
  images = [getattr(dataset, x).image for x in ('train', 'validation', 'test')]
  num, channels = sum(map(len, images)), images[0].shape[-1]
  memory.check(
    f'{num:,} images of {image_size}x{image_size} pixels',
    num * image_size**2 * channels,
    memory.host_bytes(),
    f'reduce config.data.image_size = {image_size}',
  )


def crop_to_native(images: np.ndarray, dataset_size: tuple[int, int]):
  """Undoes the padding of `prepare` on images [..., H, W, C]."""
  height, width = dataset_size
  top = (images.shape[-3] - height) // 2
  left = (images.shape[-2] - width) // 2
  return images[..., top : top + height, left : left + width, :]
