"""Metrics of one set of image files against another, without a run."""

import pathlib
import zipfile
from typing import Any

import numpy as np

from gan_jax.core.errors import InputError
from gan_jax.data.folders import resize_square
from gan_jax.data.image_files import find_images, map_in_threads, read_image
from gan_jax.evaluation.extractors import open_extractor
from gan_jax.evaluation.quality import Quality, parse_metrics
from gan_jax.metrics.artefacts import grid_artefact


def compare_folders(
  real: str,
  fake: str,
  *,
  metrics: str,
  extractor: str | None,
  size: int | None = None,
) -> dict[str, Any]:
  """Computes metrics of the images in one folder against those in another.

  Args:
    real: a folder of images, or an .npz file with an array `samples`, uint8
      [N, H, W, C], as `gan-jax sample` writes it.
    fake: the same for the generated images.
    metrics: comma-separated names of `evaluation.quality.METRICS`.
    extractor: see `evaluation.extractors`.
    size: side to which the central square of each image is resized (bicubic,
      anti-aliased); None: all images must have one size.

  Returns:
    n_real, n_fake, the extractor, `metrics.grid_artefact` (None for images
    smaller than 24 pixels) and the metrics' values.

  Raises:
    InputError: images of several sizes, an empty folder, a file that is no
      image, or another bad argument.
  """
  names = parse_metrics(metrics)
  found = open_extractor(extractor)
  quality = Quality(names, found, batch_size=50)
  channels = 3 if found.image_shape is None else found.image_shape[-1]
  images = {
    what: _read(source, channels, what, size)
    for what, source in (('real', real), ('fake', fake))
  }
  sizes = [x.shape[1:3] for x in images.values()]
  if sizes[0] != sizes[1]:
    raise InputError(
      f'the images in {real} are {"x".join(map(str, sizes[0]))}, those in '
      f'{fake} {"x".join(map(str, sizes[1]))} pixels; give --resize=N, the '
      'side to which their central squares are resized'
    )
  for what, x in images.items():
    quality.check(len(x), x.shape[1:], f'{what} images')
  features = [quality.features(x, what) for what, x in images.items()]
  return {
    'n_real': len(images['real']),
    'n_fake': len(images['fake']),
    'resize': size,
    'extractor': found.describe(),
    'grid': grid_artefact(images['fake'], images['real']),
    **quality.compare(*features),
  }


def _read(
  source: str, channels: int, what: str, size: int | None
) -> np.ndarray:
  """Reads the images of a folder or an .npz file, uint8 [N, H, W, C].

  Raises:
    InputError: an image cannot be read, or sizes differ and `size` is None.
  """
  if source.endswith('.npz'):
    names, images = [], _read_arrays(source, channels)
    if size is not None:
      images = [resize_square(image, size) for image in images]
  else:
    names = find_images(pathlib.Path(source))

    def read(path):
      image = read_image(path, channels)
      return image if size is None else resize_square(image, size)

    images = list(map_in_threads(read, names, f'reading {what} images'))
  for name, image in zip(names, images, strict=False):
    if image.shape != images[0].shape:
      raise InputError(
        f'{name} is {image.shape[0]}x{image.shape[1]} pixels and {names[0]} '
        f'{images[0].shape[0]}x{images[0].shape[1]}; all must have one size: '
        'give --resize=N, the side to which their central squares are resized'
      )
  return np.stack(images)


def _read_arrays(path: str, channels: int) -> np.ndarray:
  """Reads the samples of an .npz file; repeats gray to `channels` if needed."""
  try:
    with np.load(path) as arrays:
      images = arrays['samples']
  except FileNotFoundError:
    raise InputError(f'there is no file {path}') from None
  except (KeyError, ValueError, OSError, zipfile.BadZipFile):
    images = np.empty(0)
  if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
    raise InputError(
      f'{path} has no array samples of uint8 images [N, H, W, C]; gan-jax '
      'sample --output=FILE.npz writes one'
    )
  if images.shape[-1] == channels:
    return images
  if images.shape[-1] == 1:
    return np.broadcast_to(images, (*images.shape[:3], channels))
  raise InputError(
    f'{path} holds images of {images.shape[-1]} channels, but the extractor '
    f'takes {channels}'
  )
