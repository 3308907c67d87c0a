import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from gan_jax.runs.grids import (
  enlarge,
  grid,
  save_animation,
  save_panels,
  save_png,
)


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


def frames_of(path):
  with Image.open(path) as animation:
    assert animation.info['loop'] == 0
    for i in range(animation.n_frames):
      animation.seek(i)
      yield np.asarray(animation.convert('RGB')), animation.info['duration']


@pytest.mark.parametrize('suffix', ['gif', 'webp'])
def test_greys_survive_an_animation(tmp_path, suffix):
  frames = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 1), np.uint8)
  path = tmp_path / 'a' / f'b.{suffix}'
  save_animation(path, frames)
  read, durations = zip(*frames_of(path), strict=True)
  assert_array_equal(np.stack(read), frames.repeat(3, axis=-1))
  assert durations == (50,) * 5


def test_colours_survive_an_animation(tmp_path):
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (5, 70, 70, 3), np.uint8)
  save_animation(tmp_path / 'a.webp', frames)
  read, _ = zip(*frames_of(tmp_path / 'a.webp'), strict=True)
  assert_array_equal(np.stack(read), frames)
  few = frames[:, :7, :7]  # not more colours than a GIF frame can have
  save_animation(tmp_path / 'a.gif', few)
  read, _ = zip(*frames_of(tmp_path / 'a.gif'), strict=True)
  assert_array_equal(np.stack(read), few)


def test_the_suffix_decides_what_a_panel_becomes(tmp_path):
  rng = np.random.default_rng(0)
  panels = {
    name: rng.integers(0, 256, (3, 32, 32, 1), np.uint8) for name in ('a', 'b')
  }
  paths = save_panels(tmp_path / 'x.PNG', panels, 2)
  assert [path.name for path in paths] == ['x_a.PNG', 'x_b.PNG']
  for path, panel in zip(paths, panels.values(), strict=True):
    assert_array_equal(Image.open(path), grid(panel, 2))
  (path,) = save_panels(tmp_path / 'x.gif', {'a': panels['a']}, 2)
  assert path.name == 'x.gif'
  read, _ = zip(*frames_of(path), strict=True)
  assert_array_equal(np.stack(read)[..., :1], enlarge(panels['a']))
  assert not list(tmp_path.glob('*.tmp'))


def test_points_are_drawn_in_the_plane():
  """From -5 to 5, y upwards; what lies outside is left out."""
  points = np.array([[0, 2.5], [-2.5, 0], [2.5, -2.5], [9, 0]], np.float32)
  canvas = grid(points[:, None, None], 2)
  assert canvas.shape == (401, 401, 3)
  rows, columns = np.nonzero((canvas == 0).all(axis=-1))
  for x, y in points[:3]:
    near = abs(columns - (200 + 40 * x)) + abs(rows - (200 - 40 * y)) < 4
    assert near.sum() == 4
  assert len(rows) == 12
