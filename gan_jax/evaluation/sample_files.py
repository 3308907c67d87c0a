"""Export of samples as arrays or single image files, for other programs."""

import pathlib
from concurrent import futures

import numpy as np
from PIL import Image

from gan_jax.core import memory, os_errors
from gan_jax.core.errors import InputError
from gan_jax.core.files import replacing
from gan_jax.evaluation.samples import generate, generate_batches
from gan_jax.runs.restore import TrainedRun
from gan_jax.systems.system import Latents


def write_arrays(
  run: TrainedRun, rows: Latents, path: pathlib.Path, batch_size: int
) -> None:
  """Writes the images generated from N latents to an .npz file.

  Its arrays are `samples`, uint8 [N, H, W, C], or float32 points [N, 1, 1, 2]
  (one per panel of the generator, if it has several), and, for a conditional
  generator, `label`, int32 [N].

  Raises:
    InputError: the images do not fit into memory.
  """
  num = len(rows.z)
  height, width = run.spec.native_size
  memory.check(
    f'{num:,} images of {height}x{width} pixels',
    num * height * width * run.spec.image_shape[-1],
    memory.host_bytes(),
    'take a smaller --num, or a folder as --output',
  )
  arrays = generate(run, rows, batch_size)
  if rows.label is not None:
    arrays['label'] = np.asarray(rows.label)
  path.parent.mkdir(parents=True, exist_ok=True)
  with replacing(path) as file:
    np.savez(file, **arrays)


def write_images(
  run: TrainedRun, rows: Latents, folder: pathlib.Path, batch_size: int
) -> None:
  """Writes the images generated from N latents to single PNG files.

  The files are named 000000.png and so on, or 000000_LABEL.png for a
  conditional generator; several panels get a sub-folder each.

  Raises:
    InputError: the folder is not empty.
  """
  check_folder(folder)
  labels = None if rows.label is None else np.asarray(rows.label)
  first = 0
  with futures.ThreadPoolExecutor() as pool:
    for panels in generate_batches(run, rows, batch_size):
      for name, images in panels.items():
        parent = folder / name if len(panels) > 1 else folder
        parent.mkdir(parents=True, exist_ok=True)
        numbers = range(first, first + len(images))
        suffixes = ['' if labels is None else f'_{labels[i]}' for i in numbers]
        paths = [
          parent / f'{i:06d}{suffix}.png'
          for i, suffix in zip(numbers, suffixes, strict=True)
        ]
        list(pool.map(_save, paths, images))
      first += len(images)


def _save(path: pathlib.Path, image: np.ndarray) -> None:
  """Writes a PNG file without syncing the disk, unlike `grids.save_png`."""
  gray = image.shape[-1] == 1
  with os_errors.at(path):
    Image.fromarray(image[..., 0] if gray else image).save(path)


def check_folder(folder: pathlib.Path) -> None:
  """Raises InputError for a folder that is not empty, lest samples mix."""
  if folder.is_dir() and any(folder.iterdir()):
    raise InputError(
      f'{folder} is not empty; name a new folder, so that samples of several '
      'calls do not mix'
    )
