import json
from typing import NamedTuple

import numpy as np
import pytest

from gan_jax.data.dataset import Dataset, Examples
from gan_jax.data.domain_sets import DomainDataset, Domains
from gan_jax.data.spec import (
  DataSpec,
  DomainSpec,
  are_split_sizes,
  read_spec,
  split_sizes,
)

LABELLED = DataSpec((32, 32, 1), (28, 28), 10, 600)
ALIGNED = DomainSpec((16, 16, 1), (16, 16, 3), True, 4)


@pytest.mark.parametrize('spec', [LABELLED, ALIGNED])
def test_a_spec_comes_back_from_json(spec):
  values = json.loads(json.dumps(spec._asdict()))
  assert read_spec(type(spec), values) == spec


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('a_shape', 'abc'),
    ('a_shape', [16, 16]),
    ('b_shape', [16, 16, 10**12]),
    ('b_shape', [16, 16, 0]),
    ('b_shape', [16, 16, True]),
    ('b_shape', [16, 16, 3.0]),
    ('b_shape', 16),
    ('aligned', 1),
    ('steps_per_epoch', -1),
    ('steps_per_epoch', [4]),
    ('steps_per_epoch', None),
    ('more', 1),
  ],
)
def test_what_no_spec_holds_is_none(key, value):
  assert read_spec(DomainSpec, ALIGNED._asdict() | {key: value}) is None


def test_the_spec_of_other_data_is_none():
  assert read_spec(DataSpec, ALIGNED._asdict()) is None


class Opened(NamedTuple):
  dataset: Dataset | DomainDataset


@pytest.mark.parametrize('domains', [False, True])
def test_sizes_of_splits_come_back_from_json(domains):
  image, label = np.zeros((5, 2, 2, 1), np.uint8), np.zeros(5, np.int32)
  kind = Domains if domains else Examples
  splits = [
    kind(image[:n], image[:2] if domains else label[:n]) for n in (5, 3, 0)
  ]
  last = [True] if domains else [1, (2, 2)]
  dataset = (DomainDataset if domains else Dataset)('name', *splits, *last)
  sizes = split_sizes(Opened(dataset))
  numbers = [[5, 2], [3, 2], [0, 2]] if domains else [[5], [3], [0]]
  assert sizes == dict(
    zip(('train', 'validation', 'test'), numbers, strict=True)
  )
  assert are_split_sizes(json.loads(json.dumps(sizes)))


@pytest.mark.parametrize(
  'change', [{'train': 5}, {'train': ['5']}, {'train': [True]}, {'other': [5]}]
)
def test_what_are_no_sizes_of_splits(change):
  sizes = {'train': [5], 'validation': [3], 'test': [0]}
  assert are_split_sizes(sizes)
  assert not are_split_sizes(sizes | change)
  assert not are_split_sizes([sizes])
  del sizes['test']
  assert not are_split_sizes(sizes)
