"""Preprocessing of images: resizing and cropping."""

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
  """Converts a size from a config; one number is the side of a square."""
  return (side, side) if isinstance(side, int) else tuple(side)


class Preprocess(NamedTuple):
  """Resizing and cropping of images, with the modes of CycleGAN's code."""

  mode: str
  load: Size
  crop: Size

  @property
  def crops(self) -> bool:
    """Returns whether a step sees random crops."""
    return self.mode.endswith('crop')

  def resized(self, size: Size) -> Size:
    """Returns the size, before the crop, of an image of the given size."""
    if self.mode == 'resize_and_crop':
      return self.load
    if self.mode.startswith('scale_width'):
      height, width = size
      return max(1, round(height * self.load[1] / width)), self.load[1]
    return size

  def kept(self, size: Size, training: bool) -> Size:
    """Returns the size in which an image of the given size is stored.

    For training it is the size before the random crop. In validation and test
    the crop is replaced by resizing ('resize_and_crop') or a central crop.
    """
    if training or not self.crops:
      return self.resized(size)
    return self.crop

  def apply(self, image: np.ndarray, *, training: bool) -> np.ndarray:
    """Converts an image [H, W, C] to the size in which it is stored."""
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
      'none': 'not resized',
    }[self.mode]
    return resized + (f'cropped to {crop}' if self.crops else '')


def make_preprocess(config: ConfigDict) -> Preprocess:
  """Builds the preprocessing of a config's group `data`.

  Raises:
    InputError: a crop that is larger than the resized image.
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
        f'crop_size = {config.crop_size}; crops must fit in'
      )
  return found
