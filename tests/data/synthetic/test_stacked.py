"""Stacked digits."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.data.batches import Sampler
from gan_jax.data.dataset import Dataset, Examples
from gan_jax.data.labelled import LabelledData
from gan_jax.data.spec import Stream
from gan_jax.data.synthetic.stacked import stack
from gan_jax.systems import base

NUM = 12


def examples(first, num):
  """Images whose only pixel is their number; the label is its last digit."""
  number = np.arange(first, first + num)
  image = number.astype(np.uint8).reshape(num, 1, 1, 1)
  return Examples(image, (number % 10).astype(np.int32))


@pytest.fixture
def stacked():
  parts = examples(0, NUM), examples(50, 5), examples(100, 4)
  return stack(Dataset('numbers', *parts, 10, (1, 1)))


def label_of(image):
  return image.reshape(-1, 3) % 10 @ [100, 10, 1]


def test_each_image_is_once_in_each_channel(stacked):
  assert stacked.name == 'stacked_numbers'
  assert stacked.num_classes == 1000
  for (image, label), first in zip(stacked[1:4], (0, 50, 100), strict=True):
    assert image.shape[1:] == (1, 1, 3)
    channels = np.sort(image.reshape(-1, 3), axis=0)
    for channel in channels.T:
      assert_array_equal(channel, first + np.arange(len(label)))
    assert_array_equal(label, label_of(image))
    assert (image[..., 0] != image[..., 1]).any()
    assert (image[..., 1] != image[..., 2]).any()


def sampler(stacked, part=(0, 1)):
  mask = np.ones(NUM, bool)
  streams = {'train': Stream('all', 6), 'more': Stream('all', 4)}
  return Sampler(stacked.train, mask, streams, 7, part, num_stacked=10)


def test_each_pass_stacks_anew_and_sees_each_image_once_per_channel(stacked):
  batches = [sampler(stacked)(step)['train'] for step in range(4)]
  passes = [
    np.concatenate([batch['image'] for batch in batches[i : i + 2]])
    for i in (0, 2)
  ]
  for images in passes:
    for channel in np.sort(images.reshape(-1, 3), axis=0).T:
      assert_array_equal(channel, np.arange(NUM))
  triples = [{*map(tuple, images.reshape(-1, 3).tolist())} for images in passes]
  of_set = {*map(tuple, stacked.train.image.reshape(-1, 3).tolist())}
  assert len(triples[0] & triples[1]) < NUM / 2
  assert len(triples[0] & of_set) < NUM / 2
  for i, j in ((0, 1), (0, 2), (1, 2)):  # each channel has its own order
    assert (passes[0][..., i] != passes[0][..., j]).any()
  for batch in batches:
    assert_array_equal(batch['label'], label_of(batch['image']))
    assert_array_equal(batch['label_mask'], 1.0)


def test_parts_of_a_batch_are_the_whole(stacked):
  whole = sampler(stacked)(3)
  assert whole.keys() == {'train', 'more'}
  parts = [sampler(stacked, (i, 2))(3) for i in range(2)]
  for name, rows in whole.items():
    for key, column in rows.items():
      halves = np.concatenate([part[name][key] for part in parts])
      assert_array_equal(halves, column)


def test_a_config_stacks_and_pads_what_it_has_selected():
  config = base('gan').data
  config.update({
    'name': 'stacked_digits', 'classes': (3, 5, 8), 'num_validation': 30,
    'image_size': 12,
  })  # fmt: skip
  data = LabelledData(config)
  assert data.spec.image_shape == (12, 12, 3)
  assert data.spec.num_classes == 27
  batch = data.sampler({'train': Stream('all', 10)}, 0)(5)['train']
  assert batch['image'].shape == (10, 12, 12, 3)
  assert batch['label'].max() < 27
  config.num_labels = 27
  with pytest.raises(InputError, match='each pass over stacked_digits has new'):
    LabelledData(config)


def test_colour_images_cannot_be_stacked(stacked):
  with pytest.raises(InputError, match='colour images, which cannot be'):
    stack(stacked)
