import pytest
from ml_collections import ConfigDict, config_dict

from gan_jax import config as cfg
from gan_jax.core.errors import InputError
from gan_jax.systems import ssgan

SCHEMAS = ({'data': ssgan.DATA.SCHEMA}, ssgan.SCHEMA)


def test_the_good_one_passes(smoke_config):
  cfg.check_config(smoke_config, *SCHEMAS)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'seed': -1}, r'config\.seed must be an integer 0\.\.4294967295, not -1'),
    ({'seed': True}, r'config\.seed must be an integer'),
    ({'system': ''}, r'config\.system must be a non-empty string'),
    ({'parallel': 'tpu'}, r'one of: auto, jit, pmap, shard_map, not .tpu.'),
    ({'data.batch_size': 0}, r'config\.data\.batch_size must be an integer >'),
    ({'data.num_labels': 0}, r'must be None or an integer >= 1, not 0'),
    ({'data.data_dir': 3}, r'must be None or a non-empty string'),
    ({'log.tensorboard': 1}, r'must be True or False, not 1'),
    ({'loss.label_smoothing': 0.5}, r'finite number in \[0\.0, 0\.5\)'),
    ({'optimizer.generator.learning_rate': -1e-9}, r'finite number in'),
    ({'optimizer.generator.learning_rate': float('nan')}, r'not nan'),
    ({'optimizer.generator.learning_rate': float('inf')}, r'not inf'),
    ({'optimizer.generator.b1': 1.0}, r'\[0\.0, 1\.0\), not 1\.0'),
    ({'model.discriminator.strides': (1, 2)}, r'a tuple of 3 integers 1\.\.2'),
    (
      {'model.discriminator.strides': (1, 2, 3)},
      r'a tuple of 3 integers',
    ),
    ({'log.grid': (4,)}, r'config\.log\.grid must be a tuple of 2 integers'),
    ({'train.num_epochs': 3}, r'set one of'),
    ({'train.num_steps': None}, r'set one of'),
  ],
)
def test_bad_values_are_named(smoke_config, changes, message):
  config = ConfigDict(smoke_config.to_dict())
  with config.ignore_type():
    config.update_from_flattened_dict(changes)
  with pytest.raises(InputError, match=message):
    cfg.check_config(config, *SCHEMAS)


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
def test_values_of_another_type_are_not_converted(check, value):
  """A ConfigDict converts some when they are set, but none when it is made."""
  assert check(value)


def test_integers_of_any_length():
  check = cfg.integers(low=1)
  assert check((1,)) is None
  assert check((7, 1, 2**40)) is None
  for bad in ((), (1, 0), [1], 1, (1, 2.0), None):
    assert check(bad) == 'a tuple of integers >= 1'


VARIANTS = {
  'net': cfg.Variants(
    mlp={'hidden': cfg.integer(1)},
    conv={'width': cfg.integer(1), 'norm': cfg.one_of('batch', 'none')},
  )
}


def check_variants(smoke_config, model):
  """Checks `model` against a system that has `VARIANTS` there, only."""
  common = {key: smoke_config.to_dict()[key] for key in cfg.COMMON_SCHEMA}
  config = ConfigDict(common | {'model': model})
  cfg.check_config(config, SCHEMAS[0], {'model': VARIANTS})


@pytest.mark.parametrize(
  'net',
  [
    {'name': 'mlp', 'hidden': 3},
    {'name': 'conv', 'width': 3, 'norm': 'none'},
  ],
)
def test_a_name_decides_which_keys_its_group_has(smoke_config, net):
  check_variants(smoke_config, {'net': net})
  for key in net:
    less = {k: v for k, v in net.items() if k != key}
    with pytest.raises(InputError, match=rf'config\.model\.net\.{key} '):
      check_variants(smoke_config, {'net': less})


@pytest.mark.parametrize(
  ('net', 'message'),
  [
    (
      {'name': 'cnn', 'width': 3},
      r"\.name must be one of: mlp, conv, not 'cnn'",
    ),
    ({'hidden': 3}, r'config\.model\.net\.name must be one of: .*, not None'),
    ({'name': 'mlp', 'hidden': 3, 'norm': 'none'}, r'unknown .*\.net\.norm'),
    (
      {'name': 'mlp', 'width': 3},
      r'unknown config key config\.model\.net\.width',
    ),
    ({'name': 'mlp', 'hidden': 0}, r'net\.hidden must be an integer >= 1'),
    (None, r'net\.name must be one of: mlp, conv, not None'),
    ('mlp', r'net\.name must be one of: mlp, conv, not None'),
  ],
)
def test_bad_groups_with_a_name(smoke_config, net, message):
  with pytest.raises(InputError, match=message):
    check_variants(smoke_config, {'net': net})


def test_an_unknown_key_suggests_the_near_one(smoke_config):
  config = ConfigDict(smoke_config.to_dict())
  config.data.bach_size = 3
  with pytest.raises(
    InputError, match=r'data\.bach_size; did you mean config\.data\.batch_size'
  ):
    cfg.check_config(config, *SCHEMAS)


def test_a_missing_key_is_named(smoke_config):
  config = ConfigDict(smoke_config.to_dict())
  del config.loss['play']
  with pytest.raises(InputError, match=r'config\.loss\.play is missing'):
    cfg.check_config(config, *SCHEMAS)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    (None, 'no config file'),
    ('x = 1', r'defines no get_config'),
    ('def get_config(arg', 'SyntaxError in the config file'),
    ('def get_config(arg): return 1 / 0', 'ZeroDivisionError'),
    ('def get_config(arg): raise ValueError("no " + arg)', 'no such'),
    ('def get_config(arg): return {}["k"]', 'KeyError in the config file'),
    ('def get_config(arg): return {}', 'must return an ml_collections config'),
  ],
)
def test_config_files_that_cannot_be_used(tmp_path, text, message):
  path = tmp_path / 'config.py'
  if text is not None:
    path.write_text(text)
  with pytest.raises(InputError, match=message) as error:
    cfg.load_config(f'{path}:such')
  assert str(path) in str(error.value)


def test_json_gives_back_the_same_config(smoke_config):
  smoke_config.data.data_dir = None
  again = cfg.from_json(cfg.to_json(smoke_config))
  assert dict(cfg.flatten(again)) == dict(cfg.flatten(smoke_config))
  assert cfg.to_json(again) == cfg.to_json(smoke_config)
  assert isinstance(again.model.discriminator.strides, tuple)


def test_differences_name_what_is_not_free():
  old = ConfigDict(
    {
      'seed': 1,
      'parallel': 'jit',
      'train': {'num_steps': 3, 'steps_per_dispatch': 1},
      'data': {'data_dir': config_dict.placeholder(str), 'memory_gb': 1.0},
      'log': {'tensorboard': True},
    }
  )
  new = old.copy_and_resolve_references()
  new.parallel, new.train.num_steps, new.log.tensorboard = 'pmap', 9, False
  with new.unlocked(), new.ignore_type():
    new.data.data_dir, new.data.memory_gb = 'there', 0.0
  assert cfg.differences(old, new) == []
  new.seed, new.train.steps_per_dispatch = 2, 4
  del new.data['data_dir']
  new.extra = 'e'
  assert cfg.differences(old, new) == [
    "config.extra: '(absent)' -> 'e'",
    'config.seed: 1 -> 2',
    'config.train.steps_per_dispatch: 1 -> 4',
  ]
