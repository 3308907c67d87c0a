"""The sample command."""

import json
import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from gan_jax.data.labelled import DATASETS
from tests.conftest import call

SIDE = 64  # of an 8x8 digit, enlarged


@pytest.fixture
def sample(command, toy_run, tmp_path):
  """Runs the command; returns the picture's path in a folder of its own."""
  (tmp_path / 'made').mkdir()

  def run(name, *args, workdir=toy_run):
    path = tmp_path / 'made' / name
    done = command('sample', f'--workdir={workdir}', f'--output={path}', *args)
    assert done.stdout == f'{path}\n'
    return path

  return run


def tiles(path):
  """Returns the images of a grid, row by row, in grey, without its lines."""
  canvas = np.asarray(Image.open(path))[1:, 1:, 0]
  rows, columns = (size // (SIDE + 1) for size in canvas.shape)
  cut = canvas.reshape(rows, SIDE + 1, columns, SIDE + 1)
  return cut[:, :-1, :, :-1].swapaxes(1, 2).reshape(-1, SIDE, SIDE)


def frames(path):
  with Image.open(path) as animation:
    for i in range(animation.n_frames):
      animation.seek(i)
      yield np.asarray(animation.convert('L'))


def test_seeds_name_pictures_and_need_no_discriminator(
  sample, toy_run, tmp_path
):
  copy = shutil.copytree(toy_run, tmp_path / 'copy')
  for path in copy.glob('checkpoints/*/discriminator'):
    shutil.rmtree(path)
  several = tiles(sample('a.png', '--seeds=5-7,0', '--columns=2'))
  assert len(np.unique(several, axis=0)) == 4
  alone = tiles(sample('b.png', '--seeds=7', '--columns=1', workdir=copy))
  assert_array_equal(alone, several[2:3])
  first = tiles(sample('c.png', '--seed=7', '--num=3', '--columns=3'))
  assert_array_equal(first[:1], alone)
  assert (first[1:] != alone).any(axis=(1, 2)).all()


def test_a_file_that_is_there_is_replaced(sample):
  path = sample('a.png', '--num=1')
  before = path.read_bytes()
  assert sample('a.png', '--num=1', '--seed=1').read_bytes() != before
  assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize('suffix', ['gif', 'webp'])
def test_an_animation_passes_by_the_pictures_of_its_seeds(sample, suffix):
  path = sample(f'a.{suffix}', '--seeds=3,1,2', '--interpolate=2')
  tour = np.stack(list(frames(path)))
  assert tour.shape == (3 * (2 + 1), SIDE, SIDE)
  still = tiles(sample('still.png', '--seeds=3,1,2', '--columns=3'))
  assert_array_equal(tour[::3], still)
  assert len(np.unique(tour, axis=0)) == 9


def test_each_sample_has_its_nearest_training_image_beside_it(
  sample, tiny_dataset, monkeypatch
):
  monkeypatch.setitem(DATASETS, 'digits', lambda config: tiny_dataset)
  path = sample('a.png', '--seeds=0-4', '--neighbours', '--columns=2')
  assert Image.open(path).size == (4 * (SIDE + 1) + 1, 3 * (SIDE + 1) + 1)
  pairs = tiles(path)[:10, ::8, ::8].reshape(5, 2, -1).astype(int)
  still = tiles(sample('b.png', '--seeds=0-4', '--columns=5'))[:, ::8, ::8]
  assert_array_equal(pairs[:, 0], still.reshape(5, -1))
  train = tiny_dataset.train.image.reshape(-1, 64).astype(int)
  for made, near in pairs:
    squared = ((train - made) ** 2).sum(axis=1)
    assert ((near - made) ** 2).sum() == squared.min()
    assert (train == near).all(axis=1).any()


@pytest.mark.parametrize(
  ('args', 'message'),
  [
    (('--output=x.jpg',), 'x.jpg: want a name that ends in .png, .npz or'),
    (('--output=x',), 'x: want a name that ends in .png, .npz or, for'),
    (('--output=x.npz', '--columns=2'), '--columns are for grids'),
    (('--output=x/', '--neighbours'), '--columns are for grids'),
    (('--output=x.gif',), 'with --interpolate'),
    (('--output=x.png', '--interpolate=2', '--seeds=0-3'), 'with --interp'),
    (('--output=x.gif', '--interpolate=2'), 'two seeds or more'),
    (('--output=x.gif', '--interpolate=2', '--seeds=4'), 'two seeds or more'),
    (('--output=x.gif', '--interpolate=0', '--seeds=0-3'), '--interpolate'),
    (('--output=x.gif', '--interpolate=2', '--seeds=0-3', '--neighbours'),
     '--neighbours and --columns are for'),
    (('--output=x.gif', '--interpolate=2', '--seeds=0-3', '--columns=2'),
     '--neighbours and --columns are for'),
    (('--output=x.png', '--seeds=0-3', '--num=4'), 'give no --num'),
    (('--output=x.png', '--seeds=0-3', '--seed=4'), 'give no --num'),
    (('--output=x.png', '--seeds=3-0'), 'runs backwards'),
    (('--output=x.png', f'--seeds={2**32}'), 'numbers below 2^32'),
    (('--output=x.png', '--data_dir=y'), 'with --neighbours only'),
    (('--output=x.png', '--num=10000000'), '--num'),
    (('--output=x.png', '--columns=10000000'), '--columns'),
  ],
)  # fmt: skip
def test_flags_that_do_not_go_together(refused, args, message):
  """They are rejected in one line, before the run is opened."""
  done = refused(message, 'sample', '--workdir=nowhere', *args)
  assert 'nowhere' not in done.stderr


def test_single_images_and_arrays_are_the_same(command, toy_run, tmp_path):
  """The batch size does not divide their number; the folder is empty."""
  args = ('sample', f'--workdir={toy_run}', '--num=11', '--batch_size=4')
  folder = tmp_path / 'images'
  done = command(*args, f'--output={folder}/')
  assert done.stdout == f'11 images in {folder}\n'
  assert command(*args, f'--output={tmp_path}/all.npz').stderr == ''
  with np.load(tmp_path / 'all.npz') as arrays:
    assert arrays.files == ['samples']
    images = arrays['samples']
  assert (images.shape, images.dtype) == ((11, 8, 8, 1), np.uint8)
  paths = sorted(folder.iterdir())
  assert [path.name for path in paths] == [f'{i:06d}.png' for i in range(11)]
  for path, image in zip(paths, images, strict=True):
    assert_array_equal(np.asarray(Image.open(path)), image[..., 0])
  command(*args, f'--output={tmp_path}/grid.png', '--columns=1')
  assert_array_equal(tiles(tmp_path / 'grid.png')[:, ::8, ::8], images[..., 0])
  done = command(*args, f'--output={folder}', status=2)
  assert done.stderr.startswith(f'error: {folder} is not empty; ')


def test_a_checkpoint_is_chosen(command, toy_run, refused, tmp_path):
  def images(name, *args):
    path = tmp_path / f'{name}.npz'
    command('sample', f'--workdir={toy_run}', f'--output={path}', *args)
    return np.load(path)['samples']

  assert_array_equal(images('8', '--checkpoint=8'), images('latest'))
  assert (images('4', '--checkpoint=4') != images('latest')).any()
  refused(
    "unknown checkpoint '5'; choose one of: 4, 6, 8", 'sample',
    f'--workdir={toy_run}', f'--output={tmp_path}/x.png', '--checkpoint=5',
  )  # fmt: skip


@pytest.fixture(scope='module')
def conditional_run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('conditional') / 'run'
  done = call(
    'train', '--config=configs/mnist_gan.py:smoke', f'--workdir={workdir}',
    '--config.model.conditioning=concat_projection',
    '--config.data.num_labels=None', '--config.log.grid=(2,10)',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  return workdir


@pytest.mark.systems
def test_samples_of_chosen_classes(conditional_run, command, tmp_path):
  """Each column has its class; the z do not depend on the classes."""

  def image(name, *args):
    path = tmp_path / name
    command('sample', f'--workdir={conditional_run}', f'--output={path}', *args)
    return np.asarray(Image.open(path))

  def cells(canvas, columns, rows):
    size = (canvas.shape[1] - 1) // columns
    body = canvas[1 : 1 + rows * size, 1 : 1 + columns * size]
    return body.reshape(rows, size, columns, size, -1).swapaxes(1, 2)

  grid = cells(image('all.png', '--labels=0-9', '--num=20'), 10, 2)
  threes = cells(image('3.png', '--label=3', '--num=20', '--columns=10'), 10, 2)
  assert_array_equal(grid[:, 3], threes[:, 3])
  assert (grid[:, 4] != threes[:, 4]).any()
  drawn = cells(image('drawn.png', '--num=20', '--columns=10'), 10, 2)
  assert (drawn != threes).any()
  command(
    'sample', f'--workdir={conditional_run}', f'--output={tmp_path}/t.gif',
    '--seeds=0-3', '--labels=0,0,1,1', '--interpolate=3', status=2,
  )  # fmt: skip
  command(
    'sample', f'--workdir={conditional_run}', f'--output={tmp_path}/t.gif',
    '--seeds=0-3', '--labels=0,1,2,3', '--interpolate=3',
  )  # fmt: skip
  assert len(list(frames(tmp_path / 't.gif'))) == 16
  args = (f'--workdir={conditional_run}', '--labels=0-9', '--num=20')
  command('sample', *args, f'--output={tmp_path}/all.npz')
  labels = np.load(tmp_path / 'all.npz')['label']
  assert_array_equal(labels, [*range(10)] * 2)
  command('sample', *args, f'--output={tmp_path}/files/')
  names = sorted(path.name for path in (tmp_path / 'files').iterdir())
  assert names == [f'{i:06d}_{i % 10}.png' for i in range(20)]


@pytest.mark.systems
def test_labels_that_cannot_be(conditional_run, toy_run, refused, tmp_path):
  output = f'--output={tmp_path}/x.png'
  for message, run, *args in (
    ('classes of', conditional_run, '--label=10'),
    ('are 0..9', conditional_run, '--labels=8-12'),
    ('give either --label or --labels', conditional_run, '--label=1',
     '--labels=0-2'),
    ('has no classes (config.model.conditioning is', toy_run, '--label=1'),
  ):  # fmt: skip
    refused(message, 'sample', f'--workdir={run}', output, *args)


@pytest.mark.systems
def test_a_conditional_generator_is_exported_and_evaluated(
  conditional_run, command, tmp_path
):
  path = tmp_path / 'generator.stablehlo'
  out = command('export', f'--workdir={conditional_run}', f'--output={path}')
  assert 'label' in out.stdout
  command('evaluate', f'--workdir={conditional_run}', '--num_samples=20')
  command('verify', f'--workdir={conditional_run}')
  command('report', f'--workdir={conditional_run}')


@pytest.mark.systems
def test_points_are_plotted_written_and_scored(command, refused, tmp_path):
  run = f'--workdir={tmp_path}/run'
  command('train', '--config=configs/grid_gan.py:smoke', run)
  command('sample', run, '--num=9', f'--output={tmp_path}/plot.png')
  with Image.open(tmp_path / 'plot.png') as plot:
    assert plot.size == (401, 401)
  command('sample', run, '--num=9', f'--output={tmp_path}/points.npz')
  with np.load(tmp_path / 'points.npz') as arrays:
    assert arrays['samples'].shape == (9, 1, 1, 2)
    assert arrays['samples'].dtype == np.float32
  for flags in (
    [f'--output={tmp_path}/folder/'],
    [f'--output={tmp_path}/walk.gif', '--seeds=0-1', '--interpolate=2'],
    [f'--output={tmp_path}/pairs.png', '--neighbours'],
  ):
    refused('the samples are points: give', 'sample', run, *flags)
  scores = json.loads(command('evaluate', run).stdout)
  assert 'samples_to_train' not in scores
  assert_allclose(scores['data_std'], np.sqrt(8 + 0.05**2) / 2, rtol=0.01)
  command('report', run)
  assert (tmp_path / 'run/report/real.png').exists()
