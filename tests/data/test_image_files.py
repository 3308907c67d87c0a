import hashlib
import os
import pickle
import struct
import sys
import warnings
import zlib
from concurrent import futures

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageFile

from gan_jax.core.errors import InputError
from gan_jax.data.image_files import (
  Pictures,
  StoredImages,
  find_images,
  image_size,
  map_in_threads,
  read_image,
  refuse_bad,
  resize,
  scan,
)

ROUNDED = 0.51  # gray values are rounded to integers: a half, and float errors
LOSSY = 2  # gray levels, the error of JPEG at its best quality

# All pixels differ, and so do height and width.
RGB = (np.arange(2 * 4 * 3) * 10).astype(np.uint8).reshape(2, 4, 3)
GRAY = (np.arange(2 * 4) * 30).astype(np.uint8).reshape(2, 4)


def luma(rgb):
  """Converts RGB to gray by ITU-R 601."""
  return rgb @ np.array([0.299, 0.587, 0.114])


@pytest.fixture
def save(tmp_path):
  def write(array, name='image.png', mode=None, **options):
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    path = tmp_path / name
    image.convert(mode or image.mode).save(path, **options)
    return path

  return write


def chunk(kind, data):
  checksum = struct.pack('>I', zlib.crc32(kind + data))
  return struct.pack('>I', len(data)) + kind + data + checksum


def png(width, height, depth, color, rows):
  """Returns a PNG file, whether or not the rows match its header."""
  header = struct.pack('>IIBBBBB', width, height, depth, color, 0, 0, 0)
  data = zlib.compress(b''.join(b'\0' + row for row in rows))
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header)
    + chunk(b'IDAT', data)
    + chunk(b'IEND', b'')
  )


@pytest.mark.parametrize('end', ['png', 'bmp', 'tif', 'webp'])
def test_rgb_and_gray_are_read_as_either(save, end):
  options = {'lossless': True} if end == 'webp' else {}
  path = save(RGB, f'color.{end}', **options)
  assert_array_equal(read_image(path, 3), RGB)
  gray = read_image(path, 1)
  assert gray.shape == (2, 4, 1)
  assert_allclose(gray[..., 0], luma(RGB), atol=ROUNDED)
  path = save(GRAY, f'gray.{end}', **options)
  assert_array_equal(read_image(path, 1), GRAY[..., None])
  assert_array_equal(read_image(path, 3), np.stack([GRAY] * 3, -1))
  assert read_image(path, 3).dtype == np.uint8


@pytest.mark.parametrize('suffix', ['jpg', 'JPEG'])
def test_jpeg(save, suffix):
  block = np.full((8, 16, 3), (200, 100, 50), np.uint8)
  read = read_image(save(block, f'image.{suffix}', quality=100), 3)
  assert read.shape == block.shape
  assert_allclose(read.astype(int), block, atol=LOSSY)


def test_the_name_does_not_decide_the_format(save, tmp_path):
  save(RGB, 'image.png').rename(tmp_path / 'image.jpg')
  assert_array_equal(read_image(tmp_path / 'image.jpg', 3), RGB)


def palette_image():
  image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), 'L').convert('P')
  image.putpalette([255, 0, 0, 0, 100, 0, 1, 2, 3])
  return image


@pytest.mark.parametrize('end', ['png', 'gif', 'bmp', 'tif'])
def test_palettes(save, end):
  path = save(palette_image(), f'image.{end}')
  assert Image.open(path).mode == 'P'
  expected = [[[255, 0, 0], [0, 100, 0], [1, 2, 3]]]
  assert_array_equal(read_image(path, 3), expected)
  assert_allclose(
    read_image(path, 1)[..., 0], luma(np.array(expected)), atol=ROUNDED
  )


@pytest.mark.parametrize(
  ('end', 'transparency', 'expected'),
  [
    ('gif', 1, [[255, 0, 0], [255, 255, 255], [1, 2, 3]]),
    ('png', 1, [[255, 0, 0], [255, 255, 255], [1, 2, 3]]),
    # alpha 51 is a fifth of the color and four of white
    ('png', b'\x33\xff\x00', [[255, 204, 204], [0, 100, 0], [255, 255, 255]]),
  ],
)
def test_palettes_with_transparency(save, end, transparency, expected):
  path = save(palette_image(), f'image.{end}', transparency=transparency)
  assert_array_equal(read_image(path, 3), [expected])


