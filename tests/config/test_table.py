import math

import pytest
from ml_collections import ConfigDict

from gan_jax import config as cfg
from gan_jax.config import table
from gan_jax.core.errors import InputError
from gan_jax.runs.program import build
from gan_jax.systems import (
  SYSTEMS,
  base,
  check,
  complete,
  options,
  override,
  sized,
)

NETS = cfg.Variants(
  'mlp',
  {
    'mlp': {'hidden': cfg.key(8, cfg.integer(1), 'units')},
    'conv': {
      'width': cfg.key(4, cfg.integer(1), 'channels'),
      'norm': cfg.key('none', cfg.one_of('batch', 'none'), 'of layers'),
    },
    'deep': {'hidden': cfg.key(16, cfg.integer(1), 'units')},
  },
  'the network',
)
ROWS = {
  'system': cfg.key('s', cfg.string, 'name'),
  'rate': cfg.key(0.1, cfg.real(0.0), 'of learning'),
  'steps': cfg.key(None, cfg.optional(cfg.integer(1)), 'length'),
  'grid': cfg.key((1, 2), cfg.integers(1, length=2), 'rows, columns'),
  'net': NETS,
}


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'seed': -1}, r'config\.seed must be an integer 0\.\.4294967295, not -1'),
    ({'seed': True}, r'config\.seed must be an integer'),
    ({'parallel': 'tpu'}, r'one of: auto, jit, pmap, shard_map, not .tpu.'),
    ({'data.batch_size': 0}, r'config\.data\.batch_size must be an integer >'),
    ({'data.num_labels': 0}, r'must be None or an integer >= 1, not 0'),
    ({'data.data_dir': 3}, r'must be None or a non-empty string'),
    ({'log.tensorboard': 1}, r'must be True or False, not 1'),
    ({'loss.label_smoothing': 0.5}, r'finite number in \[0\.0, 0\.5\)'),
    ({'optimizer.generator.learning_rate': -1e-9}, r'finite number >= 0\.0'),
    ({'optimizer.generator.learning_rate': math.nan}, r'not nan'),
    ({'optimizer.generator.learning_rate': math.inf}, r'not inf'),
    ({'optimizer.generator.b1': 1.0}, r'\[0\.0, 1\.0\), not 1\.0'),
    ({'model.discriminator.strides': (1, 2)}, r'a tuple of 3 integers 1\.\.2'),
    ({'model.discriminator.strides': (1, 2, 3)}, r'a tuple of 3 integers'),
    ({'log.grid': (4,)}, r'config\.log\.grid must be a tuple of 2 integers'),
    ({'train.num_epochs': 3}, r'set one of'),
    ({'train.num_steps': None}, r'set one of'),
    ({'optimizer.generator.name': 'lion'}, r'\.name must be one of: adam, sgd'),
    ({'optimizer.generator.name': None}, r'one of: adam, sgd, not None'),
    ({'data.bach_size': 3}, r'data\.bach_size; did you mean .*\.batch_size'),
    (
      {'optimizer.generator.schedule.length': 3},
      r'length is a key of .*\.schedule\.name=linear or cosine, not of con',
    ),
  ],
)
def test_bad_values_are_named(smoke_config, changes, message):
  config = ConfigDict(smoke_config.to_dict())
  check(config)
  with config.ignore_type():
    config.update_from_flattened_dict(changes)
    for key, value in changes.items():
      group, _, name = key.rpartition('.')
      if value is not None and name == 'bach_size':
        config[group][name] = value
      if name == 'length':
        config.optimizer.generator.schedule[name] = value
  with pytest.raises(InputError, match=message):
    check(config)


@pytest.mark.parametrize('name', [None, 3, '', 'dcgan', ['gan']])
def test_unknown_systems(name):
  for do in (check, complete):
    with pytest.raises(InputError, match=r'unknown system .*; choose one of'):
      do(ConfigDict({'system': name}))


@pytest.mark.parametrize(
  ('check', 'value'),
  [
    (cfg.real(0.0), True),
    (cfg.real(0.0), '1.0'),
    (cfg.integer(1), 2.0),
    (cfg.integers(1, 2, length=3), [1, 2, 1]),
    (cfg.integers(1, 2, length=3), (1, True, 1)),
    (cfg.optional(cfg.boolean), 0),
  ],
)
def test_values_of_another_type_are_not_accepted(check, value):
  assert check(value)


def test_integers_of_any_length():
  check = cfg.integers(low=1)
  assert check((1,)) is None
  assert check((7, 1, 2**40)) is None
  for bad in ((), (1, 0), [1], 1, (1, 2.0), None):
    assert check(bad) == 'a tuple of integers >= 1'


