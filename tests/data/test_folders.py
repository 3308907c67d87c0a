import json
import zipfile

import numpy as np
import pytest
from ml_collections import ConfigDict
from numpy.testing import assert_array_equal
from PIL import Image

from gan_jax.config import load_config
from gan_jax.core.errors import InputError
from gan_jax.data.folders import (
  find_classes,
  find_domains,
  find_pairs,
  load_image_folder,
)
from gan_jax.data.image_files import Pictures, StoredImages
from gan_jax.runs import restore
from gan_jax.training import loop
from gan_jax.training.describe import describe
from gan_jax.training.verify import verify
from tests.conftest import ROOT

FINDERS = (find_pairs, find_domains, find_classes)


@pytest.fixture
def root(tmp_path):
  folder = tmp_path / 'meine Größen' / '数字 [1]'
  folder.mkdir(parents=True)
  return folder


def write(root, *names, array=None):
  """Writes image files; their content does not matter if `array` is None."""
  array = np.zeros((2, 4, 3), np.uint8) if array is None else array
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def names(root, pictures):
  return [str(path.relative_to(root)) for path in pictures.paths]


def refusal(find, data_dir):
  with pytest.raises(InputError) as error:
    find(data_dir)
  message = str(error.value)
  assert '\n' not in message
  return message


@pytest.mark.parametrize('test', ['test', 'val'])
def test_pairs_side_by_side(root, test):
  array = np.repeat(np.array([[10, 200]], np.uint8), 2, 1)
  write(root, 'train/b.png', 'train/a ü.png', f'{test}/c.png', array=array)
  (root / 'A').mkdir()  # the sources of the pairs may lie next to them
  found = find_pairs(str(root))
  assert set(found) == {'train', 'test'}
  for split, expected in (
    ('train', ['train/a ü.png', 'train/b.png']),
    ('test', [f'{test}/c.png']),
  ):
    a, b = found[split]
    assert names(root, a) == names(root, b) == expected
    assert (a.half, b.half) == ('left', 'right')
    assert_array_equal(StoredImages(a, (1, 2), 1).kept().pixels, 10)
    assert_array_equal(StoredImages(b, (1, 2), 1).kept().pixels, 200)


@pytest.mark.parametrize('layout', ['{split}/{side}', '{side}/{split}'])
@pytest.mark.parametrize('test', ['test', 'val'])
def test_pairs_in_two_folders(root, layout, test):
  def folder(split, side):
    return layout.format(split=split, side=side)

  a, b = folder('train', 'A'), folder('train', 'B')
  write(
    root, f'{a}/ä b.c.png', f'{a}/ä b.bmp', f'{b}/ä b.png', f'{b}/ä b.c.png'
  )
  write(root, f'{folder(test, "A")}/3.png', f'{folder(test, "B")}/3.png')
  # B's names alone would have another order.
  found = find_pairs(str(root))
  assert [p.half for p in (*found['train'], *found['test'])] == [None] * 4
  assert [names(root, p) for p in found['train']] == [
    [f'{a}/ä b.bmp', f'{a}/ä b.c.png'],
    [f'{b}/ä b.png', f'{b}/ä b.c.png'],
  ]
  assert [names(root, p) for p in found['test']] == [
    [f'{folder(test, side)}/3.png'] for side in 'AB'
  ]


def test_test_comes_before_val(root):
  write(root, 'train/1.png', 'val/2.png', 'test/3.png')
  assert names(root, find_pairs(str(root))['test'][0]) == ['test/3.png']
  assert names(root, find_classes(str(root))['test'][0]) == ['test/3.png']


@pytest.mark.parametrize('layout', ['{split}/{side}', '{side}/{split}'])
def test_images_without_a_partner_are_named(root, layout):
  folders = {
    (split, side): layout.format(split=split, side=side)
    for split in ('train', 'test')
    for side in 'AB'
  }
  write(root, *(f'{folder}/1.png' for folder in folders.values()))
  find_pairs(str(root))
  write(root, f'{folders["test", "B"]}/2.png')
  message = refusal(find_pairs, str(root))
  assert f'{root / folders["test", "B"]}/2.png; partners' in message
  write(
    root, f'{folders["train", "A"]}/4.png', f'{folders["train", "A"]}/7.png'
  )
  write(root, f'{folders["train", "B"]}/3.png')
  message = refusal(find_pairs, str(root))
  assert f'{root / folders["train", "B"]}/3.png and 2 more; ' in message


def test_two_files_of_one_name_are_not_one_partner(root):
  write(root, *(f'{split}/{side}/1.png' for split in ('train', 'test')
                for side in 'AB'))  # fmt: skip
  write(root, 'train/B/1.bmp', 'train/B/1.tif')
  message = refusal(find_pairs, str(root))
  assert f'{root}/train/B/1.' in message
  assert ' and 1 more; keep one' in message