def test_transparency_is_laid_over_white(save):
  rgba = np.array(
    [[[100, 0, 50, 255], [100, 0, 50, 0], [100, 0, 50, 51]]], np.uint8
  )
  expected = [[[100, 0, 50], [255, 255, 255], [224, 204, 214]]]
  path = save(rgba)
  assert_array_equal(read_image(path, 3), expected)
  assert_allclose(
    read_image(path, 1)[..., 0], luma(np.array(expected)), atol=ROUNDED
  )
  gray = np.array([[[100, 255], [100, 0], [100, 51]]], np.uint8)
  path = save(
    Image.merge('LA', [Image.fromarray(x) for x in gray.T.swapaxes(1, 2)])
  )
  assert Image.open(path).mode == 'LA'
  assert_array_equal(read_image(path, 1), [[[100], [255], [224]]])
  assert_array_equal(read_image(path, 3)[0, 2], [224] * 3)


@pytest.mark.parametrize(
  ('array', 'transparency', 'channels'),
  [(GRAY, 30, 1), (RGB, (30, 40, 50), 3)],
)
def test_one_transparent_color(save, array, transparency, channels):
  path = save(array, transparency=transparency)
  expected = array.reshape(2, 4, channels).copy()
  expected[0, 1] = 255
  assert_array_equal(read_image(path, channels), expected)


def test_cmyk(save):
  image = Image.new('CMYK', (8, 8), (255, 0, 0, 0))
  path = save(image, 'image.jpg', quality=100)
  assert Image.open(path).mode == 'CMYK'
  cyan = np.broadcast_to([0, 255, 255], (8, 8, 3))
  assert_allclose(read_image(path, 3).astype(int), cyan, atol=LOSSY)
  assert_allclose(read_image(path, 1)[..., 0], luma(cyan), atol=LOSSY)
  assert_array_equal(read_image(save(image, 'image.tif'), 3), cyan)


def test_one_bit(save):
  path = save(Image.fromarray(np.array([[True, False, True]])))
  assert Image.open(path).mode == '1'
  assert_array_equal(read_image(path, 1), [[[255], [0], [255]]])
  assert_array_equal(read_image(path, 3)[0, 0], [255] * 3)


DEEP = np.array([[0, 128, 129, 257], [25700, 32768, 65406, 65535]])
SHALLOW = [[0, 0, 1, 1], [100, 128, 254, 255]]


@pytest.mark.parametrize(
  ('dtype', 'name', 'mode'),
  [
    ('<u2', 'image.png', 'I;16'),
    ('<u2', 'image.tif', 'I;16'),
    ('>u2', 'image.tif', 'I;16B'),
    ('<i4', 'image.tif', 'I'),
  ],
)
def test_sixteen_bits_are_scaled_not_clipped(save, dtype, name, mode):
  path = save(DEEP.astype(dtype), name)
  assert Image.open(path).mode == mode
  assert_array_equal(read_image(path, 1)[..., 0], SHALLOW)
  assert_array_equal(read_image(path, 3), np.stack([SHALLOW] * 3, -1))


def test_sixteen_bits_as_other_programs_write_them(tmp_path):
  path = tmp_path / 'image.png'
  rows = [row.astype('>u2').tobytes() for row in DEEP]
  path.write_bytes(png(4, 2, 16, 0, rows))
  assert_array_equal(read_image(path, 1)[..., 0], SHALLOW)


@pytest.mark.parametrize('value', [-1, 65536])
def test_integers_of_another_range_are_refused(save, value):
  path = save(np.array([[value, 5]], np.int32), 'image.tif')
  with pytest.raises(InputError, match=rf'image\.tif: .*{value}.*not 0\.\.655'):
    read_image(path, 1)


def test_floats_are_refused(save):
  path = save(np.array([[0.5, 1]], np.float32), 'image.tif')
  with pytest.raises(InputError, match=r'image\.tif: its pixels are floats'):
    read_image(path, 3)