def test_what_is_not_stated_has_its_default():
  whole = table.complete(ROWS, {'rate': 2, 'grid': [3, 4]})
  assert whole == {
    'system': 's', 'rate': 2.0, 'steps': None, 'grid': (3, 4),
    'net.name': 'mlp', 'net.hidden': 8,
  }  # fmt: skip
  assert type(whole['rate']) is float
  table.check(ROWS, whole)
  assert table.complete(ROWS, whole) == whole


@pytest.mark.parametrize('value', [True, '2', None, math.nan])
def test_bad_values_are_not_converted(value):
  whole = table.complete(ROWS, {'rate': value})
  assert whole['rate'] is value
  with pytest.raises(InputError, match=r'config\.rate must be'):
    table.check(ROWS, whole)


def test_a_name_decides_which_keys_its_group_has():
  # Another variant's key is dropped at its default, and refused otherwise.
  assert table.complete(ROWS, {'net.name': 'conv', 'net.hidden': 8}) == (
    table.complete(ROWS, {'net.name': 'conv'})
  )
  with pytest.raises(InputError, match=r'net\.hidden is a key of .*mlp or dee'):
    table.complete(ROWS, {'net.name': 'conv', 'net.hidden': 9})
  with pytest.raises(InputError, match=r'unknown config key config\.net\.x'):
    table.complete(ROWS, {'net.x': 1})
  with pytest.raises(InputError, match=r'net\.name must be one of: mlp, conv'):
    table.complete(ROWS, {'net.name': 'cnn'})


def test_each_key_of_a_config_is_needed():
  whole = table.complete(ROWS, {'net.name': 'conv'})
  for key in whole.keys() - {'net.name'}:  # without it, the default variant
    less = {k: v for k, v in whole.items() if k != key}
    with pytest.raises(InputError, match=f'config.{key} is missing'):
      table.check(ROWS, less)


def test_names_are_set_before_keys():
  old = table.complete(ROWS, {'net.hidden': 9, 'rate': 0.5})
  new, notes = table.override(ROWS, old, {'net.width': 5, 'net.name': 'conv'})
  assert new == table.complete(
    ROWS, {'rate': 0.5, 'net.name': 'conv', 'net.width': 5}
  )
  assert notes == [
    'config.net.hidden = 9 is dropped: config.net.name=conv has no such key'
  ]
  # A key that both variants have keeps its value.
  kept, notes = table.override(ROWS, old, {'net.name': 'deep'})
  assert (kept['net.hidden'], notes) == (9, [])
  for name, keys in (
    ('conv', {'width': 4, 'norm': 'none'}),
    ('deep', {'hidden': 16}),
  ):
    new, notes = table.override(
      ROWS, table.complete(ROWS, {}), {'net.name': name}
    )
    assert notes == []  # none about defaults
    group = {k[4:]: v for k, v in new.items() if k.startswith('net.')}
    assert group == {'name': name, **keys}
  with pytest.raises(InputError, match=r'net\.hidden is a key of .*, not of c'):
    table.override(ROWS, old, {'net.name': 'conv', 'net.hidden': 3})
  with pytest.raises(InputError, match=r'key config\.rat; did .* config\.rate'):
    table.override(ROWS, old, {'rat': 3})


@pytest.mark.parametrize(
  ('key', 'text', 'value'),
  [
    ('rate', '1', 1.0),
    ('rate', '1e-3', 1e-3),
    ('steps', '3', 3),
    ('steps', 'None', None),
    ('grid', '(3, 4)', (3, 4)),
    ('grid', '[3, 4]', (3, 4)),
    ('system', '3', '3'),
    ('net.width', '7', 7),  # a key of another variant
    ('net.norm', 'batch', 'batch'),
  ],
)
def test_texts_become_values(key, text, value):
  parsed = table.parse(ROWS, key, text)
  assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
  ('key', 'text', 'message'),
  [
    ('rate', 'fast', r"config\.rate must be a finite number .*, not 'fast'"),
    ('rate', '', r"not ''"),
    ('rate', 'True', r'not True'),
    ('rate', '((((', r'config\.rate must be'),
    ('rate', '1' + 400 * '0', r'config\.rate must be a finite number'),
    ('steps', '0', r'None or an integer >= 1, not 0'),
    ('grid', '3,4,5', r'a tuple of 2 integers'),
    ('net.norm', 'layer', r"must be one of: batch, none, not 'layer'"),
    ('nett.norm', 'none', r'unknown .*nett\.norm; did you mean config\.net\.n'),
  ],
)
def test_texts_that_are_no_values(key, text, message):
  with pytest.raises(InputError, match=message):
    table.parse(ROWS, key, text)


