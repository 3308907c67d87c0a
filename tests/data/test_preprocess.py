import numpy as np
import pytest
from ml_collections import ConfigDict
from numpy.testing import assert_array_equal
from PIL import Image

from gan_jax.core.errors import InputError
from gan_jax.data.domains import DomainData
from gan_jax.data.image_files import resize
from gan_jax.data.preprocess import MODES, make_preprocess
from gan_jax.data.spec import Stream

STREAMS = {'a': Stream('a', 3), 'b': Stream('b', 3)}


def config_of(root=None, **changes):
  config = {
    'name': 'domains',
    'made_up': False,
    'data_dir': str(root),
    'batch_size': 3,
    'num_validation': 2,
    'num_test': 0,
    'preprocess': 'resize_and_crop',
    'load_size': (12, 16),
    'crop_size': (8, 12),
    'flip': True,
    'memory_gb': 1.0,
    'on_bad_file': 'stop',
  }
  return ConfigDict(config | changes)


def picture(height, width, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, 3), np.uint8)


def write(folder, sizes):
  folder.mkdir(parents=True, exist_ok=True)
  for i, size in enumerate(sizes):
    Image.fromarray(picture(*size, i)).save(folder / f'{i}.png')


def write_domains(root, sizes):
  for i, name in enumerate(('trainA', 'trainB')):
    write(root / name, sizes[i:] + sizes[:i])


SIZES = [(20, 24), (16, 32), (18, 18), (30, 15), (24, 24), (20, 24)]


@pytest.mark.parametrize(
  ('mode', 'resized', 'seen'),
  [
    ('resize_and_crop', (12, 16), (8, 12)),
    ('crop', (20, 30), (8, 12)),
    ('scale_width', (11, 16), (11, 16)),
    ('scale_width_and_crop', (11, 16), (8, 12)),
    ('none', (20, 30), (20, 30)),
  ],
)
def test_sizes_by_mode(mode, resized, seen):
  preprocess = make_preprocess(config_of(preprocess=mode))
  image = picture(20, 30)
  assert preprocess.kept((20, 30), True) == resized
  assert preprocess.kept((20, 30), False) == seen
  trained = preprocess.apply(image, training=True)
  assert_array_equal(trained, resize(image, resized))
  shown = preprocess.apply(image, training=False)
  assert shown.shape == (*seen, 3)
  if mode == 'resize_and_crop':  # the whole image
    assert_array_equal(shown, resize(image, seen))
  elif seen != resized:  # the central crop
    top, left = ((a - b) // 2 for a, b in zip(resized, seen, strict=True))
    assert_array_equal(shown, trained[top : top + 8, left : left + 12])


@pytest.mark.parametrize('memory_gb', [0.0, 1.0])
@pytest.mark.parametrize('mode', MODES)
def test_batches_have_the_crops_shape(mode, memory_gb, tmp_path):
  same = mode in ('scale_width', 'none')
  write_domains(tmp_path, [(20, 24)] * 6 if same else SIZES)
  data = DomainData(config_of(tmp_path, preprocess=mode, memory_gb=memory_gb))
  shape = {'scale_width': (13, 16, 3), 'none': (20, 24, 3)}.get(
    mode, (8, 12, 3)
  )
  assert data.spec == (shape, shape, False, 1)
  for step in range(3):
    batch = data.sampler(STREAMS, 0)(step)
    assert {x['image'].shape for x in batch.values()} == {(3, *shape)}
  for images in data.dataset.validation:
    assert {x.shape for x in images} == {shape}
  assert len(data.dataset.test.a) == 0
  assert str(data).startswith('domains, unaligned, 4 + 4 train, 2 + 2 valid')


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'preprocess': 'crop', 'crop_size': 17},
      'domain a are 16x32, 30x15 pixels with config.data.preprocess = crop, '
      'less than config.data.crop_size = 17x17; reduce that, or choose',
    ),
    (
      {'preprocess': 'none'},
      'are 16x32, 18x18, 20x24, 24x24, 30x15 pixels with .* = none, but a step',
    ),
    ({'preprocess': 'scale_width'}, 'needs images of one size; choose resize'),
    (
      {'crop_size': 13},
      r'load_size = \(12, 16\) is smaller than crop_size = 13',
    ),
    (
      {'preprocess': 'scale_width_and_crop', 'crop_size': (4, 17)},
      r'load_size = \(12, 16\) is smaller',
    ),
    ({'num_test': 4}, 'num_validation = 2 leaves none of the 2 training'),
    ({'num_test': 6}, 'num_test = 6 leaves none of the 6 training'),
  ],
)
def test_sizes_and_numbers_that_do_not_fit(changes, message, tmp_path):
  write_domains(tmp_path, SIZES)
  with pytest.raises(InputError, match=message):
    DomainData(config_of(tmp_path, **changes))


def test_a_test_part_on_request(tmp_path):
  write_domains(tmp_path, SIZES)
  data = DomainData(config_of(tmp_path, num_test=2, num_validation=1))
  assert [len(part.a) for part in data.dataset[1:4]] == [3, 1, 2]
  write(tmp_path / 'testA', SIZES[:1])
  write(tmp_path / 'testB', SIZES[:1])
  with pytest.raises(InputError, match='has a test part of its own; set it to'):
    DomainData(config_of(tmp_path, num_test=2))


def test_broken_files_are_all_named_or_skipped(tmp_path, capsys):
  """In pairs, partners are skipped too; in unaligned sets, only the file."""
  for name in ('train/A', 'train/B'):
    write(tmp_path / name, [(20, 24)] * 8)
  (tmp_path / 'train/A/1.png').write_bytes(b'')
  (tmp_path / 'train/B/3.png').write_bytes(b'words')
  Image.fromarray(picture(9, 9)).save(tmp_path / 'train/B/5.png')
  config = config_of(tmp_path, name='pairs')
  with pytest.raises(InputError) as error:
    DomainData(config)
  message = str(error.value)
  assert message.startswith('3 of 16 files are not intact images: cannot read')
  for part in ('A/1.png: ', 'B/3.png: ', 'A/5.png is 20x24 and its partner'):
    assert part in message
  config.on_bad_file = 'skip'
  data = DomainData(config)
  assert data.dataset.num_skipped == 3
  notes = capsys.readouterr().err.splitlines()
  assert len(notes) == 3
  for name in ('A/1.png', 'B/3.png', 'A/5.png'):
    assert any(note.startswith('note: skipped, ') and name in note
               for note in notes)  # fmt: skip
  assert [len(part.a) for part in data.dataset[1:4]] == [3, 2, 0]
  for part in ('train', 'validation'):
    a, b = getattr(data.dataset, part)
    names = [[path.name for path in x.source.paths] for x in (a, b)]
    assert names[0] == names[1]
    assert not {'1.png', '3.png', '5.png'} & {*names[0]}
  for path in (tmp_path / 'train/A').iterdir():
    path.write_bytes(b'')
  with pytest.raises(InputError, match='no train image of domain a can be'):
    DomainData(config)
