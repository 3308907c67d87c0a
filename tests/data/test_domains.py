import dataclasses
import itertools
import os
import pathlib
import shutil
import threading

import numpy as np
import pytest
from ml_collections import ConfigDict
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from gan_jax.config import load_config
from gan_jax.core.errors import InputError
from gan_jax.data import tfds_images
from gan_jax.data.batches import read_ahead
from gan_jax.data.domain_sets import Domains
from gan_jax.data.domains import DomainData, DomainSampler
from gan_jax.data.image_files import StoredImages, resize
from gan_jax.data.spec import Stream
from gan_jax.runs.fingerprint import data_fingerprints
from gan_jax.runs.program import build
from tests.conftest import ROOT
from tests.made_up import prepare_tfds

ROUNDED = 0.51  # gray values are rounded to integers: a half, and float errors

SIZE, CROP = 8, 6
PAIRS = {'pairs': Stream('ab', 5)}


def coded(numbers, domain):
  """Encodes in each pixel its row, its column and its image's number."""
  image = np.zeros((len(numbers), SIZE, SIZE, 3), np.uint8)
  image[..., 0] = np.arange(SIZE)[:, None]
  image[..., 1] = np.arange(SIZE)
  image[..., 2] = np.reshape(numbers, (-1, 1, 1)) + 100 * 'ab'.index(domain)
  return image


def sampler(num_a=10, num_b=10, seed=0, flip=True, streams=PAIRS):
  train = Domains(coded(range(num_a), 'a'), coded(range(num_b), 'b'))
  return DomainSampler(train, streams, seed, crop=(CROP, CROP), flip=flip)


def numbers(images, domain):
  """Returns the numbers of a domain's images."""
  return [int(image[0, 0, 2]) - 100 * 'ab'.index(domain) for image in images]


def jitters(sampler, steps):
  """Returns the top, left and mirroring of each image of a."""
  image = np.concatenate([sampler(step)['pairs']['a'] for step in range(steps)])
  mirrored = image[:, 0, 0, 1] > image[:, 0, -1, 1]
  top, left = image[..., 0].min((1, 2)), image[..., 1].min((1, 2))
  return np.stack([top, left, mirrored], axis=1)


def assert_same(one, other):
  for name, rows in one.items():
    assert rows.keys() == other[name].keys()
    for key, column in rows.items():
      assert_array_equal(column, other[name][key])


def test_both_of_a_pair_are_cut_and_mirrored_alike():
  one = sampler()
  for step in range(20):
    pairs = one(step)['pairs']
    assert pairs['a'].shape == pairs['b'].shape == (5, CROP, CROP, 3)
    assert pairs['a'].dtype == np.uint8
    assert_array_equal(pairs['a'] + np.uint8([0, 0, 100]), pairs['b'])
    for image in pairs['a']:
      down, right = (image[..., i].astype(int) for i in (0, 1))
      assert_array_equal(np.diff(down, axis=0), 1)
      assert_array_equal(np.diff(down, axis=1), 0)
      assert_array_equal(np.diff(right, axis=0), 0)
      step_right = np.diff(right, axis=1)
      assert abs(step_right[0, 0]) == 1
      assert_array_equal(step_right, step_right[0, 0])


def test_every_crop_is_as_likely_and_half_are_mirrored():
  found = jitters(sampler(), 180)
  for crop in itertools.product(range(SIZE - CROP + 1), repeat=2):
    count = (found[:, :2] == crop).all(axis=1).sum()
    assert abs(count - 100) < 4 * np.sqrt(900 * 1 / 9 * 8 / 9)
  assert abs(found[:, 2].sum() - 450) < 4 * np.sqrt(900 / 4)


def test_without_flips_the_crops_are_the_same():
  plain, mirrored = (jitters(sampler(flip=flip), 20) for flip in (False, True))
  assert not plain[:, 2].any()
  assert mirrored[:, 2].any()
  assert_array_equal(plain[:, :2], mirrored[:, :2])


