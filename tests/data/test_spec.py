import json

import pytest

from gan_jax.data.spec import DataSpec, DomainSpec, read_spec

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
