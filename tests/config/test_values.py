import pytest
from ml_collections import ConfigDict, config_dict

from gan_jax import config as cfg
from gan_jax.core.errors import InputError
from gan_jax.systems import base

CONFIG = """from gan_jax.systems import base

def get_config(arg):
  config = base('gan')
  """


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    (None, 'no config file'),
    ('x = 1', r'defines no get_config'),
    ('def get_config(arg', 'SyntaxError in the config file'),
    ('def get_config(arg): return 1 / 0', 'ZeroDivisionError'),
    ('def get_config(arg): raise ValueError("no " + arg)', 'no such'),
    ('def get_config(arg): return {}["k"]', 'KeyError in the config file'),
    ('def get_config(arg): return {}', 'what sized.* returns, an .*, not dict'),
    ('\n\ndef get_config(arg):\n  return {}[3]', 'KeyError .*, line 4: 3'),
    (CONFIG + 'config.los.x = 3\n  return config', r'line 5: .los.\n?.*loss'),
    (CONFIG + 'return config', r"ignores its argument 'such'; end it with"),
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


def test_a_config_keeps_the_types_of_its_table():
  config = base('gan')
  config.train.num_steps = 3
  config.train.num_steps = None
  config.optimizer.generator.learning_rate = 1
  assert type(config.optimizer.generator.learning_rate) is float
  with pytest.raises(TypeError):
    config.data.batch_size = 'many'
  with pytest.raises(TypeError):
    config.train.num_epochs = 'many'


def test_differences_name_what_is_not_free():
  old = ConfigDict(
    {
      'seed': 1,
      'parallel': 'jit',
      'train': {'num_steps': 3, 'steps_per_dispatch': 1},
      'data': {'data_dir': config_dict.placeholder(str), 'memory_gb': 1.0},
    }
  )
  free = {'parallel', 'train.num_steps', 'data.data_dir', 'data.memory_gb'}
  new = old.copy_and_resolve_references()
  new.parallel, new.train.num_steps = 'pmap', 9
  with new.unlocked(), new.ignore_type():
    new.data.data_dir, new.data.memory_gb = 'there', 0.0
  assert cfg.differences(old, new, free) == []
  assert len(cfg.differences(old, new)) == 4
  new.seed, new.train.steps_per_dispatch = 2, 4
  del new.data['data_dir']
  new.extra = 'e'
  assert cfg.differences(old, new, free) == [
    "config.extra: '(absent)' -> 'e'",
    'config.seed: 1 -> 2',
    'config.train.steps_per_dispatch: 1 -> 4',
  ]


def test_this_project_s_configs_are_found_from_any_folder(
  tmp_path, monkeypatch
):
  """Those of the current folder come first."""
  monkeypatch.chdir(tmp_path)
  assert cfg.load_config('configs/mnist_gan.py:smoke').system == 'gan'
  with pytest.raises(InputError, match=f"'configs/a.py' in {tmp_path}"):
    cfg.load_config('configs/a.py')
  (tmp_path / 'configs').mkdir()
  text = (
    'from gan_jax.systems import base\nget_config = lambda _: base("ssgan")'
  )
  (tmp_path / 'configs/mnist_gan.py').write_text(text)
  assert cfg.load_config('configs/mnist_gan.py').system == 'ssgan'