def test_the_streams_of_two_domains_are_independent():
  both = {'a': Stream('a', 4), 'b': Stream('b', 4)}
  one = sampler(streams=both)
  alone = sampler(streams={'a': both['a']})
  batches = [one(step) for step in range(5)]  # two passes
  seen = {}
  for domain in 'ab':
    image = np.concatenate([batch[domain]['image'] for batch in batches])
    seen[domain] = numbers(image, domain)
    for rows in (seen[domain][:10], seen[domain][10:]):
      assert sorted(rows) == list(range(10))
  assert seen['a'] != seen['b']
  crops = [[b[k]['image'][..., :2] for b in batches] for k in 'ab']
  assert (np.stack(crops[0]) != np.stack(crops[1])).any()
  for step, batch in enumerate(batches):
    assert_array_equal(alone(step)['a']['image'], batch['a']['image'])


def test_domains_of_different_sizes_have_passes_of_their_own():
  streams = {'a': Stream('a', 2), 'b': Stream('b', 2)}
  one = sampler(num_a=10, num_b=6, streams=streams)
  for domain, num in (('a', 10), ('b', 6)):
    image = [one(step)[domain]['image'] for step in range(15)]
    seen = np.reshape(numbers(np.concatenate(image), domain), (-1, num))
    assert_array_equal(np.sort(seen), [range(num)] * (30 // num))
  with pytest.raises(
    InputError, match='asks for 7 rows per step, more than the 6'
  ):
    sampler(num_b=6, streams={'a': Stream('a', 7), 'b': Stream('b', 7)})


def test_a_batch_does_not_depend_on_how_it_is_reached():
  one = sampler()
  in_order = [one(step) for step in range(12)]
  for step in (11, 3, 7):
    assert_same(sampler()(step), in_order[step])
  assert (sampler(seed=1)(3)['pairs']['a'] != in_order[3]['pairs']['a']).any()


@pytest.fixture
def root(tmp_path):
  folder = tmp_path / 'meine Größen' / '数字 [1]'
  folder.mkdir(parents=True)
  return folder


def write(folder, images):
  folder.mkdir(parents=True, exist_ok=True)
  for i, image in enumerate(images):
    Image.fromarray(image).save(folder / f'ü {i:02d}.png')


def write_pairs(root, num=10):
  for split, rows in (('train', range(num)), ('test', range(50, 54))):
    sides = [coded(rows, domain) for domain in 'ab']
    write(root / split, np.concatenate(sides, axis=2))


def write_domains(root, num_a=10, num_b=7):
  for split, num, domain in (
    ('train', num_a, 'a'), ('train', num_b, 'b'), ('test', 4, 'a'),
    ('test', 3, 'b'),
  ):  # fmt: skip
    start = 50 if split == 'test' else 0
    folder = root / f'{split}{domain.upper()}'
    write(folder, coded(range(start, start + num), domain))


def config_of(name, root, **changes):
  config = {
    'name': name,
    'made_up': False,
    'data_dir': str(root),
    'batch_size': 2,
    'num_validation': 2,
    'load_size': SIZE,
    'crop_size': CROP,
    'flip': True,
    'memory_gb': 1.0,
    'preprocess': 'resize_and_crop',
    'num_test': None,
    'on_bad_file': 'stop',
  }
  return ConfigDict(config | changes)


def load(name, root, **changes):
  return DomainData(config_of(name, root, **changes))


@pytest.mark.parametrize('memory_gb', [0.0, 1.0])
def test_pairs_from_a_folder(root, memory_gb):
  write_pairs(root)
  data = load('pairs', root, memory_gb=memory_gb)
  assert data.spec == ((CROP, CROP, 3), (CROP, CROP, 3), True, 4)
  assert data.num_train == 8
  kept = 'kept in memory' if memory_gb else 'decoded on demand'
  assert str(data) == (
    'pairs, pairs, 8 + 8 train, 2 + 2 validation, 4 + 4 test, resized to '
    f'8x8, cropped to 6x6; {kept}'
  )
  rows = {}
  for part, size in (('train', SIZE), ('validation', CROP), ('test', CROP)):
    a, b = getattr(data.dataset, part)
    assert a.shape[1:] == b.shape[1:] == (size, size, 3)
    rows[part] = numbers(a, 'a')
    assert numbers(b, 'b') == rows[part]
    for image, domain in ((a, 'a'), (b, 'b')):
      want = [resize(x, (size, size)) for x in coded(rows[part], domain)]
      assert_array_equal(np.stack(list(image)), want)
  assert sorted(rows['train'] + rows['validation']) == list(range(10))
  assert rows['test'] == list(range(50, 54))


def test_domains_from_a_folder(root):
  write_domains(root)
  data = load('domains', root)
  assert data.spec == ((CROP, CROP, 3), (CROP, CROP, 3), False, 4)
  dataset = data.dataset
  for domain, num, num_test in (('a', 10, 4), ('b', 7, 3)):
    train, validation, test = (
      getattr(part, domain)
      for part in (dataset.train, dataset.validation, dataset.test)
    )
    assert train.shape == (num - 2, SIZE, SIZE, 3)
    assert validation.shape == (2, CROP, CROP, 3)
    found = numbers(train, domain) + numbers(validation, domain)
    assert sorted(found) == list(range(num))
    assert numbers(test, domain) == list(range(50, 50 + num_test))
  batch = data.sampler({'b': Stream('b', 2)}, 0)(0)
  assert batch['b']['image'].shape == (2, CROP, CROP, 3)


def test_an_epoch_is_a_pass_over_the_larger_domain(root):
  write_domains(root, num_a=5, num_b=14)
  assert load('domains', root, batch_size=3).spec.steps_per_epoch == 12 // 3


def luma(rgb):
  """Converts RGB to gray by ITU-R 601."""
  return rgb @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize('classes', [('',), ('ä', 'b')])
def test_colours_from_gray(root, classes):
  images = coded(range(20), 'b')
  for k, name in enumerate(classes):
    write(root / name, images[k :: len(classes)])
  data = load('gray_to_colour', root)
  assert data.spec[:3] == ((CROP, CROP, 1), (CROP, CROP, 3), True)
  a, b = data.dataset.train
  assert a.shape == (16, SIZE, SIZE, 1)
  assert_allclose(a[..., 0], luma(b), atol=ROUNDED)
  parts = [getattr(data.dataset, x).b for x in ('train', 'validation', 'test')]
  assert [len(part) for part in parts] == [16, 2, 2]
  found = [number for part in parts for number in numbers(part, 'b')]
  assert sorted(found) == list(range(20))
  pair = data.sampler(PAIRS, 0)(0)['pairs']
  assert pair['a'].shape == (5, CROP, CROP, 1)
  assert_allclose(pair['a'][..., 0], luma(pair['b']), atol=ROUNDED)


def test_colours_from_gray_with_a_test_split(root):
  write_pairs(root)
  data = load('gray_to_colour', root)
  assert [len(part.a) for part in data.dataset[1:4]] == [8, 2, 4]


def test_the_split_does_not_depend_on_the_seed(root):
  write_pairs(root)
  config = load_config(str(ROOT / 'configs/facades_pix2pix.py:smoke'))
  config.parallel, config.data.data_dir = 'jit', str(root)
  one = build(config)
  first = one.sampler()(0)['pairs']['a']
  config.seed += 1
  other = build(config)
  second = other.sampler()(0)['pairs']['a']
  assert one.describe_data() == other.describe_data()
  assert (first != second).any()


@pytest.mark.parametrize('start', [0, 3])
@pytest.mark.parametrize('name', ['pairs', 'domains'])
def test_reading_ahead_gives_the_batches_of_that_step(root, name, start):
  {'pairs': write_pairs, 'domains': write_domains}[name](root)
  streams = {
    'pairs': {'pairs': Stream('ab', 3)},
    'domains': {'a': Stream('a', 3), 'b': Stream('b', 3)},
  }[name]
  held, files = (
    load(name, root, memory_gb=memory_gb).sampler(streams, 0)
    for memory_gb in (1.0, 0.0)
  )
  assert (held.decodes, files.decodes) == (False, True)
  before = threading.active_count()
  ahead, plain = read_ahead(files, start), read_ahead(held, start)
  for step in range(start, start + 8):
    batch = next(ahead)
    assert_same(batch, files(step))
    assert_same(batch, next(plain))
  assert threading.active_count() > before


def test_reading_ahead_ends_with_its_iterator(root):
  write_pairs(root)
  before = set(threading.enumerate())
  ahead = read_ahead(load('pairs', root, memory_gb=0.0).sampler(PAIRS, 0), 0)
  next(ahead)
  threads = set(threading.enumerate()) - before
  assert threads
  del ahead
  for thread in threads:
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_images_that_take_too_much_stay_in_their_files(root):
  write_pairs(root)
  num_bytes = 2 * 3 * (8 * SIZE**2 + (2 + 4) * CROP**2)
  for less in (0, 1):
    data = load('pairs', root, memory_gb=(num_bytes - less) / 1e9)
    for part in data.dataset[1:4]:
      for images in part:
        assert isinstance(images, StoredImages)
        assert (images.pixels is None) == (less == 1)


def test_a_crop_larger_than_the_image_is_refused(root):
  write_pairs(root)
  with pytest.raises(InputError, match=r'load_size = 5 is .* crop_size = 6'):
    load('pairs', root, load_size=5)
  whole = load('pairs', root, load_size=6)
  pairs = whole.sampler(PAIRS, 0)(0)['pairs']
  assert pairs['a'].shape == (5, CROP, CROP, 3)


def test_validation_must_leave_something_to_train_on(root):
  write_domains(root)
  assert len(load('domains', root, num_validation=6).dataset.train.b) == 1
  with pytest.raises(InputError, match=r'num_validation = 7 .* 7 .* domain b'):
    load('domains', root, num_validation=7)


def test_an_unknown_data_set_names_those_there_are(root):
  with pytest.raises(InputError) as error:
    load('digits', root)
  message = str(error.value)
  assert "'digits'" in message
  for name in ('pairs', 'domains', 'gray_to_colour', 'cycle_gan/facades'):
    assert name in message
  assert '\n' not in message


@pytest.mark.parametrize('memory_gb', [0.0, 1.0])
@pytest.mark.parametrize(
  ('name', 'writer', 'folder'),
  [('pairs', write_pairs, 'train'), ('pairs', write_pairs, 'test')]
  + [('domains', write_domains, f'{x}{y}') for x in ('train', 'test')
     for y in 'AB'],
)  # fmt: skip
def test_every_broken_file_is_named(root, memory_gb, name, writer, folder):
  writer(root)
  for path in sorted((root / folder).iterdir()):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError) as error:
      load(name, root, memory_gb=memory_gb)
    assert f'cannot read {path}' in str(error.value)
    path.write_bytes(whole)
  load(name, root, memory_gb=memory_gb)


def test_hashes_are_of_what_the_files_hold_not_of_where_they_are(
  root, tmp_path
):
  write_pairs(root)

  def hashes(folder):
    kept, files = (
      data_fingerprints(load('pairs', folder, memory_gb=memory_gb))
      for memory_gb in (1.0, 0.0)
    )
    assert kept == files
    return kept

  before = hashes(root)
  assert before.keys() == {'train', 'validation', 'test'}
  moved = shutil.move(root, tmp_path / 'moved')
  assert hashes(moved) == before
  path = moved / 'test' / 'ü 02.png'
  image = np.array(Image.open(path))
  image[0, 0, 0] += 100
  Image.fromarray(image).save(path)
  after = hashes(moved)
  assert after.pop('test') != before.pop('test')
  assert after == before


def test_one_byte_of_a_file_changes_its_hash(root):
  write_pairs(root)
  before = data_fingerprints(load('pairs', root, memory_gb=0.0))
  path = root / 'test' / 'ü 00.png'
  path.write_bytes(path.read_bytes() + b'\0')  # the same pixels
  after = data_fingerprints(load('pairs', root, memory_gb=0.0))
  assert after['test'] != before['test']


@pytest.fixture(scope='session')
def maps(tmp_path_factory):
  """Prepares a data set of the paper, with images of different heights."""
  root = tmp_path_factory.mktemp('tfds')
  splits = {
    'trainA': range(10), 'trainB': range(100, 107),
    'testA': range(50, 54), 'testB': range(150, 153),
  }  # fmt: skip
  prepare_tfds(root, 'cycle_gan/maps', '3.0.0', (None, 9, 3), splits)
  return root


@pytest.mark.parametrize('memory_gb', [0.0, 1.0])
def test_the_sets_of_the_paper(maps, memory_gb):
  data = load('cycle_gan/maps', maps, load_size=9, memory_gb=memory_gb)
  assert data.spec == ((CROP, CROP, 3), (CROP, CROP, 3), False, 4)
  for domain, num, num_test in (('a', 10, 4), ('b', 7, 3)):
    train, validation, test = (
      getattr(part, domain) for part in data.dataset[1:4]
    )
    assert (train.pixels is not None) == bool(memory_gb)
    assert (train.shape[1], validation.shape[1], test.shape[1]) == (9, 6, 6)
    rows = numbers(train, domain) + numbers(validation, domain)
    assert sorted(rows) == list(range(num))
    found = numbers(test, domain)
    assert sorted(found) == list(range(50, 50 + num_test))
  streams = {'a': Stream('a', 3), 'b': Stream('b', 3)}
  kept = load('cycle_gan/maps', maps, load_size=9).sampler(streams, 0)
  ahead = read_ahead(data.sampler(streams, 0), 2)
  for step in (2, 3, 4):
    assert_same(next(ahead), kept(step))


def test_the_hash_of_records_is_of_their_pixels(maps, tmp_path):
  before = data_fingerprints(load('cycle_gan/maps', maps, memory_gb=0.0))
  assert before == data_fingerprints(load('cycle_gan/maps', maps))
  splits = {
    'trainA': range(10), 'trainB': range(100, 107),
    'testA': range(50, 54), 'testB': (150, 151, 155),
  }  # fmt: skip
  prepare_tfds(tmp_path, 'cycle_gan/maps', '3.0.0', (None, 9, 3), splits)
  after = data_fingerprints(load('cycle_gan/maps', tmp_path))
  assert after.pop('test') != before.pop('test')
  assert after == before


def test_a_broken_record_is_named(maps):
  records = tfds_images.open_images('cycle_gan/maps', str(maps), 'testB')
  assert len(records.take([2, 0])) == 2
  broken = dataclasses.replace(records, data=[{'image': None}, {}, {}])
  with pytest.raises(InputError, match=r'image 1 of split testB of .*maps'):
    broken.read(1, 3)
  with pytest.raises(InputError, match='has 3 channels, not 1'):
    records.read(0, 1)


@pytest.mark.systems
def test_the_real_facades():
  base = pathlib.Path(os.environ.get('TFDS_DATA_DIR', 'unset'))
  if not (base / 'cycle_gan/facades/3.0.0').is_dir():
    pytest.skip('TFDS_DATA_DIR holds no prepared cycle_gan/facades')
  data = load(
    'cycle_gan/facades', base, num_validation=10, load_size=256, crop_size=256
  )
  sizes = [(len(part.a), len(part.b)) for part in data.dataset[1:4]]
  assert sizes == [(390, 390), (10, 10), (106, 106)]
  assert data.spec == ((256, 256, 3), (256, 256, 3), False, 195)
  for domain, colour in (
    ('a', [0.4778, 0.4526, 0.4168]),  # photographs
    ('b', [0.2220, 0.2993, 0.7445]),  # labels
  ):
    parts = [getattr(part, domain).pixels for part in data.dataset[1:3]]
    mean = np.concatenate(parts).mean(axis=(0, 1, 2)) / 255.0
    assert_allclose(mean, colour, atol=5e-5)
