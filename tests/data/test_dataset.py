import numpy as np
import pytest
from ml_collections import ConfigDict
from numpy.testing import assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.data.dataset import (
  Dataset,
  Examples,
  crop_to_native,
  label_mask,
  prepare,
  select,
)

LABELS = np.repeat(np.arange(4), [10, 20, 30, 5])


def mask_of(num_labels, label_seed=0):
  config = ConfigDict({'num_labels': num_labels, 'label_seed': label_seed})
  return label_mask(LABELS, config, 4)


def test_labels_are_kept_class_by_class_and_by_seed():
  mask = mask_of(12)
  assert mask.dtype == bool
  assert_array_equal(np.bincount(LABELS[mask]), [3, 3, 3, 3])
  assert_array_equal(mask, mask_of(12))
  assert (mask != mask_of(12, label_seed=1)).any()
  first = np.flatnonzero(mask_of(20))
  assert first.max() > 30  # they are not just the first rows of a class
  assert mask_of(None).all()


@pytest.mark.parametrize(
  ('num', 'message'),
  [
    (10, 'multiple of 4'),
    (24, 'class 3 has 5 examples'),
    (100, 'more than the 65 training images'),
  ],
)
def test_numbers_of_labels_that_cannot_be(num, message):
  with pytest.raises(InputError, match=rf'config\.data\.num_labels.*{message}'):
    mask_of(num)


def dataset(image=None, label=None, size=(5, 6)):
  image = np.ones((4, *size, 1), np.uint8) if image is None else image
  label = np.arange(4) % 3 if label is None else label
  examples = Examples(image, label)
  return Dataset('some', examples, examples, examples, 3, size)


@pytest.mark.parametrize(
  ('image', 'label', 'message'),
  [
    (np.ones((4, 5, 6, 1), np.float32), None, 'must be uint8 in 0..255, not f'),
    (np.ones((4, 5, 6), np.uint8), None, r'must be \[N, H, W, 1 or 3\]'),
    (np.ones((4, 5, 6, 2), np.uint8), None, r'must be \[N, H, W, 1 or 3\]'),
    (np.ones((0, 5, 6, 1), np.uint8), np.arange(0), 'N, H, W > 0'),
    (np.ones((4, 0, 6, 1), np.uint8), None, r'N, H, W > 0, not \[4, 0, 6, 1'),
    (None, np.array([0.0, 1, 2, 0]), r'labels must be integers \[4\]'),
    (None, np.array([0, 1, 2]), r'labels must be integers \[4\]'),
    (None, np.array([0, 1, 2, 3]), r'lie in 0\.\.2, but range over 0\.\.3'),
    (None, np.array([0, 1, 2, -1]), r'but range over -1\.\.2'),
  ],
)
def test_bad_arrays_are_refused_in_words(image, label, message):
  with pytest.raises(InputError, match=rf'some train.*{message}'):
    prepare(dataset(image, label), None)


def test_padding_is_zero_all_around_and_can_be_undone():
  padded = prepare(dataset(), 8).train.image
  assert padded.shape == (4, 8, 8, 1)
  assert padded.sum() == 4 * 5 * 6
  assert_array_equal(padded[:, 1:6, 1:7], 1)
  assert_array_equal(crop_to_native(padded, (5, 6)), dataset().train.image)
  assert prepare(dataset(), None).train.image.shape == (4, 5, 6, 1)


def test_images_are_never_shrunk():
  with pytest.raises(InputError, match=r'image_size = 5 is smaller than'):
    prepare(dataset(), 5)


def numbered():
  """Returns images of their row's number, 12 of four classes in each part."""

  def examples(start):
    image = np.arange(start, start + 12, dtype=np.uint8).reshape(12, 1, 1, 1)
    return Examples(image, (np.arange(12) % 4).astype(np.int32))

  return Dataset('some', examples(0), examples(50), examples(100), 4, (1, 1))


def test_some_classes_are_numbered_anew():
  whole, kept = numbered(), select(numbered(), (3, 1), None)
  assert kept.num_classes == 2
  for part in ('train', 'validation', 'test'):
    before, after = getattr(whole, part), getattr(kept, part)
    rows = np.isin(before.label, (1, 3))
    assert_array_equal(after.image, before.image[rows])
    assert_array_equal(after.label, np.where(before.label[rows] == 3, 0, 1))
    assert after.label.dtype == np.int32


def test_some_training_images_are_kept_class_by_class():
  whole, kept = numbered(), select(numbered(), None, 8)
  assert_array_equal(np.bincount(kept.train.label), [2, 2, 2, 2])
  assert_array_equal(kept.train.image, select(numbered(), None, 8).train.image)
  for part in ('validation', 'test'):
    assert_array_equal(getattr(kept, part).image, getattr(whole, part).image)
  one = select(numbered(), (2,), 2)
  assert (len(one.train.label), one.num_classes) == (2, 1)


@pytest.mark.parametrize(
  ('classes', 'num_train', 'message'),
  [
    ((4,), None, r'classes = \(4,\), but the classes of some are 0\.\.3'),
    ((1, 1), None, 'names a class twice'),
    (None, 7, r'data\.num_train: 7 examples cannot be balanced over 4'),
    (None, 16, r'data\.num_train: class 0 has 3 examples, fewer than the 4'),
    ((2,), 4, r'data\.num_train: class 0 has 3 examples'),
  ],
)
def test_selections_that_cannot_be(classes, num_train, message):
  with pytest.raises(InputError, match=message):
    select(numbered(), classes, num_train)


def test_a_class_that_validation_lacks():
  whole = numbered()
  few = Examples(*(x[:2] for x in whole.validation))
  with pytest.raises(InputError, match=r'raise config\.data\.num_validation'):
    select(whole._replace(validation=few), (3,), None)
