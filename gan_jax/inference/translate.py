"""Translation of image files with a trained run."""

import math
import os
import pathlib
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.core.types import PRNGKey
from gan_jax.data.batches import to_uint8, to_unit_range
from gan_jax.data.image_files import (
  image_size,
  list_folder,
  read_image,
  select_images,
)
from gan_jax.runs.grids import save_png
from gan_jax.runs.restore import TrainedRun, load_generator


def translate_files(
  workdir: str | os.PathLike,
  source: str | os.PathLike,
  output: str | os.PathLike,
  *,
  direction: str | None = None,
  seed: int = 0,
  overwrite: bool = False,
  max_megapixels: float = 4.0,
  batch_size: int = 8,
) -> tuple[int, list[str]]:
  """Translates image files with a run's newest checkpoint.

  Args:
    workdir: the run directory.
    source: an image file, or a folder of images, searched with its sub-folders;
      a note names files of other kinds.
    output: the folder for the translations, created if necessary. Each keeps
      its image's size, sub-folder and name, as .png. If names differ in the
      extension only, it is kept: next to a.png, a.jpg becomes a.jpg.png.
    direction: see `make_translator`.
    seed: the seed of the noise, if the translator has any; noise also depends
      on a file's path within `source`.
    overwrite: whether existing files are replaced.
    max_megapixels: larger images are skipped, as they might not fit in memory;
      the limit applies to batches, too.
    batch_size: images of equal size that are translated at once. Another value
      may round pixels differently.

  Returns:
    The number of images translated, and a line with the reason for each file
    that could not be read or whose translation could not be written.

  Raises:
    InputError: there is nothing to translate, files are in the way, or the run
      does not translate; raised before anything is written.
  """
  source, output = pathlib.Path(source), pathlib.Path(output)
  targets = _plan(source, output, overwrite)
  root = source if source.is_dir() else source.parent
  translate, channels = make_translator(load_generator(workdir), direction)
  output.mkdir(parents=True, exist_ok=True)
  key = jax.random.key(seed)
  batches, failed = _batches(list(targets), batch_size, max_megapixels)
  with tqdm(
    desc='translating', total=len(targets), disable=not sys.stderr.isatty()
  ) as bar:
    bar.update(len(failed))
    for paths, num in batches:
      images = {}
      for path in paths:
        try:
          images[path] = read_image(path, channels)
        except InputError as error:
          failed[path] = str(error)
      if images:
        # As ASCII, because a name need not be valid Unicode.
        keys = [
          key_for(key, ascii(str(path.relative_to(root)))) for path in images
        ]
        rows = np.arange(num) % len(images)  # padded: one program for all
        made = translate(
          np.stack(list(images.values()))[rows], jnp.stack(keys)[rows]
        )
        for path, image in zip(images, made, strict=False):
          failed |= _save(path, targets[path], image)
      bar.update(len(paths))
  return len(targets) - len(failed), [failed[x] for x in targets if x in failed]


def _save(
  path: pathlib.Path, target: pathlib.Path, image: np.ndarray
) -> dict[pathlib.Path, str]:
  """Writes a translation; returns {} or a message by the image's path."""
  try:
    target.parent.mkdir(parents=True, exist_ok=True)
    save_png(target, np.broadcast_to(image, (*image.shape[:2], 3)))
  except OSError as error:
    return {path: f'cannot write {target}: {error.strerror or error}'}
  return {}


def _batches(
  paths: Sequence[pathlib.Path], batch_size: int, max_megapixels: float
) -> tuple[list[tuple[list[pathlib.Path], int]], dict[pathlib.Path, str]]:
  """Groups images by size.

  Returns:
    Batches, each with the number of rows to pad it to; and error messages of
    the other images by path.
  """
  failed, by_size = {}, defaultdict(list)
  for path in paths:
    try:
      by_size[_checked_size(path, max_megapixels)].append(path)
    except InputError as error:
      failed[path] = str(error)
  batches = []
  for size, alike in by_size.items():
    most = max(1, int(max_megapixels * 1e6 / math.prod(size)))
    num = min(batch_size, most, len(alike))
    batches += [(alike[i : i + num], num) for i in range(0, len(alike), num)]
  return batches, failed