# The stored pixels as displayed, by the orientation in the EXIF data.
TURNED = {
  1: lambda x: x,
  2: lambda x: x[:, ::-1],
  3: lambda x: x[::-1, ::-1],
  4: lambda x: x[::-1],
  5: lambda x: x.swapaxes(0, 1),
  6: lambda x: np.rot90(x, -1),
  7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
  8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize('orientation', TURNED)
@pytest.mark.parametrize('name', ['image.png', 'image.tif', 'deep.png'])
def test_images_are_turned_as_their_exif_says(save, name, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  stored = RGB
  if name == 'deep.png':
    stored = np.stack([GRAY] * 3, -1)
    path = save(GRAY.astype(np.uint16) * 257, name, exif=exif)
  else:
    path = save(stored, name, exif=exif)
  assert_array_equal(read_image(path, 3), TURNED[orientation](stored))


def test_a_turned_jpeg_is_halved_as_it_is_seen(save):
  exif = Image.Exif()
  exif[0x0112] = 6
  stored = np.zeros((8, 16), np.uint8)
  stored[:, 8:] = 255  # the right half, displayed below
  path = save(stored, 'image.jpg', exif=exif, quality=100)
  for half in ('left', 'right'):
    seen = read_image(path, 1, half)[..., 0]
    assert seen.shape == (16, 4)
    assert_array_equal(seen[:8], 0)
    assert_array_equal(seen[8:], 255)


def test_the_first_frame_is_read(save):
  frames = [Image.new('RGB', (3, 2), color) for color in ('red', 'blue')]
  path = save(frames[0], 'image.gif', save_all=True, append_images=frames[1:])
  assert Image.open(path).n_frames == 2
  assert_array_equal(
    read_image(path, 3), np.broadcast_to([255, 0, 0], (2, 3, 3))
  )


def test_halves(save):
  path = save(RGB)
  assert_array_equal(read_image(path, 3, 'left'), RGB[:, :2])
  assert_array_equal(read_image(path, 3, 'right'), RGB[:, 2:])
  path = save(RGB[:, :3], 'odd.png')
  assert read_image(path, 3).shape == (2, 3, 3)
  with pytest.raises(InputError, match=r'odd\.png is 3 pixels wide'):
    read_image(path, 3, 'left')


def refusal(path):
  with pytest.raises(InputError) as error:
    read_image(path, 3)
  message = str(error.value)
  assert str(path) in message
  assert '\n' not in message
  return message


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.mark.parametrize('kept', [0, 0.001, 0.01, 0.5, 0.95])
@pytest.mark.parametrize('end', ['jpg', 'png', 'gif', 'bmp', 'tif', 'webp'])
def test_truncated_files_are_named(save, end, kept):
  path = save(NOISE, f'image.{end}')
  data = path.read_bytes()
  path.write_bytes(data[: int(kept * len(data))])
  assert refusal(path).startswith('cannot read')


@pytest.mark.parametrize(
  'content',
  [
    b'this is text\n' * 100,
    b'<!DOCTYPE html><html><title>404</title></html>',
    b'P6 1 1 255\n\0\0\0',  # an image, but in an unsupported format
    b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n',
    png(4, 4, 8, 2, [b'\xff' * 12] * 4).replace(b'IDAT', b'IDAX'),
  ],
)
def test_other_content_under_the_name_is_refused(tmp_path, content):
  path = tmp_path / 'image.jpg'
  path.write_bytes(content)
  assert 'remove it' in refusal(path)


def test_absent_files_are_named(tmp_path):
  assert 'No such file' in refusal(tmp_path / 'image.png')


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir])
def test_only_regular_files_are_opened(tmp_path, make):
  """Reading a pipe would wait for its writer."""
  path = tmp_path / 'image.png'
  make(path)
  assert 'it is not a regular file' in refusal(path)


@pytest.mark.parametrize('end', ['tif', 'png', 'jpg', 'webp'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_the_size_is_known_without_the_pixels(save, orientation, end):
  exif = Image.Exif()
  exif[0x0112] = orientation
  path = save(RGB, f'image.{end}', exif=exif)
  assert image_size(path) == read_image(path, 3).shape[:2]


def test_decompression_bombs_are_refused(tmp_path):
  path = tmp_path / 'image.png'
  path.write_bytes(png(100_000, 100_000, 8, 2, [b'']))
  assert path.stat().st_size < 200
  globals_before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
  assert f'limit of {Image.MAX_IMAGE_PIXELS}' in refusal(path)
  globals_after = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
  assert globals_after == globals_before


@pytest.mark.parametrize('action', ['error', 'ignore'])
def test_what_pillow_only_warns_of_is_refused_too(save, monkeypatch, action):
  path = save(RGB)
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 8)
  assert_array_equal(read_image(path, 3), RGB)
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 7)
  with warnings.catch_warnings():
    warnings.simplefilter(action)
    assert 'limit of 7' in refusal(path)
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', None)
  assert_array_equal(read_image(path, 3), RGB)