def test_booleans_in_any_case():
  rows = {'flag': cfg.key(False, cfg.boolean, 'a switch')}
  for text in ('True', 'true', 'TRUE'):
    assert table.parse(rows, 'flag', text) is True
  assert table.parse(rows, 'flag', 'false') is False
  with pytest.raises(InputError, match='True or False, not 1'):
    table.parse(rows, 'flag', '1')


def test_a_length_takes_the_place_of_the_other(smoke_config):
  longer, _ = override(smoke_config, {'train.num_epochs': 3})
  assert (longer.train.num_epochs, longer.train.num_steps) == (3, None)
  check(longer)
  both = {'train.num_epochs': 3, 'train.num_steps': 5}
  with pytest.raises(InputError, match='set one of'):
    check(override(smoke_config, both)[0])


def test_a_folder_takes_the_place_of_made_up_images():
  smoke = sized(base('ssgan'), 'smoke')
  there, _ = override(smoke, {'data.data_dir': 'there'})
  assert (smoke.data.made_up, there.data.made_up) == (True, False)
  both = {'data.data_dir': 'there', 'data.made_up': True}
  assert override(smoke, both)[0].data.made_up
  assert override(smoke, {'data.data_dir': None})[0].data.made_up


def test_a_system_has_keys_of_its_own(smoke_config):
  with pytest.raises(InputError, match='system is ssgan and cannot become gan'):
    override(smoke_config, {'system': 'gan'})
  assert override(smoke_config, {'system': 'ssgan'})[1] == []


@pytest.mark.parametrize('name', sorted({*SYSTEMS} - {'toy'}))
def test_the_defaults_of_a_system_fit_together(name):
  config = base(name)
  config.train.num_steps, config.parallel = 1, 'jit'
  config.data.made_up, config.data.num_validation = True, 10
  assert build(config).plan.num_steps == 1


def test_a_loss_is_changed_by_its_name_alone(smoke_config):
  config = sized(ConfigDict({'system': 'gan', 'train': {'num_steps': 1}}))
  config.loss.adversarial.label_smoothing = 0.1
  hinge, notes = override(config, {'loss.adversarial.name': 'hinge'})
  check(hinge)
  assert 'label_smoothing' not in hinge.loss.adversarial
  assert len(notes) == 1
  assert 'label_smoothing = 0.1 is dropped' in notes[0]


def test_every_row_says_what_it_is():
  for name in SYSTEMS:
    for key, _, row in table.all_rows(options(name)):
      assert 0 < len(row.meaning) < 320, key
      assert row.check(row.default) is None, key
      assert row.check(row.was) is None, key


NESTED = {
  'g': cfg.Variants(
    'plain',
    {
      'plain': {},
      'fancy': {
        'x': cfg.key(1, cfg.integer(0), 'a number'),
        'inner': cfg.Variants(
          'off',
          {'off': {}, 'on': {'y': cfg.key(2, cfg.integer(0), 'a number')}},
          'a choice in a choice',
        ),
      },
    },
    'a choice',
  )
}  # fmt: skip


def test_a_group_in_a_group():
  whole = {'g.name': 'fancy', 'g.x': 1, 'g.inner.name': 'on', 'g.inner.y': 2}
  stated = {'g.name': 'fancy', 'g.inner.name': 'on'}
  assert table.complete(NESTED, stated) == whole
  assert table.complete(NESTED, {}) == {'g.name': 'plain'}
  keys = [(key, of) for key, of, _ in table.all_rows(NESTED)]
  assert keys == [
    ('g.name', None),
    ('g.x', 'fancy'),
    ('g.inner.name', 'fancy'),
    ('g.inner.y', 'on'),
  ]


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    (
      {'g.inner.y': 3},
      r'g\.inner\.y is a key of .*g\.name=fancy, not of plain',
    ),
    (
      {'g.name': 'fancy', 'g.inner.y': 3},
      r'g\.inner\.y is a key of config\.g\.inner\.name=on, not of off',
    ),
    (
      {'g.name': 'fancy', 'g.inner.z': 3},
      r'unknown config key config\.g\.inner',
    ),
  ],
)
def test_keys_that_a_choice_in_a_choice_lacks(values, message):
  with pytest.raises(InputError, match=message):
    table.complete(NESTED, values)


def test_what_an_outer_name_drops():
  whole = table.complete(
    NESTED, {'g.name': 'fancy', 'g.inner.name': 'on', 'g.inner.y': 5}
  )
  new, notes = table.override(NESTED, whole, {'g.name': 'plain'})
  assert new == {'g.name': 'plain'}
  assert [note.partition(' is dropped')[0] for note in notes] == [
    "config.g.inner.name = 'on'",
    'config.g.inner.y = 5',
  ]
  assert all('config.g.name=plain has no such key' in note for note in notes)