def _checked_size(path: pathlib.Path, max_megapixels: float) -> tuple[int, int]:
  """Returns height and width of an image; raises InputError if too large."""
  size = image_size(path)
  megapixels = math.prod(size) / 1e6
  if megapixels > max_megapixels:
    raise InputError(
      f'{path} has {megapixels:.3g} megapixels, more than the limit of '
      f'{max_megapixels:g}; make it smaller, or raise the limit: each '
      'megapixel may take a gigabyte of memory'
    )
  return size


def _plan(
  source: pathlib.Path, output: pathlib.Path, overwrite: bool
) -> dict[pathlib.Path, pathlib.Path]:
  """Plans the output file of each input."""
  if source.is_dir():
    paths = select_images(source, list(_walk(source, output.absolute())))
  elif source.exists():
    paths = [source]
  else:
    raise InputError(f'there is no {source}; name an image or a folder of them')
  if output.exists() and not output.is_dir():
    raise InputError(f'{output} is a file; name a folder for the translations')
  root = source if source.is_dir() else source.parent
  alike = Counter((path.parent, path.stem) for path in paths)
  by_target: dict[pathlib.Path, pathlib.Path] = {}
  for path in paths:
    alone = alike[path.parent, path.stem] == 1 or path.suffix == '.png'
    folder = output / path.parent.relative_to(root)
    target = folder / f'{path.stem if alone else path.name}.png'
    twin = by_target.setdefault(target, path)
    if twin != path:
      raise InputError(
        f'{twin} and {path.name} would both become {target}; rename one of them'
      )
  taken = [target for target in by_target if target.exists()]
  if taken and not overwrite:
    more = f' and {len(taken) - 1} more' if len(taken) > 1 else ''
    raise InputError(
      f'{taken[0]}{more} would be replaced; name another folder, or give '
      '--overwrite'
    )
  return {path: target for target, path in by_target.items()}


def _walk(folder: pathlib.Path, output: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields the files in a folder and its sub-folders, except `output`."""
  for path in list_folder(folder):
    if not path.is_dir():
      yield path
    elif path.absolute() != output and not path.is_symlink():
      yield from _walk(path, output)


def make_translator(
  run: TrainedRun, direction: str | None = None
) -> tuple[Callable[[np.ndarray, PRNGKey], np.ndarray], int]:
  """Returns a run's translation as a function of images of any size.

  Args:
    run: an open run.
    direction: 'a2b' or 'b2a'; None: the run's only one, or a2b.

  Returns:
    A function from (uint8 [N, H, W, C], keys [N]) to uint8 [N, H, W, C'], which
    is compiled for each size, and C.

  Raises:
    InputError: the run does not translate, or not in that direction.
  """
  if run.system.translator is None:
    raise InputError(
      f'system {run.config.system} generates images from noise; use gan-jax '
      'sample'
    )
  ways = run.system.translator.ways
  direction = direction or min(ways)
  if direction not in ways:
    raise InputError(
      f'{run.directory.path} does not translate {direction}; choose '
      f'{" or ".join(sorted(ways))}'
    )
  *trained, channels = getattr(run.spec, f'{direction[0]}_shape')
  multiple = run.system.translator.side_multiple
  # Two pixels of the coarsest map, for reflection padding, or one if the
  # training images were that small.
  least = min(2 * multiple, *trained)
  weights = run.state.generator.averaged

  @jax.jit
  def forward(weights, images, keys):
    def one(image, key):  # each image has its own noise
      return ways[direction](weights, image[None], key)[0]

    return to_uint8(jax.vmap(one)(to_unit_range(images), keys))

  def translate(images, keys):
    height, width = images.shape[1:3]
    pads = [(0, max(least - n, -n % multiple)) for n in (height, width)]
    padded = np.pad(images, [(0, 0), *pads, (0, 0)], mode='reflect')
    return np.asarray(forward(weights, padded, keys))[:, :height, :width]

  return translate, channels