def test_a_side_that_is_absent_or_empty_is_named(root):
  write(root, 'train/A/1.png', 'train/B/1.png', 'test/A/1.png')
  assert f'no folder {root}/test/B' in refusal(find_pairs, str(root))
  (root / 'test/B').mkdir()
  assert f'{root}/test/B holds no images' in refusal(find_pairs, str(root))
  write(root, 'train/stray.png')
  message = refusal(find_pairs, str(root))
  assert f'{root}/train holds both folders, e.g. A, and images' in message


def test_a_test_split_may_be_absent_from_both_domains_but_not_from_one(root):
  write(root, 'train/1.png')
  assert find_pairs(str(root)).keys() == {'train'}
  write(root / 'sides', 'A/train/1.png', 'B/train/1.png', 'A/val/1.png')
  message = refusal(find_pairs, f'{root}/sides')
  assert f'one of {root}/sides/A and {root}/sides/B has a test/ or' in message
  write(root / 'sets', 'trainA/1.png', 'trainB/2.png')
  assert find_domains(f'{root}/sets').keys() == {'train'}
  write(root / 'sets', 'testA/1.png')
  assert 'has no testB/' in refusal(find_domains, f'{root}/sets')


def test_pairs_without_side_b_are_refused(root):
  write(root, 'A/train/1.png', 'A/test/1.png')
  assert f'{root}/B has no train/; ' in refusal(find_pairs, str(root))


DOMAINS = ('trainA/1.png', 'trainA/2 é.png', 'trainB/3.png', 'testA/4.png',
           'testB/5.png', 'testB/6.png')  # fmt: skip


def test_domains(root):
  write(root, *DOMAINS)
  found = find_domains(str(root))
  assert set(found) == {'train', 'test'}
  for split, (a, b) in found.items():
    assert names(root, a) == [x for x in DOMAINS if x.startswith(f'{split}A')]
    assert names(root, b) == [x for x in DOMAINS if x.startswith(f'{split}B')]
    assert a.half is None
    assert b.half is None


@pytest.mark.parametrize('folder', ['trainA', 'trainB', 'testA', 'testB'])
def test_absent_and_empty_domains_are_named(root, folder):
  write(root, *(name for name in DOMAINS if not name.startswith(folder)))
  message = refusal(find_domains, str(root))
  assert f'has no {folder}/; it must name' in message
  (root / folder).mkdir()
  message = refusal(find_domains, str(root))
  assert f'{root / folder} holds no images' in message


@pytest.mark.parametrize('test', ['test', 'val'])
def test_classes_are_numbered_by_their_sorted_names(root, test):
  write(root, 'train/zèbre/1.png', 'train/a cat/2.png', 'train/a cat/3.png',
        f'{test}/a cat/4.png', f'{test}/zèbre/5.png')  # fmt: skip
  (root / 'README.txt').touch()  # next to the splits it does no harm
  found = find_classes(str(root))
  assert set(found) == {'train', 'test'}
  pictures, labels = found['train']
  assert names(root / 'train', pictures) == [
    'a cat/2.png', 'a cat/3.png', 'zèbre/1.png'
  ]  # fmt: skip
  assert labels.dtype == np.int32
  assert_array_equal(labels, [0, 0, 1])
  pictures, labels = found['test']
  assert names(root / test, pictures) == ['a cat/4.png', 'zèbre/5.png']
  assert_array_equal(labels, [0, 1])


def test_one_folder_with_and_without_classes(root):
  write(root, 'b/1.png', 'a/2.png', 'a/3.png')
  ((split, (pictures, labels)),) = find_classes(str(root)).items()
  assert split == 'train'
  assert names(root, pictures) == ['a/2.png', 'a/3.png', 'b/1.png']
  assert_array_equal(labels, [0, 0, 1])
  ((split, (pictures, labels)),) = find_classes(str(root / 'a')).items()
  assert split == 'train'
  assert pictures == Pictures((root / 'a/2.png', root / 'a/3.png'))
  assert labels.dtype == np.int32
  assert_array_equal(labels, [0, 0])


@pytest.mark.parametrize('split', ['train', 'test'])
def test_classes_without_examples_or_of_one_split_are_named(root, split):
  write(root, *(f'{s}/{k}/1.png' for s in ('train', 'test') for k in 'ab'))
  find_classes(str(root))
  (root / split / 'c').mkdir()
  message = refusal(find_classes, str(root))
  assert 'train and test' in message
  assert 'both have the class c;' in message
  (root / 'train/c').mkdir(exist_ok=True)
  (root / 'test/c').mkdir(exist_ok=True)
  write(root, f'{"test" if split == "train" else "train"}/c/1.png')
  message = refusal(find_classes, str(root))
  assert f'{root / split / "c"} holds no images' in message