def test_images_are_found_in_the_order_of_their_names(tmp_path):
  names = ['Z.PNG', 'a 1.jpg', 'b.jpeg', 'c.webp', 'd.bmp', 'e.tif', 'f.TIFF',
           'g.gif', 'é.png', '图.Jpg']  # fmt: skip
  for name in (*reversed(names), '.DS_Store', '._a.jpg', 'Thumbs.db',
               'desktop.ini'):  # fmt: skip
    (tmp_path / name).touch()
  (tmp_path / '.cache').mkdir()
  (tmp_path / '__MACOSX').mkdir()
  assert [path.name for path in find_images(tmp_path)] == names


@pytest.mark.parametrize('name', ['notes.txt', 'image.png.part', 'image'])
def test_other_files_in_a_folder_are_passed_over_with_a_note(
  tmp_path, name, capsys
):
  for file in ('a.png', name):
    (tmp_path / file).touch()
  assert find_images(tmp_path) == [tmp_path / 'a.png']
  note = f'note: ignored in {tmp_path}, not images: {name}\n'
  assert capsys.readouterr().err == note
  (tmp_path / 'a.png').unlink()
  with pytest.raises(InputError, match=f'no images .*, only {name}; put some'):
    find_images(tmp_path)


def test_folders_without_images_or_with_folders_are_named(tmp_path):
  with pytest.raises(InputError, match=rf'^{tmp_path} holds no images'):
    find_images(tmp_path)
  (tmp_path / '.hidden.png').touch()
  with pytest.raises(InputError, match=rf'^{tmp_path} holds no images'):
    find_images(tmp_path)
  with pytest.raises(InputError, match=rf'no folder {tmp_path}/nowhere'):
    find_images(tmp_path / 'nowhere')
  (tmp_path / 'more.png').mkdir()
  with pytest.raises(InputError, match=r'more\.png is a folder'):
    find_images(tmp_path)


def test_resize_keeps_what_is_flat_and_what_has_the_size():
  assert_array_equal(resize(RGB, (2, 4)), RGB)
  assert_array_equal(resize(GRAY[..., None], (2, 4)), GRAY[..., None])
  flat = np.full((5, 7, 3), (9, 99, 199), np.uint8)
  expected = np.full((3, 11, 3), (9, 99, 199), np.uint8)
  assert_array_equal(resize(flat, (3, 11)), expected)


def test_resize_is_bicubic_and_smooths_where_it_shrinks():
  stripes = np.tile(np.array([[0], [255]], np.uint8), (16, 32))[..., None]
  small = resize(stripes, (4, 8))
  assert small.shape == (4, 8, 1)
  assert_allclose(small[1:-1].astype(float), 127.5, atol=0.51)  # rounded
  # The edge pixels lack a stripe: a black one above, a white one below.
  assert_array_equal(small[0].astype(int) + small[-1], 255)
  assert abs(small[0].astype(float) - 127.5).max() < 8
  # Keys' kernel with a = -1/2, a quarter of a pixel to both sides of the edge.
  edge = np.repeat(np.array([40, 200], np.uint8), 4)[None, :, None]
  wide = resize(edge, (1, 16))[0, :, 0].astype(float)
  for x, value in zip((6, 7, 8, 9), wide[6:10], strict=True):
    distance = (x + 0.5) / 2 - 0.5 - np.arange(8)
    d = np.abs(distance)
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = np.where(d < 1, near, np.where(d < 2, far, 0))
    assert_allclose(value, weights @ edge[0, :, 0], atol=0.51)  # rounded


@pytest.fixture
def pictures(save):
  """Saves five side-by-side files, black and gray of value 10 i."""
  paths = []
  for i in range(5):
    array = np.zeros((4, 8), np.uint8)
    array[:, 4:] = 10 * i
    paths.append(save(array, f'größe {i}.png'))
  return Pictures(tuple(paths), 'right')


