"""Translating image files by what was trained in a run directory."""

import math
import os
import pathlib
import sys
from collections import Counter
from collections.abc import Callable

import jax
import numpy as np
from tqdm import tqdm

from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.core.types import PRNGKey
from gan_jax.data.batches import to_uint8, to_unit_range
from gan_jax.data.image_files import image_size, list_folder, read_image
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
) -> tuple[int, list[str]]:
  """Translates image files by a run's newest checkpoint.

  Args:
    workdir: the run directory.
    source: an image file, or a folder of which every file is tried.
    output: the folder for the translations, each of its image's size and name,
      as .png; it is made if need be. Where names differ in their extension
      alone, it is kept: a.jpg beside a.png becomes a.jpg.png.
    direction: see `make_translator`.
    seed: of whatever noise there is, which also depends on a file's name.
    overwrite: whether files that are there are replaced.
    max_megapixels: larger images are skipped, as they might not fit in memory.

  Returns:
    How many images were translated, and for each file that could not be read,
    or whose translation could not be written, a line that says why.

  Raises:
    InputError: nothing to translate, files in the way, or a run that cannot do
      it; before anything is written.
  """
  output = pathlib.Path(output)
  targets = _plan(pathlib.Path(source), output, overwrite)
  translate, channels = make_translator(load_generator(workdir), direction)
  output.mkdir(parents=True, exist_ok=True)
  key = jax.random.key(seed)
  skipped = []
  for path, target in tqdm(
    targets.items(), desc='translating', disable=not sys.stderr.isatty()
  ):
    try:
      _check_size(path, max_megapixels)
      image = read_image(path, channels)
      # As ASCII, since a name need not be valid Unicode.
      made = translate(image, key_for(key, ascii(path.name)))
      save_png(target, np.broadcast_to(made, (*made.shape[:2], 3)))
    except InputError as error:
      skipped.append(str(error))
    except OSError as error:
      skipped.append(f'cannot write {target}: {error.strerror or error}')
  return len(targets) - len(skipped), skipped


def _check_size(path: pathlib.Path, max_megapixels: float) -> None:
  megapixels = math.prod(image_size(path)) / 1e6
  if megapixels > max_megapixels:
    raise InputError(
      f'{path} has {megapixels:.3g} megapixels, more than the limit of '
      f'{max_megapixels:g}; make it smaller, or raise the limit, where each '
      'megapixel may take a gigabyte of memory'
    )


def _plan(
  source: pathlib.Path, output: pathlib.Path, overwrite: bool
) -> dict[pathlib.Path, pathlib.Path]:
  """Plans the output file of each input."""
  if source.is_dir():
    paths = [path for path in list_folder(source) if not path.is_dir()]
  elif source.exists():
    paths = [source]
  else:
    raise InputError(f'there is no {source}; name an image or a folder of them')
  if not paths:
    raise InputError(f'{source} holds no images; put some into it')
  if output.exists() and not output.is_dir():
    raise InputError(f'{output} is a file; name a folder for the translations')
  alike = Counter(path.stem for path in paths)
  by_target: dict[pathlib.Path, pathlib.Path] = {}
  for path in paths:
    alone = alike[path.stem] == 1 or path.suffix == '.png'
    target = output / f'{path.stem if alone else path.name}.png'
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


def make_translator(
  run: TrainedRun, direction: str | None = None
) -> tuple[Callable[[np.ndarray, PRNGKey], np.ndarray], int]:
  """A run's translation, of images of any size.

  Args:
    run: an open run.
    direction: 'a2b' or 'b2a'; None for the only one that the run has, or a2b.

  Returns:
    (uint8 [H, W, C], key) to uint8 [H, W, C'], and C. A new size is compiled.

  Raises:
    InputError: the run does not translate, or not in that direction.
  """
  if run.system.translator is None:
    raise InputError(
      f'system {run.config.system} makes images from noise; use gan-jax sample'
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
  # Two pixels of the coarsest map, for what reflects it, or one if it was
  # trained so.
  least = min(2 * multiple, *trained)
  weights = run.state.generator.averaged

  @jax.jit
  def forward(weights, image, key):
    made = ways[direction](weights, to_unit_range(image[None]), key)
    return to_uint8(made[0])

  def translate(image, key):
    height, width = image.shape[:2]
    pads = [(0, max(least - n, -n % multiple)) for n in (height, width)]
    padded = np.pad(image, [*pads, (0, 0)], mode='reflect')
    return np.asarray(forward(weights, padded, key))[:height, :width]

  return translate, channels