def test_a_split_with_and_one_without_classes(root):
  write(root, 'train/a/1.png', 'train/b/1.png', 'val/1.png')
  message = refusal(find_classes, str(root))
  assert 'train and val in' in message
  assert 'both have the class a and 1 more;' in message


def test_half_of_a_layout_is_no_layout(root):
  write(root, 'train/1.png')
  assert find_classes(str(root)).keys() == {'train'}
  assert len(find_classes(str(root / 'train'))['train'][1]) == 1
  (root / 'train').rename(root / 'test')
  assert 'has no train/; it must' in refusal(find_classes, str(root))


@pytest.mark.parametrize('find', FINDERS)
def test_the_layout_is_shown_where_there_is_no_folder(root, find):
  messages = {
    refusal(find, None).replace('is None', ''),
    refusal(find, f'{root}/none').replace(f'= {root}/none does not exist', ''),
  }
  (message,) = messages
  assert message.startswith('config.data.data_dir ; it must name a folder')
  assert 'train' in message


@pytest.mark.parametrize('find', FINDERS)
def test_archives_are_not_unpacked(root, find):
  archive = root / 'data.zip'
  with zipfile.ZipFile(archive, 'w') as file:
    file.writestr('../evil.png', b'evil')
    file.writestr('train/1.png', b'')
  message = refusal(find, str(archive))
  assert f'{archive} is a file; if it is an archive, unpack it first' in message
  assert 'it must name a folder with' in message or 'of images' in message
  assert list(root.parent.rglob('*')) == [root, archive]
  # Neither are archives among the images.
  message = refusal(find_classes, str(root))
  assert f'{root} holds no images' in message
  assert 'only data.zip; put some into it, and unpack archives' in message
  assert list(root.parent.rglob('*')) == [root, archive]


@pytest.mark.parametrize('find', FINDERS)
def test_the_home_folder_may_be_short(root, find, monkeypatch):
  write(root, *DOMAINS, 'train/1.png', 'test/1.png')
  monkeypatch.setenv('HOME', str(root.parent))
  assert find(f'~/{root.name}')['train'][0] == find(str(root))['train'][0]


def load(root, num_validation, image_size=2, **changes):
  return load_image_folder(
    ConfigDict(
      {
        'data_dir': str(root),
        'num_validation': num_validation,
        'image_size': image_size,
        'num_test': None,
        'on_bad_file': 'stop',
      }
      | changes
    )
  )


def write_classes(folder, sizes, start=0):
  """Writes images; image i of class k is filled with (i, k, 0)."""
  for k, size in enumerate(sizes):
    for i in range(start, start + size):
      array = np.empty((3, 5, 3), np.uint8)
      array[:] = i, k, 0
      write(folder, f'class {k}/{i:03}.png', array=array)


def numbers(examples):
  """Returns pairs (k, i) of all images, and checks their labels."""
  assert examples.image.dtype == np.uint8
  assert examples.image.shape[1:] == (2, 2, 3)
  assert examples.label.dtype == np.int32
  assert_array_equal(examples.label, examples.image[:, 0, 0, 1])
  return [(int(x[1]), int(x[0])) for x in examples.image[:, 1, 1]]


def check_each_is_in_one_part(data, sizes):
  parts = (data.train, data.validation, data.test)
  assert sorted(pair for part in parts for pair in numbers(part)) == [
    (k, i) for k, size in enumerate(sizes) for i in range(size)
  ]


def test_image_folder_with_a_test_split(root):
  write_classes(root / 'train', (6, 5))
  write_classes(root / 'test', (1, 2), start=100)
  data = load(root, 4)
  assert data.name == 'image_folder'
  assert data.num_classes == 2
  assert data.native_size == (2, 2)
  assert numbers(data.test) == [(0, 100), (1, 100), (1, 101)]
  assert_array_equal(np.sort(data.validation.label), [0, 0, 1, 1])
  assert sorted(numbers(data.train) + numbers(data.validation)) == [
    (k, i) for k, size in enumerate((6, 5)) for i in range(size)
  ]


@pytest.mark.parametrize(
  ('sizes', 'test_sizes'),
  [
    ((20, 20), [2, 2]),
    ((30, 10), [2, 2]),
    ((28, 21), [2, 2]),  # a tenth, rounded down to a multiple of the classes
    ((4, 4), [1, 1]),  # at least one of each class
    ((25,), [2]),
  ],
)
def test_without_a_test_split_a_balanced_tenth_is_held_out(
  root, sizes, test_sizes
):
  write_classes(root, sizes)
  data = load(root, len(sizes))
  assert_array_equal(np.bincount(data.test.label), test_sizes)
  assert_array_equal(np.sort(data.validation.label), range(len(sizes)))
  check_each_is_in_one_part(data, sizes)
  again = load(root, len(sizes))
  assert numbers(again.test) == numbers(data.test)


