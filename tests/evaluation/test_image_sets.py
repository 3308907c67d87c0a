"""Metrics of one folder or array of images against another."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from gan_jax.core.errors import InputError
from gan_jax.data.image_files import resize
from gan_jax.evaluation import image_sets
from gan_jax.evaluation.image_sets import compare_folders


@pytest.fixture(scope='session')
def classifier(toy_reference):
  """The run directory of a barely trained classifier of 8x8 images."""
  return str(toy_reference[0])


def save(folder, images):
  folder.mkdir()
  for i, image in enumerate(images):
    Image.fromarray(image).save(folder / f'{i:03d} ü.png')


@pytest.fixture
def folders(tmp_path):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2, 12, 8, 8), np.uint8)
  save(tmp_path / 'real', images[0])
  save(tmp_path / 'fake', images[1, :10] // 2)
  return str(tmp_path / 'real'), str(tmp_path / 'fake')


def test_folders_are_compared(folders, classifier):
  options = {'metrics': 'fid,prdc,score,modes', 'extractor': classifier}
  found = compare_folders(*folders, **options)
  assert (found['n_real'], found['n_fake']) == (12, 10)
  assert found['extractor']['name'] == 'classifier of digits'
  assert found['fid'] > 0
  assert math.isfinite(found['kid'])
  assert found == compare_folders(*folders, **options)
  same = compare_folders(folders[0], folders[0], **options)
  assert same['precision'] == same['recall'] == same['coverage'] == 1.0
  assert same['modes_kl'] == 0.0


def test_bad_folders_fail(folders, tmp_path, classifier):
  def compare(real, fake, extractor='random', metrics='fid'):
    return compare_folders(
      str(real), str(fake), metrics=metrics, extractor=extractor
    )

  real, _ = folders
  with pytest.raises(InputError, match='there is no folder'):
    compare(real, tmp_path / 'nowhere')
  (tmp_path / 'empty').mkdir()
  with pytest.raises(InputError, match='holds no images'):
    compare(real, tmp_path / 'empty')
  save(tmp_path / 'few', np.zeros((3, 8, 8), np.uint8))
  with pytest.raises(InputError, match=r'fid needs 4 .* not 3 fake images'):
    compare(real, tmp_path / 'few')
  save(tmp_path / 'large', np.zeros((6, 9, 8), np.uint8))
  with pytest.raises(InputError, match=r'are 8x8, those .* 9x8 .*--resize=N'):
    compare(real, tmp_path / 'large')
  with pytest.raises(InputError, match='takes images of 8x8x1, not real'):
    compare(tmp_path / 'large', tmp_path / 'large', classifier)
  save(tmp_path / 'mixed', np.zeros((2, 8, 8), np.uint8))
  Image.new('L', (4, 4)).save(tmp_path / 'mixed' / 'odd.png')
  with pytest.raises(InputError, match=r'odd.png is 4x4 .* must have one size'):
    compare(real, tmp_path / 'mixed')


def test_images_of_all_sizes_are_resized(tmp_path):
  """Their central squares are resized."""
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (8, 24, 40), np.uint8)
  save(tmp_path / 'wide', images)
  Image.fromarray(images[0].T).save(tmp_path / 'wide/tall.png')
  save(tmp_path / 'other', rng.integers(0, 256, (6, 30, 30), np.uint8))
  squares = [resize(x[:, 8:32, None], (16, 16))[..., 0] for x in images]
  squares.append(resize(images[0].T[8:32, :, None], (16, 16))[..., 0])
  save(tmp_path / 'squares', np.stack(squares))
  options = {'metrics': 'kid', 'extractor': 'random', 'size': 16}
  found = compare_folders(
    str(tmp_path / 'wide'), str(tmp_path / 'other'), **options
  )
  want = compare_folders(
    str(tmp_path / 'squares'), str(tmp_path / 'other'), **options
  )
  assert found == want
  assert (found['n_real'], found['resize']) == (9, 16)


def test_arrays_are_compared_like_the_files_with_these_images(
  folders, tmp_path
):
  real, fake = folders
  files = sorted((tmp_path / 'fake').iterdir())
  images = np.stack([np.asarray(Image.open(x)) for x in files])[..., None]
  np.savez(tmp_path / 'fake.npz', samples=images)
  np.savez(tmp_path / 'colour.npz', samples=images.repeat(3, axis=-1))
  options = {'metrics': 'fid', 'extractor': 'random'}
  found = compare_folders(real, str(tmp_path / 'fake.npz'), **options)
  assert_allclose(found['fid'], compare_folders(real, fake, **options)['fid'])
  with pytest.raises(InputError, match='takes 1'):
    image_sets._read_arrays(str(tmp_path / 'colour.npz'), 1)
  gray = image_sets._read_arrays(str(tmp_path / 'fake.npz'), 3)
  assert_array_equal(gray, np.repeat(images, 3, axis=-1))
  half = compare_folders(real, str(tmp_path / 'fake.npz'), size=4, **options)
  assert_allclose(
    half['fid'], compare_folders(real, fake, size=4, **options)['fid']
  )
  np.savez(tmp_path / 'bad.npz', samples=images / 255.0)
  np.savez(tmp_path / 'other.npz', images=images)
  (tmp_path / 'broken.npz').write_bytes(b'PK')
  for name in ('bad', 'other', 'broken'):
    with pytest.raises(InputError, match=f'{name}.npz has no array samples'):
      compare_folders(real, str(tmp_path / f'{name}.npz'), **options)
  with pytest.raises(InputError, match='there is no file'):
    compare_folders(real, str(tmp_path / 'none.npz'), **options)
