"""Translation of image files: the function and the command.

File handling is tested on runs of tiny networks, the rest on real ones.
"""

import os
import shutil

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from gan_jax import systems
from gan_jax.config import load_config
from gan_jax.core.errors import InputError
from gan_jax.data.batches import to_unit_range
from gan_jax.inference.translate import make_translator, translate_files
from gan_jax.runs.restore import load_generator
from gan_jax.training import loop
from tests.conftest import ROOT
from tests.systems.tiny import put_in_place

pytestmark = pytest.mark.systems


def picture(height, width, seed=0):
  """Draws waves of random colours and lengths, uint8 [H, W, 3]."""
  length = np.random.default_rng(seed).uniform(5, 20, (2, 3))
  y, x = np.mgrid[:height, :width, :1][:2]
  return np.uint8(128 + 60 * np.sin(y / length[0]) + 60 * np.sin(x / length[1]))


def write(path, array, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(array).save(path, **options)
  return path


def train(name, root, /, **data):
  config = load_config(str(ROOT / f'configs/{name}.py:smoke'))
  config.parallel = 'jit'
  config.log.tensorboard = False
  config.data.update(data, data_dir=str(root / 'data'))
  # These make averaged weights differ much from the last ones.
  config.optimizer.generator.learning_rate = 0.005
  config.optimizer.generator.ema = {'name': 'debiased', 'decay': 0.9}
  loop.train(config, root / 'run')
  return root / 'run'


def train_cyclegan(root):
  """Trains a run of both directions, in colour."""
  for seed, split in enumerate(('trainA', 'trainB', 'testA', 'testB')):
    for i in range(4):
      write(root / f'data/{split}/{i}.png', picture(18, 18, 10 * seed + i))
  return train('facades_cyclegan', root, name='domains')


def train_pix2pix(root):
  """Trains a run from colour to gray only, with noise."""
  for i in range(10):
    write(root / f'data/{i}.png', picture(18, 18, i))
  return train('facades_pix2pix', root, name='gray_to_colour', direction='b2a')


@pytest.fixture(scope='session')
def cyclegan(tmp_path_factory):
  return train_cyclegan(tmp_path_factory.mktemp('cyclegan'))


@pytest.fixture(scope='session')
def pix2pix(tmp_path_factory):
  return train_pix2pix(tmp_path_factory.mktemp('pix2pix'))


@pytest.fixture(scope='module')
def tiny_runs(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    put_in_place(patch)
    systems._made.cache_clear()
    runs = [
      train(tmp_path_factory.mktemp('tiny'))
      for train in (train_cyclegan, train_pix2pix)
    ]
  systems._made.cache_clear()
  return runs


@pytest.fixture
def colour(tiny_runs, new_systems, monkeypatch):
  """The run of `train_cyclegan` with tiny networks."""
  put_in_place(monkeypatch)
  return tiny_runs[0]


@pytest.fixture
def noisy(tiny_runs, new_systems, monkeypatch):
  """The run of `train_pix2pix` with tiny networks."""
  put_in_place(monkeypatch)
  return tiny_runs[1]


@pytest.fixture
def photos(tmp_path):
  return tmp_path / 'photos'


@pytest.fixture
def made(tmp_path):
  return tmp_path / 'made'


def read(folder):
  """Reads a folder's images by name; fails on any other file."""
  return {
    str(path.relative_to(folder)): np.asarray(Image.open(path))
    for path in folder.rglob('*')
    if not path.is_dir()
  }


def contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize('run', ['cyclegan', 'pix2pix'])
def test_sizes_are_kept(run, photos, made, request):
  sizes = {
    f'{height}x{width}.png': (height, width, 3)
    for height, width in [(17, 23), (5, 40), (1, 1), (16, 16), (50, 33)]
  }
  for name, size in sizes.items():
    write(photos / name, picture(*size[:2]))
  workdir = request.getfixturevalue(run)
  assert translate_files(workdir, photos, made) == (5, [])
  images = read(made)
  assert {name: image.shape for name, image in images.items()} == sizes
  largest = images['50x33.png']
  assert (largest == largest[..., :1]).all() == (run == 'pix2pix')


@pytest.mark.parametrize(
  ('run', 'direction', 'size'),
  [
    ('cyclegan', 'a2b', (20, 48)),
    ('cyclegan', 'b2a', (20, 48)),
    ('pix2pix', 'b2a', (16, 48)),
    ('pix2pix', 'b2a', (32, 48)),
  ],
)
def test_averaged_weights_translate(run, direction, size, request):
  run = load_generator(request.getfixturevalue(run))
  translate, channels = make_translator(run, direction)
  assert channels == 3
  image, key = picture(*size), jax.random.key(3)

  def expected(weights):
    one = jax.jit(run.system.translator.ways[direction])
    made = np.asarray(one(weights, to_unit_range(image)[None], key)[0])
    return np.round((made + 1) * 127.5).astype(int)

  generator = run.state.generator
  found = translate(image[None], key[None])[0]
  assert found.dtype == np.uint8
  assert_allclose(found, expected(generator.ema), atol=1)  # of rounding
  assert abs(found - expected(generator.weights)).max() > 10


def test_sides_are_padded_by_reflection_to_the_least_that_fits(cyclegan):
  translator, _ = make_translator(load_generator(cyclegan))
  key = jax.random.key(0)

  def translate(image, key):
    return translator(image[None], key[None])[0]

  image = picture(17, 23)
  padded = image[[*range(17), 15, 14, 13]][:, [*range(23), 21]]
  assert_array_equal(translate(image, key), translate(padded, key)[:17, :23])
  image = picture(3, 40)
  padded = image[[0, 1, 2, 1, 0, 1, 2, 1]]
  assert_array_equal(translate(image, key), translate(padded, key)[:3])
  image = picture(1, 1)
  padded = np.broadcast_to(image, (8, 8, 3))
  assert_array_equal(translate(image, key), translate(padded, key)[:1, :1])


def test_directions(colour, noisy, photos, made, tmp_path):
  write(photos / 'a.png', picture(16, 16))
  images = {}
  for direction in (None, 'a2b', 'b2a'):
    output = made / str(direction)
    translate_files(colour, photos, output, direction=direction)
    images[direction] = read(output)['a.png'].astype(int)
  assert_array_equal(images[None], images['a2b'])
  assert abs(images['a2b'] - images['b2a']).max() > 10
  translate_files(noisy, photos, made / 'only')
  translate_files(noisy, photos, made / 'same', direction='b2a')
  assert contents(made / 'only') == contents(made / 'same')
  with pytest.raises(InputError, match='does not translate a2b; choose b2a'):
    translate_files(noisy, photos, tmp_path / 'none', direction='a2b')
  assert not (tmp_path / 'none').exists()


def test_noise_depends_on_the_seed_and_the_name_alone(noisy, photos, made):
  for name in ('b.png', 'ä 数.png', 'z.png'):
    write(photos / name, picture(20, 36))
  translate_files(noisy, photos, made / 'all')
  together = contents(made / 'all')
  assert len(set(together.values())) == 3
  translate_files(noisy, photos, made / 'again')
  assert contents(made / 'again') == together
  translate_files(noisy, photos / 'ä 数.png', made / 'alone')
  alone = contents(made / 'alone')
  assert alone == {'ä 数.png': together['ä 数.png']}
  for folder in ('1', '2'):
    write(photos / folder / 'a.png', picture(20, 36))
  translate_files(noisy, photos, made / 'deep')
  one, other = (contents(made / 'deep' / folder) for folder in ('1', '2'))
  assert one.keys() == other.keys()
  assert one != other
  translate_files(noisy, photos / 'ä 数.png', made / 'other', seed=1)
  assert contents(made / 'other') != alone


def test_images_are_translated_as_one_sees_them(colour, photos, made):
  image = picture(12, 21)
  alpha = np.full((12, 21, 1), 255, np.uint8)
  alpha[3:6] = 0
  white = image.copy()
  white[3:6] = 255
  gray = image[..., 0]
  exif = Image.Exif()
  exif[0x0112] = 6  # turned to the left
  write(photos / 'alpha.webp', np.dstack([image, alpha]), lossless=True)
  write(photos / 'gray.bmp', gray)
  write(photos / 'turned.tif', np.rot90(image), exif=exif)
  plain = photos.with_name('plain')
  write(plain / 'alpha.png', white)
  write(plain / 'gray.png', np.dstack([gray] * 3))
  write(plain / 'turned.png', image)
  translate_files(colour, photos, made / 'photos')
  translate_files(colour, plain, made / 'plain')
  images = contents(made / 'photos')
  assert images == contents(made / 'plain')
  assert len(set(images.values())) == 3


def test_what_is_no_image_is_skipped_and_named(colour, photos, made, capsys):
  """Other file names are noted at once, unreadable images at the end."""
  for name in ('1.png', '3 ü.jpeg', 'no extension', '.hidden.png'):
    write(photos / name, picture(9, 9), format='png')
  write(photos / 'subfolder/5.png', picture(9, 9))
  whole = (photos / '1.png').read_bytes()
  (photos / '0.png').write_bytes(whole[: len(whole) // 2])
  (photos / '2.txt').write_text('words')
  (photos / 'subfolder/4.bmp').touch()
  (photos / '6.png').symlink_to('nowhere')
  num, unreadable = translate_files(colour, photos, made)
  assert num == 3
  assert set(read(made)) == {'1.png', '3 ü.png', 'subfolder/5.png'}
  assert capsys.readouterr().err == (
    f'note: ignored in {photos}, not images: 2.txt, no extension\n'
  )
  bad = ('0.png', '6.png', 'subfolder/4.bmp')
  for name, line in zip(bad, unreadable, strict=True):
    assert line.startswith(f'cannot read {photos / name}: ')


def test_images_of_a_size_are_translated_together(colour, photos, made):
  """Sub-folders are kept; the output folder within them is not an input."""
  for i in range(11):
    write(photos / f'{i % 2}/deep/{i}.png', picture(9, 12 + 8 * (i % 3), i))
  output = photos / 'made'
  num, failed = translate_files(colour, photos, output)
  assert (num, failed) == (11, [])
  names = {f'{i % 2}/deep/{i}.png' for i in range(11)}
  together = read(output)
  assert together.keys() == names
  assert translate_files(colour, photos, output, overwrite=True) == (11, [])
  for size in (1, 3):
    translate_files(colour, photos / '0', made / f'{size}/0', batch_size=size)
    alone = read(made / str(size))
    assert alone.keys() == {name for name in names if name[0] == '0'}
    for name, image in alone.items():
      assert_allclose(image.astype(int), together[name], atol=1)


def test_names_that_are_no_unicode(noisy, photos, made):
  for name in (b'gr\xf6n.png', b'gr\xfcn.png'):
    write(photos / os.fsdecode(name), picture(9, 9))
  assert translate_files(noisy, photos, made) == (2, [])
  images = contents(made)
  assert {os.fsencode(name) for name in images} == {
    b'gr\xf6n.png',
    b'gr\xfcn.png',
  }
  assert len(set(images.values())) == 2


def test_files_are_replaced_only_if_told_to(colour, photos, made):
  for name in ('a.jpg', 'b.png', 'c.png'):
    write(photos / name, picture(9, 9))
  made.mkdir()
  for name in ('b.png', 'c.png', 'other.txt'):
    (made / name).write_text('mine')
  before = contents(made)
  with pytest.raises(InputError, match=r'made/b\.png and 1 more would be'):
    translate_files(colour, photos, made)
  assert contents(made) == before
  translate_files(colour, photos, made, overwrite=True)
  after = contents(made)
  assert after.keys() == before.keys() | {'a.png'}
  assert after['other.txt'] == b'mine'
  assert Image.open(made / 'b.png').size == (9, 9)
  before = contents(photos)
  with pytest.raises(InputError, match=r'photos/b\.png and 1 more would be'):
    translate_files(colour, photos, photos)
  assert contents(photos) == before


def test_what_cannot_be_done_is_said_before_the_run_is_looked_for(photos, made):
  def refusal(source, output=made):
    with pytest.raises(InputError) as error:
      translate_files('nowhere', source, output)
    assert not made.exists()
    return str(error.value)

  assert f'there is no {photos}; name an' in refusal(photos)
  photos.mkdir()
  write(photos / '.hidden.png', picture(9, 9))
  (photos / 'subfolder').mkdir()
  assert refusal(photos).startswith(f'{photos} holds no images (png, jpg, ')
  write(photos / 'a.png', picture(9, 9))
  file = photos / 'a.png'
  assert refusal(photos, file) == (
    f'{file} is a file; name a folder for the translations'
  )
  write(photos / 'a.jpg', picture(9, 9))
  write(photos / 'a.jpg.png', picture(9, 9))
  assert refusal(photos) == (
    f'{photos / "a.jpg"} and a.jpg.png would both become '
    f'{made / "a.jpg.png"}; rename one of them'
  )


def test_names_that_differ_in_their_extension_keep_it(colour, photos, made):
  for name in ('a.png', 'a.jpg', 'b.bmp'):
    write(photos / name, picture(9, 9))
  num, skipped = translate_files(colour, photos, made)
  assert (num, skipped) == (3, [])
  assert set(read(made)) == {'a.png', 'a.jpg.png', 'b.png'}


def test_what_lies_in_the_output_folder_is_not_written_to(
  colour, photos, made, tmp_path
):
  """Nor is a file written through a link named like a temporary file."""
  write(photos / 'a.png', picture(9, 9))
  made.mkdir()
  (tmp_path / 'mine').write_text('mine')
  (made / 'a.png.tmp').symlink_to('../mine')
  translate_files(colour, photos, made)
  assert (tmp_path / 'mine').read_text() == 'mine'
  assert {path.name for path in made.iterdir()} == {'a.png', 'a.png.tmp'}
  (made / 'a.png').unlink()
  (made / 'a.png').symlink_to('../mine')
  translate_files(colour, photos, made, overwrite=True)
  assert not (made / 'a.png').is_symlink()
  assert (tmp_path / 'mine').read_text() == 'mine'


def test_one_that_cannot_be_written_does_not_stop_the_others(
  colour, photos, made
):
  for name in ('a.png', 'b.png', 'c.png'):
    write(photos / name, picture(9, 9))
  write(photos / 'x.bmp', picture(9, 9)).rename(photos / ('y' * 251 + '.bmp'))
  (made / 'b.png').mkdir(parents=True)
  num, skipped = translate_files(colour, photos, made, overwrite=True)
  assert num == 3
  (line,) = skipped
  assert line == f'cannot write {made / "b.png"}: Is a directory'
  assert {path.name for path in made.iterdir()} == {
    'a.png', 'b.png', 'c.png', 'y' * 251 + '.png'
  }  # fmt: skip


def test_images_that_may_not_fit_in_memory_are_skipped(colour, photos, made):
  write(photos / 'a.png', picture(20, 50))
  write(photos / 'b.png', picture(20, 51))
  num, skipped = translate_files(colour, photos, made, max_megapixels=1e-3)
  assert (num, set(read(made))) == (1, {'a.png'})
  assert (
    f'{photos / "b.png"} has 0.00102 megapixels, more than the limit of 0.001'
    in skipped[0]
  )


def test_the_command(command, cyclegan, photos, made, tmp_path):
  """The command works on a copy without discriminators."""
  copy = shutil.copytree(cyclegan, tmp_path / 'copy')
  for path in copy.glob('checkpoints/*/discriminator'):
    shutil.rmtree(path)
  for i, name in enumerate(('a ü.png', 'b.jpg')):
    write(photos / name, picture(17, 23, i))
  args = f'--workdir={copy}', f'--input={photos}', f'--output={made}'
  done = command('translate', *args)
  assert done.stdout == f'2 images in {made}\n'
  assert done.stderr == ''
  assert set(read(made)) == {'a ü.png', 'b.png'}
  expected = made.with_name('expected')
  translate_files(cyclegan, photos, expected)
  assert contents(made) == contents(expected)

  done = command('translate', *args, status=2)
  assert done.stderr.startswith(f'error: {made / "a ü.png"} and 1 more would')
  assert contents(made) == contents(expected)

  (photos / 'words.png').write_text('words')
  done = command('translate', *args, '--overwrite', '--direction=b2a', status=1)
  assert done.stdout == f'2 images in {made}\n'
  assert done.stderr.startswith(f'skipped: cannot read {photos}/words.png: ')
  assert done.stderr.count('\n') == 1
  assert contents(made).keys() == contents(expected).keys()
  assert contents(made) != contents(expected)


def test_a_run_of_samples_is_refused(command, toy_run, photos, made):
  file = write(photos / 'a.png', picture(9, 9))
  done = command(
    'translate', f'--workdir={toy_run}', f'--input={file}',
    f'--output={made}', status=2,
  )  # fmt: skip
  assert done.stderr == (
    'error: system toy generates images from noise; use gan-jax sample\n'
  )
  assert not made.exists()
