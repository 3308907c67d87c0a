"""Preprocessing of images: to which size they are resized, what is cropped."""

from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from gan_jax.core.errors import InputError
from gan_jax.data.image_files import resize

Size = tuple[int, int]  # height, width
MODES = (
  'resize_and_crop',
  'crop',
  'scale_width',
  'scale_width_and_crop',
  'none',
)


def pair(side: int | Size) -> Size:
  """A size from a config: one number is a square's side."""
  return (side, side) if isinstance(side, int) else tuple(side)


class Preprocess(NamedTuple):
  """Resizing and cropping, from images of any size to those of a step.

  The modes have the names that the authors of CycleGAN gave them.
  """

  mode: str
  load: Size
  crop: Size

  @property
  def crops(self) -> bool:
    """Tells whether a step sees a random part of an image."""
    return self.mode.endswith('crop')

  def resized(self, size: Size) -> Size:
    """The size in which an image of that size is kept for training."""
    if self.mode == 'resize_and_crop':
      return self.load
    if self.mode.startswith('scale_width'):
      height, width = size
      return max(1, round(height * self.load[1] / width)), self.load[1]
    return size

  def kept(self, size: Size, training: bool) -> Size:
    """The size in which an image of that size is kept.

    In validation and test an image is seen as a whole, or, where nothing else
    is said of its size, its central part.
    """
    if training or not self.crops:
      return self.resized(size)
    return self.crop

  def apply(self, image: np.ndarray, *, training: bool) -> np.ndarray:
    """An image [H, W, C] in the size in which it is kept."""
    if self.mode == 'resize_and_crop' and not training:
      return resize(image, self.crop)
    image = resize(image, self.resized(image.shape[:2]))
    size = self.kept(image.shape[:2], training)
    top, left = (
      (whole - part) // 2
      for whole, part in zip(image.shape[:2], size, strict=True)
    )
    return image[top : top + size[0], left : left + size[1]]

  def __str__(self) -> str:
    load, crop = (
      f'{height}x{width}' for height, width in (self.load, self.crop)
    )
    resized = {
      'resize_and_crop': f'resized to {load}, ',
      'scale_width': f'resized to a width of {self.load[1]}',
      'scale_width_and_crop': f'resized to a width of {self.load[1]}, ',
      'crop': '',
      'none': 'as they are',
    }[self.mode]
    return resized + (f'cropped to {crop}' if self.crops else '')


def make_preprocess(config: ConfigDict) -> Preprocess:
  """The preprocessing that a group `data` describes.

  Raises:
    InputError: a part that is larger than the whole.
  """
  found = Preprocess(
    config.preprocess, pair(config.load_size), pair(config.crop_size)
  )
  wide = found.mode == 'scale_width_and_crop'
  if found.mode == 'resize_and_crop' or wide:
    sides = zip(found.load, found.crop, strict=True)
    if any(whole < part for whole, part in list(sides)[wide:]):
      raise InputError(
        f'config.data.load_size = {config.load_size} is smaller than '
        f'crop_size = {config.crop_size}, the part of it that is seen'
      )
  return found
