"""Image grids."""

import os
import pathlib

import numpy as np
from PIL import Image


def grid(images: np.ndarray, columns: int, *, min_size: int = 64) -> np.ndarray:
  """Lays images out in rows of `columns`, one pixel apart.

  Args:
    images: uint8 [N, H, W, C], C = 1 or 3.
    columns: images per row.
    min_size: smaller images are enlarged by the least whole factor that makes
      them this high, pixel by pixel.

  Returns:
    uint8 [H', W', 3]; places without an image are white.
  """
  scale = max(1, -(-min_size // images.shape[1]))
  images = images.repeat(scale, axis=1).repeat(scale, axis=2)
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


def save_png(path: pathlib.Path, image: np.ndarray) -> None:
  """Writes a uint8 [H, W, 3] image, whole or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(path.name + '.tmp')
  Image.fromarray(image).save(temporary, format='PNG')
  os.replace(temporary, path)