def test_image_files_are_a_sequence(pictures):
  files = StoredImages(pictures, (6, 2), 3)
  assert len(files) == 5
  assert files.shape == (5, 6, 2, 3)
  assert files[3].shape == (6, 2, 3)
  assert_array_equal(files[3], 30)
  assert_array_equal(files[np.int64(4)], 40)
  left = StoredImages(Pictures(pictures.paths, 'left'), (6, 2), 3)
  assert_array_equal(left[3], 0)


def test_kept_images_are_those_of_the_files(pictures):
  files = StoredImages(pictures, (3, 5), 1)
  kept = files.kept()
  images = kept.pixels
  assert images.dtype == np.uint8
  assert (len(kept), kept.shape) == (len(files), files.shape)
  assert kept.source == files.source
  assert_array_equal(images, np.stack([files[i] for i in range(5)]))
  assert_array_equal(images[:, 0, 0, 0], [0, 10, 20, 30, 40])
  for path in pictures.paths:
    path.unlink()
  assert_array_equal(np.stack(list(kept)), images)


def test_image_files_go_to_other_processes_and_threads(pictures):
  files = StoredImages(pictures, (3, 5), 1)
  copy = pickle.loads(pickle.dumps(files))
  with futures.ThreadPoolExecutor(8) as pool:
    images = list(pool.map(copy.__getitem__, list(range(5)) * 20))
  assert_array_equal(images, np.tile(files.kept().pixels, (20, 1, 1, 1)))


def test_a_scan_finds_sizes_and_broken_files(pictures):
  assert scan(pictures, 1) == ([(4, 4)] * 5, {})
  for i in (1, 3):
    path = pictures.paths[i]
    path.write_bytes(path.read_bytes()[:50])
  sizes, bad = scan(pictures, 3)
  assert sizes == [(4, 4), None, (4, 4), None, (4, 4)]
  assert bad.keys() == {1, 3}
  assert 'größe 3.png' in bad[3]
  with pytest.raises(InputError, match=r'größe 1\.png'):
    StoredImages(pictures, (3, 5), 1).kept()
  with pytest.raises(InputError, match=r'^2 of 5 files are not intact images:'):
    refuse_bad(bad.values(), 5)
  with pytest.raises(InputError, match=r'^cannot read .*, or set config.data'):
    refuse_bad([bad[3]], 5)


def test_images_that_keep_their_sizes(save):
  paths = [save(np.full((3, 3 + i), i, np.uint8), f'{i}.png') for i in range(3)]
  files = StoredImages(Pictures(tuple(paths)), None, 1, prepare=lambda x: x)
  assert files.shape == (3, None, None, 1)
  kept = files.kept()
  assert [image.shape for image in kept] == [(3, 3 + i, 1) for i in range(3)]
  assert_array_equal(kept[2], 2)


def test_the_hash_is_of_bytes_order_and_half(pictures, tmp_path):
  digest = pictures.sha256()
  content = [path.read_bytes() for path in pictures.paths]
  parts = [hashlib.sha256(data).digest() for data in content]
  assert digest == hashlib.sha256(b'right' + b''.join(parts)).hexdigest()
  moved = tmp_path / 'moved'
  moved.mkdir()
  paths = tuple(moved / f'{i}.bmp' for i in range(5))
  for path, data in zip(paths, content, strict=True):
    path.write_bytes(data)
  assert Pictures(paths, 'right').sha256() == digest
  others = {
    Pictures(paths, 'left').sha256(),
    Pictures(paths).sha256(),
    *(
      Pictures(some, 'right').sha256()
      for some in (paths[1::-1] + paths[2:], paths[:4])
    ),
  }
  paths[0].write_bytes(content[0] + b'\0')
  others.add(Pictures(paths, 'right').sha256())
  assert len(others | {digest}) == 6
  paths[0].unlink()
  with pytest.raises(InputError, match=r'cannot read .*0\.bmp: No such file'):
    Pictures(paths).sha256()


@pytest.mark.parametrize('terminal', [True, False])
def test_the_bar_is_for_terminals(capsys, monkeypatch, terminal):
  monkeypatch.setattr(sys.stderr, 'isatty', lambda: terminal, raising=False)
  assert list(map_in_threads(str, range(7), 'counting')) == list('0123456')
  assert ('counting' in capsys.readouterr().err) == terminal