def test_a_class_too_small_for_a_balanced_tenth(root):
  write_classes(root, (57, 3))
  data = load(root, 2)
  assert len(data.test.label) == 6
  check_each_is_in_one_part(data, (57, 3))


@pytest.mark.parametrize('turned', [False, True])
def test_images_are_cropped_to_their_central_square(root, turned):
  array = np.zeros((4, 8, 3), np.uint8)
  array[:, 2:4] = 50, 60, 70
  array[:, 4:6] = 80, 90, 100
  array = array.swapaxes(0, 1) if turned else array
  write(root, 'train/1.png', 'train/2.png', 'test/1.png', array=array)
  write(root, 'test/2.png', array=np.full((1, 9), 33, np.uint8))  # gray
  square = array[2:6] if turned else array[:, 2:6]
  data = load(root, 1, image_size=4)
  assert_array_equal(data.train.image, [square])
  assert_array_equal(data.test.image[0], square)
  assert_array_equal(data.test.image[1], np.full((4, 4, 3), 33))
  assert load(root, 1, image_size=7).test.image.shape == (2, 7, 7, 3)


def test_image_folder_refuses_in_words(root):
  with pytest.raises(InputError, match=r'config\.data\.image_size is None; .*'):
    load(root, 1, image_size=None)
  write_classes(root, (5, 5))
  with pytest.raises(
    InputError, match=r'num_validation, image_folder: .* of 2'
  ):
    load(root, 3)
  (root / 'class 1/003.png').write_bytes(b'text')
  with pytest.raises(InputError, match=r'cannot read .*class 1/003\.png'):
    load(root, 2)
  (root / 'class 0/001.png').write_bytes(b'')
  with pytest.raises(InputError) as error:
    load(root, 2)
  message = str(error.value)
  assert message.startswith('2 of 10 files are not intact images: cannot read')
  for name in ('class 0/001.png', 'class 1/003.png'):
    assert name in message
  assert message.endswith('or set config.data.on_bad_file to skip')
  data = load(root, 2, on_bad_file='skip')
  assert data.num_skipped == 2
  found = [number for part in data[1:4] for number in numbers(part)]
  assert len(found) == 8
  assert not {(0, 1), (1, 3)} & {*found}


@pytest.mark.parametrize(('num_test', 'count'), [(0, 0), (6, 6), (None, 2)])
def test_a_test_part_is_put_aside_if_asked_for(root, num_test, count):
  write_classes(root, (12, 10))
  data = load(root, 2, num_test=num_test)
  assert len(data.test.label) == count
  check_each_is_in_one_part(data, (12, 10))
  write_classes(root / 'split/train', (3, 3))
  write_classes(root / 'split/test', (2, 2), start=50)
  if num_test:
    with pytest.raises(InputError, match='has a test part of its own; set it'):
      load(root / 'split', 2, num_test=num_test)
  else:
    assert len(load(root / 'split', 2, num_test=num_test).test.label) == 4


@pytest.mark.systems
def test_a_run_counts_what_it_skips_and_says_that_an_epoch_is_short(
  root, tmp_path, capsys
):
  write_classes(root, (8, 8))
  (root / 'class 0/003.png').write_bytes(b'words')
  config = load_config(str(ROOT / 'configs/mnist_gan.py:smoke'))
  config.data.name, config.data.data_dir = 'image_folder', str(root)
  config.data.made_up, config.data.on_bad_file = False, 'skip'
  config.data.image_size, config.data.batch_size = 8, 4
  config.data.num_validation, config.log.tensorboard = 2, False
  config.train.num_steps, config.parallel = 2, 'jit'
  note = 'note: an epoch of 13 images has only 3 steps'
  assert note not in describe(config)
  config.train.num_steps, config.train.num_epochs = None, 1
  assert note in describe(config)
  loop.train(config, tmp_path / 'run')
  printed = capsys.readouterr()
  assert note in printed.out
  assert f'skipped, cannot read {root}/class 0/003.png: ' in printed.err
  data = json.loads((tmp_path / 'run/data.json').read_text())
  assert data['num_skipped'] == 1
  run = restore.load_run(tmp_path / 'run')
  assert restore.load_run_data(run).num_train == 13
  config.train.num_epochs = 2
  assert loop.train(config, tmp_path / 'run')['steps'] == 6
  assert verify(str(tmp_path / 'run')).finding is None
