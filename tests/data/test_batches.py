import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.data.batches import Sampler, as_stored, to_uint8, to_unit_range
from gan_jax.data.dataset import Examples
from gan_jax.data.spec import Stream

NUM = 10
EXAMPLES = Examples(
  np.arange(NUM, dtype=np.uint8).reshape(NUM, 1, 1, 1),
  np.arange(NUM, dtype=np.int32) % 5,
)
MASK = np.arange(NUM) % 3 == 0  # rows 0, 3, 6, 9


def sampler(seed=0, **streams):
  streams = streams or {'train': Stream('all', 4)}
  return Sampler(EXAMPLES, MASK, streams, seed)


def rows(sampler, steps, name='train'):
  return np.concatenate([sampler.indices(name, step) for step in steps])


def test_every_row_once_per_pass_even_across_batches():
  seen = rows(sampler(), range(5)).reshape(2, NUM)
  assert_array_equal(np.sort(seen), [np.arange(NUM)] * 2)
  assert (seen[0] != seen[1]).any()


def test_a_batch_does_not_depend_on_how_it_is_reached():
  one = sampler()
  in_order = [one(step)['train'] for step in range(12)]
  for step in (11, 3, 7):
    for name, column in sampler()(step)['train'].items():
      assert_array_equal(column, in_order[step][name])


def test_seeds_and_streams_have_their_own_orders():
  both = {'a': Stream('all', 5), 'b': Stream('all', 5)}
  steps = range(6)
  a = rows(sampler(**both), steps, 'a')
  assert (a != rows(sampler(**both), steps, 'b')).any()
  assert (a != rows(sampler(seed=1, **both), steps, 'a')).any()
  assert_array_equal(a, rows(sampler(a=Stream('all', 5)), steps, 'a'))


def test_a_labelled_stream_repeats_the_labelled_rows():
  batch = sampler(few=Stream('labelled', 8))(3)['few']
  assert_array_equal(np.sort(batch['image'].ravel()), [0, 0, 3, 3, 6, 6, 9, 9])
  assert_array_equal(batch['label_mask'], 1)
  assert_array_equal(batch['label'], batch['image'].ravel() % 5)


def test_masked_labels_are_not_passed_on():
  batch = sampler(all=Stream('all', NUM))(0)['all']
  order = np.argsort(batch['image'].ravel())
  want = np.where(MASK, EXAMPLES.label, -1)
  assert_array_equal(batch['label'][order], want)
  assert_array_equal(batch['label_mask'][order], MASK)


def test_a_batch_larger_than_the_data_is_refused():
  with pytest.raises(InputError, match='11 rows per step, more than the 10'):
    sampler(train=Stream('all', 11))


def test_bytes_survive_the_unit_range():
  image = np.arange(256, dtype=np.uint8)
  unit = to_unit_range(image)
  assert (float(unit.min()), float(unit.max())) == (-1, 1)
  assert_array_equal(to_uint8(unit), image)
  assert_array_equal(to_uint8(np.array([-7.0, 7.0])), [0, 255])


@pytest.mark.parametrize('count', [2, 3])
def test_the_parts_of_a_batch_are_the_batch(count):
  streams = {'a': Stream('all', 6), 'b': Stream('labelled', 12)}
  examples = Examples(
    np.arange(20 * 4, dtype=np.uint8).reshape(20, 2, 2, 1),
    np.arange(20, dtype=np.int32),
  )
  mask = np.arange(20) % 2 == 0
  whole = Sampler(examples, mask, streams, 3)(5)
  parts = [
    Sampler(examples, mask, streams, 3, (i, count))(5) for i in range(count)
  ]
  together = jax.tree.map(lambda *x: np.concatenate(x), *parts)
  jax.tree.map(np.testing.assert_array_equal, together, whole)


def test_half_of_the_images_are_mirrored():
  """Mirroring depends on step and row, and is the same in all parts."""
  num, image = 64, np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
  examples = Examples(np.repeat(image, num, 0), np.zeros(num, np.int32))
  mask, spec = np.ones(num, bool), {'train': Stream('all', 32)}

  def images(step, part=(0, 1), flip=True):
    sampler = Sampler(examples, mask, spec, 0, part, flip=flip)
    return sampler(step)['train']['image']

  plain, flipped = images(0, flip=False), images(0)
  mirrored = (flipped != plain).any(axis=(1, 2, 3))
  assert 8 < mirrored.sum() < 24
  assert_array_equal(flipped[mirrored], plain[mirrored, :, ::-1])
  assert_array_equal(images(0), flipped)
  assert (images(1) != flipped).any()
  halves = [images(0, (i, 2)) for i in (0, 1)]
  assert_array_equal(np.concatenate(halves), flipped)
  assert_array_equal(examples.image, np.repeat(image, num, 0))


def test_points_and_labels_are_left_as_they_are():
  points = np.array([[[[3.7, -4.0]]]], np.float32)
  label = np.array([3], np.int32)
  assert to_unit_range(points) is points
  assert to_unit_range(label) is label
  assert as_stored(points) is points
  image = np.array([[[[-1.0, 0.5, 1.0]]]], np.float32)
  assert_array_equal(as_stored(image), to_uint8(image))
