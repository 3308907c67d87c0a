"""A program on random images: to be timed or compiled, not to learn."""

from ml_collections import ConfigDict

from gan_jax.data.random_images import made_up, made_up_domains
from gan_jax.runs.program import Program, build


def made_up_program(config: ConfigDict, shape: tuple[int, int, int]) -> Program:
  """A config bound to random images [H, W, C], padded to its image_size."""
  rows = 10 * config.data.batch_size
  if 'crop_size' in config.data:
    config.data.load_size = config.data.crop_size = shape[0]
    images = made_up_domains(shape, rows, 1, crop_size=shape[0])
    return build(config, images)
  config.data.num_labels = 100  # labels change no speed
  side = config.data.image_size or shape[0]
  images = made_up((side, side, shape[2]), max(1000, rows), 10)
  return build(config, images)
