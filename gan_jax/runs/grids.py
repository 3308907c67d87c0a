"""Image grids and animations."""

import pathlib
from typing import Any

import numpy as np
from PIL import Image

from gan_jax.core.files import replacing
from gan_jax.data.spec import POINT

_PLOT, _LIMIT = 401, 5.0  # pixels and half-width of the plane of points


def enlarge(images: np.ndarray, min_size: int = 64) -> np.ndarray:
  """Enlarges images [N, H, W, C] by repeating pixels.

  Args:
    images: of any dtype.
    min_size: minimal height; smaller images are enlarged by the least integer
      factor that reaches it.
  """
  scale = max(1, -(-min_size // images.shape[1]))
  return images.repeat(scale, axis=1).repeat(scale, axis=2)


def grid(images: np.ndarray, columns: int, *, min_size: int = 64) -> np.ndarray:
  """Lays images out in rows of `columns`, one pixel apart.

  Points are drawn in one plane instead.

  Args:
    images: uint8 [N, H, W, C], C = 1 or 3, or points [N, 1, 1, 2].
    columns: images per row.
    min_size: smaller images are enlarged, see `enlarge`.

  Returns:
    uint8 [H', W', 3]; unused cells are white.
  """
  if images.shape[1:] == POINT:
    return _scatter_plot(images[:, 0, 0])
  images = enlarge(images, min_size)
  if images.shape[-1] == 1:
    images = images.repeat(3, axis=-1)
  num, height, width, _ = images.shape
  rows = -(-num // columns)
  canvas = np.full(
    (rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 255, np.uint8
  )
  for i, image in enumerate(images):
    top = i // columns * (height + 1) + 1
    left = i % columns * (width + 1) + 1
    canvas[top : top + height, left : left + width] = image
  return canvas


def _scatter_plot(points: np.ndarray) -> np.ndarray:
  """Draws points [N, 2] in [-5, 5]^2, with a cross through the origin."""
  canvas = np.full((_PLOT, _PLOT, 3), 255, np.uint8)
  canvas[_PLOT // 2] = canvas[:, _PLOT // 2] = 200
  inside = points[(np.abs(points) < _LIMIT).all(axis=1)]
  x, y = ((inside / (2 * _LIMIT) + 0.5) * (_PLOT - 1)).astype(int).T
  for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
    canvas[_PLOT - 1 - y - dy, x + dx] = 0
  return canvas


def save_panels(
  path: pathlib.Path, panels: dict[str, np.ndarray], columns: int
) -> list[pathlib.Path]:
  """Writes panels of images, each to its own file.

  Args:
    path: ends in .png for grids, in .gif or .webp for animations.
    panels: uint8 [N, H, W, C] by name. If there are several, the names are
      added to the path's.
    columns: images per row of a grid.

  Returns:
    The files' paths.
  """
  paths = []
  for name, panel in panels.items():
    several = len(panels) > 1
    file = path.with_stem(f'{path.stem}_{name}') if several else path
    if file.suffix.lower() == '.png':
      save_png(file, grid(panel, columns))
    else:
      save_animation(file, enlarge(panel))
    paths.append(file)
  return paths


def save_png(path: pathlib.Path, image: np.ndarray) -> None:
  """Writes a uint8 [H, W, 3] image atomically."""
  _save(path, Image.fromarray(image), format='PNG')


def save_animation(path: pathlib.Path, frames: np.ndarray) -> None:
  """Writes a looping animation atomically.

  Args:
    path: ends in .gif (256 colours per frame, or all greys) or .webp
      (lossless).
    frames: uint8 [N, H, W, C], C = 1 or 3, shown at 20 frames per second.
  """
  if frames.shape[-1] == 1:
    frames = frames[..., 0]
  first, *rest = map(Image.fromarray, frames)
  _save(
    path,
    first,
    format=path.suffix[1:],
    save_all=True,
    append_images=rest,
    duration=50,
    loop=0,
    lossless=True,
  )


def _save(path: pathlib.Path, image: Image.Image, **options: Any) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  with replacing(path) as file:
    image.save(file, **options)
