import numpy as np
from numpy.testing import assert_array_equal
from PIL import Image

from gan_jax.reporting.images import grid, save_png


def test_a_grid_pixel_by_pixel():
  images = np.array([1, 2, 3], np.uint8).reshape(3, 1, 1, 1)
  w = 255
  want = [[w, w, w, w, w], [w, 1, w, 2, w], [w, w, w, w, w],
          [w, 3, w, w, w], [w, w, w, w, w]]  # fmt: skip
  canvas = grid(images, 2, min_size=1)
  assert canvas.shape == (5, 5, 3)
  for channel in range(3):
    assert_array_equal(canvas[..., channel], want)


def test_small_images_are_enlarged_by_whole_pixels():
  image = np.array([[1, 2], [3, 4]], np.uint8).reshape(1, 2, 2, 1)
  canvas = grid(image, 1, min_size=3)
  assert_array_equal(
    canvas[1:-1, 1:-1, 0], np.kron(image[0, ..., 0], [[1, 1], [1, 1]])
  )
  assert grid(np.zeros((1, 70, 70, 3), np.uint8), 1).shape == (72, 72, 3)


def test_colours_survive_the_file(tmp_path):
  image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
  save_png(tmp_path / 'a' / 'b.png', image)
  assert_array_equal(Image.open(tmp_path / 'a' / 'b.png'), image)
