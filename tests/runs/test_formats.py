"""Migration of files of older and newer versions, as plain dicts."""

import ast
import json
import pathlib
import types

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict
from numpy.testing import assert_array_equal

import gan_jax
from gan_jax.config import flatten, integer, key
from gan_jax.config.table import all_rows, resolve
from gan_jax.core.errors import InputError
from gan_jax.runs import formats, restore
from gan_jax.runs.configs import load_config
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.fingerprint import fingerprints
from gan_jax.runs.stored_state import OtherStructure
from gan_jax.systems import SYSTEMS, base, check, options
from gan_jax.training import loop
from tests import toy
from tests.changes import changed


def stored(config, number=1):
  """Returns the contents of a config.json of a format; 0.1.0 wrote format 1."""
  flat = dict(flatten(config))
  if number < 3:
    for path in [k for k in flat if '_schedule.' in k or '.ema.' in k]:
      value = flat.pop(path)
      if path.endswith(('.ema.name', '.ema.decay')):
        player = path.partition('.ema.')[0]
        flat.setdefault(f'{player}.ema_decay', 0.0)
        if path.endswith('.ema.decay'):
          flat[f'{player}.ema_decay'] = value
    for player in ('generator', 'discriminator'):
      schedule = f'optimizer.{player}.schedule'
      unit = flat.pop(f'{schedule}.unit', None)
      for old, new in (('constant_epochs', 'hold'), ('decay_epochs', 'length')):
        if f'{schedule}.{new}' in flat:
          flat[f'{schedule}.{old}'] = flat.pop(f'{schedule}.{new}')
      if f'{schedule}.every' in flat:
        every = flat.pop(f'{schedule}.every')
        flat[f'{schedule}.decay_every_steps'] = (
          None if unit == 'epochs' else every
        )
  rows = resolve(options(config.system), dict(flatten(config)))
  flat = {
    k: v for k, v in flat.items() if k not in rows or rows[k].since <= number
  }
  values = json.loads(json.dumps(nested(flat))) | {'format': number}
  if number == 1:
    del values['format']
    if 'adversarial' in values.get('loss', {}):
      values['loss']['adversarial'].setdefault('label_smoothing', 0.0)
    for player in values['optimizer'].values():
      for name, value in (
        ('b1', 0.5),
        ('b2', 0.9),
        ('eps', 0),
        ('eps_root', 0),
      ):
        player.setdefault(name, value)
  return values


def nested(flat):
  """Nests flat values as in a config.json."""
  whole = {}
  for path, value in flat.items():
    *groups, name = path.split('.')
    group = whole
    for part in groups:
      group = group.setdefault(part, {})
    group[name] = value
  return whole


def as_before(config, number):
  """Returns its values, with later keys at their `was`."""
  flat = dict(flatten(config))
  rows = resolve(options(config.system), flat)
  return {k: rows[k].was if rows[k].since > number else flat[k] for k in rows}


def gan(**changes):
  config = base('gan')
  config.train.num_epochs = 4
  return changed(config, changes)


def migrated(values, steps_per_epoch=None):
  config = formats.read_config(values, 'config.json', '0.1.0', steps_per_epoch)
  check(config)
  return config


@pytest.mark.parametrize('name', sorted(SYSTEMS))
@pytest.mark.parametrize('number', [1, 2, 3])
def test_a_config_comes_back(name, number):
  config = base(name)
  config.train.num_steps = 3
  found = dict(flatten(migrated(stored(config, number))))
  assert found == as_before(config, number)


@pytest.mark.parametrize(
  'changes',
  [
    {'loss.adversarial.name': 'hinge'},
    {
      'loss.adversarial.name': 'minimax',
      'loss.adversarial.label_smoothing': 0.1,
    },
    {'optimizer.generator.name': 'sgd'},
    {'optimizer.discriminator.schedule.name': 'linear'},
  ],
)
def test_keys_that_a_variant_does_not_have_any_more(changes):
  config = gan(**changes)
  found = dict(flatten(migrated(stored(config))))
  assert found == as_before(config, 1)


def test_an_epoch_was_a_batch_a_step():
  """A run keeps its length, whatever the number of images."""
  old = stored(gan(**{'loss.n_critic': 5}))
  exact = migrated(old, steps_per_epoch=860)
  assert (exact.train.num_epochs, exact.train.num_steps) == (20, None)
  assert exact.checkpoint.save_every_steps == 860
  assert exact.log.report_every_steps == 860
  rounded = migrated(old, steps_per_epoch=859)  # 171 a pass of D's: 855
  assert rounded.train.num_epochs is None
  assert rounded.train.num_steps == 4 * 859
  assert rounded.checkpoint.save_every_steps == 859
  alone = migrated(old)  # without its run
  assert alone.train.num_epochs == 20
  assert alone.checkpoint.save_every_steps is None


def test_steps_stay_steps():
  changes = {
    'loss.n_critic': 2,
    'train.num_steps': 7,
    'checkpoint.save_every_steps': 2,
    'optimizer.generator.schedule.name': 'exponential',
  }
  new = migrated(stored(gan(**changes)), steps_per_epoch=3)
  assert (new.train.num_steps, new.train.num_epochs) == (7, None)
  assert new.checkpoint.save_every_steps == 2
  schedule = new.optimizer.generator.schedule
  assert (schedule.every, schedule.unit) == (3, 'steps')


@pytest.mark.parametrize('turns', [0, -1, '5', None, 2.0, [5]])
def test_turns_that_are_none_are_left_to_the_check(turns):
  old = stored(gan())
  old['loss']['n_critic'] = turns
  with pytest.raises(InputError, match=r'config\.loss\.n_critic must be'):
    formats.read_config(old, 'config.json', '0.1.0', 10)
  data = {'spec': {'steps_per_epoch': 10}, 'sha256': {}}
  assert formats.read_data(data, old, 'data.json') == data


def test_a_linear_schedule_of_several_turns():
  changes = {
    'loss.n_critic': 2,
    'optimizer.generator.schedule.name': 'linear',
    'optimizer.generator.schedule.length': 3,
  }
  old = stored(gan(**changes))
  new = migrated(old, steps_per_epoch=10)
  assert new.optimizer.generator.schedule.length == 6
  assert new.optimizer.generator.schedule.hold == 200
  with pytest.raises(InputError, match=r'0\.1\.0 reads it'):
    migrated(old, steps_per_epoch=11)


@pytest.mark.parametrize(
  ('steps', 'turns', 'now'), [(10, 1, 10), (11, 5, 2), (3, 5, 1)]
)
def test_steps_per_epoch_of_old_data(steps, turns, now):
  data = {'spec': {'steps_per_epoch': steps}, 'sha256': {}}
  config = {'loss': {'n_critic': turns}}
  read = formats.read_data(data, config, 'data.json')
  assert read == {'spec': {'steps_per_epoch': now}, 'sha256': {}}
  read = formats.read_data(data | {'format': 2}, config, 'data.json')
  assert read['spec']['steps_per_epoch'] == steps


def test_a_run_of_several_turns(tmp_path):
  """Reads its files as 0.1.0 wrote them, and after it has continued."""
  directory = RunDirectory(tmp_path)
  old = stored(gan(**{'loss.n_critic': 2}))
  directory.config.write_text(json.dumps(old))
  data = {'spec': {'steps_per_epoch': 11}, 'sha256': {}}
  directory.data.write_text(json.dumps(data))
  lines = [{'step': 11, 'epoch': 1.0}, {'step': 11, 'state_sha256': 'x'}]
  directory.metrics.write_text('\n'.join(map(json.dumps, lines)))
  for _ in range(2):
    config = directory.read_config()
    assert (config.train.num_steps, config.log.report_every_steps) == (44, 11)
    assert directory.read_data() == {
      'spec': {'steps_per_epoch': 5},
      'sha256': {},
    }
    assert list(directory.lines()) == [{'step': 11, 'epoch': 2.2}, lines[1]]
    assert directory.config_of({'config': old}) == config
    directory.define(config, directory.read_data())
  now = json.loads(directory.config.read_text())['format']
  assert now == formats.current() >= 2
  assert json.loads(directory.data.read_text()) == data  # as it was checked


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'format': 99}, r'config\.json is of format 99, which gan_jax 7\.0 wrote; '
     rf'this is gan_jax {gan_jax.__version__}, which reads formats 1 to \d'),
    ({'format': '2'}, r"format must be an integer >= 1, not '2'"),
    ({'format': 0}, r'format must be an integer >= 1, not 0'),
    ({'format': True}, r'format must be an integer >= 1, not True'),
    ({'new': 3}, r'unknown config key config\.new.*gan_jax 7\.0 wrote it, in '
     rf'format 2; this is gan_jax {gan_jax.__version__}'),
    ({'system': 'stylegan'}, r"unknown system 'stylegan'.*gan_jax 7\.0 wrote"),
    ({'seed': None}, r'config\.seed is missing.*gan_jax 7\.0 wrote it'),
  ],
)  # fmt: skip
def test_what_cannot_be_read_names_both_versions(change, message):
  values = stored(gan(), 2) | change
  values = {k: v for k, v in values.items() if v is not None}
  with pytest.raises(InputError, match=message):
    formats.read_config(values, 'config.json', '7.0')
  if change.get('format') == 99:
    with pytest.raises(InputError, match=r'data\.json is of format 99'):
      formats.read_data({'format': 99}, {}, 'data.json')


def test_a_key_that_comes_later(monkeypatch, toy_run, tiny_dataset):
  """It needs only a row in a table: old runs keep their meaning."""
  later = formats.current() + 1
  row = key(7, integer(0), 'a trial', since=later, was=0)
  monkeypatch.setitem(toy.OPTIONS, 'model.trial', row)
  assert formats.current() == later
  assert base('toy').model.trial == 7
  directory = RunDirectory(toy_run)
  assert directory.read_config().model.trial == 0
  config = toy.get_config()
  with pytest.raises(InputError, match=r'another config: .*trial: 0 -> 7'):
    directory.check(config, directory.read_data())
  config.model.trial = 0
  directory.check(config, directory.read_data())
  directory.define(config, directory.read_data())
  assert json.loads(directory.config.read_text())['format'] == later
  monkeypatch.delitem(toy.OPTIONS, 'model.trial')
  with pytest.raises(
    InputError, match=rf'of format {later}, which gan_jax 0\.2'
  ):
    directory.read_config()


def with_a_new_leaf(monkeypatch):
  """The toy of a later version, whose state has one more leaf."""

  def make(*args):
    system = toy.make_system(*args)

    def init(key, image):
      state = system.init(key, image)
      g = state.generator
      weights = [
        x._replace(model_state={'trial': {'x': jnp.full(3, 5.0)}})
        for x in (g.weights, g.ema)
      ]
      g = g.replace(model_state=weights[0].model_state, ema=weights[1])
      return state.replace(generator=g, extra={'x': jnp.full(3, 5.0)})

    return system._replace(init=init)

  later = types.SimpleNamespace(**vars(toy))
  later.make_system = make
  monkeypatch.setitem(SYSTEMS, 'toy', later)


@pytest.mark.systems
def test_a_leaf_that_comes_later(monkeypatch, toy_run, tiny_dataset):
  before = restore.load_run(toy_run).state
  with_a_new_leaf(monkeypatch)
  with pytest.raises(OtherStructure, match=r'/x: \(absent\) -> float32'):
    restore.load_run(toy_run)
  leaf = r'generator/(ema/)?model_state/trial/x|extra/x'
  monkeypatch.setitem(formats.ADDED_LEAVES, leaf, formats.current() + 1)
  after = restore.load_run(toy_run).state
  assert_array_equal(after.generator.model_state['trial']['x'], [5, 5, 5])
  assert_array_equal(
    jax.tree.leaves(after.generator.params)[0],
    jax.tree.leaves(before.generator.params)[0],
  )
  same = after.replace(generator=before.generator, extra={})
  assert fingerprints(same) == fingerprints(before)
  assert restore.load_generator(toy_run).state.generator is not None
  # It continues, and its checkpoints have the leaf from then on.
  config = toy.get_config()
  config.train.num_steps = 10
  loop.train(config, toy_run, dataset=tiny_dataset)
  assert (toy_run / 'checkpoints/10/extra').is_dir()
  state = restore.load_run(toy_run, '10').state
  assert_array_equal(state.generator.ema.model_state['trial']['x'], [5, 5, 5])


def test_a_leaf_that_is_lost_is_not_made_anew(monkeypatch, toy_run):
  """A leaf that is older than the checkpoint's format must be there."""
  with_a_new_leaf(monkeypatch)
  monkeypatch.setitem(formats.ADDED_LEAVES, r'.*/x', formats.current())
  with pytest.raises(OtherStructure, match=r'/x: \(absent\) -> float32'):
    restore.load_run(toy_run)


# The keys of each system's configs by format, and their `was`.
KEYS = json.loads(pathlib.Path(__file__).with_name('formats.json').read_text())


def test_a_table_changes_with_its_format_only():
  """A key that is added, is removed or changes its `was` needs a new format.

  formats.json holds the keys of each format, with their `was`. A row whose
  `since` is one higher is allowed: a release adds it there.
  """
  latest = max(map(int, KEYS))
  known = KEYS[str(latest)]
  for name, keys in known.items():
    now = {
      f'{k} ({variant})' if variant else k: repr(row.was)
      for k, variant, row in all_rows(options(name))
      if row.since <= latest
    }
    assert now == keys, name
  assert {*known} == SYSTEMS.keys() - {'toy'}


def test_the_keys_of_format_2():
  """A config with exactly the keys of format 2 is read as today's base."""
  for name, rows in KEYS['2'].items():
    flat = {k: ast.literal_eval(v) for k, v in rows.items() if ' ' not in k}
    for row, value in rows.items():
      path, _, variant = row.partition(' (')
      group = path.rpartition('.')[0]
      if variant and flat.get(f'{group}.name') == variant.rstrip(')'):
        flat[path] = ast.literal_eval(value)
    data = base(name).data.name  # whose default is the system's own
    values = nested(flat | {'system': name, 'data.name': data})
    values |= {'format': 2}
    now = dict(flatten(formats.read_config(values, 'config.json')))
    assert now == as_before(base(name), 2), name


@pytest.mark.parametrize(
  ('number', 'old', 'new'),
  [
    (2, {'ema_decay': 0.9}, {'ema.name': 'debiased', 'ema.decay': 0.9}),
    (2, {'ema_decay': 0.0}, {'ema.name': 'none'}),
    (
      1,
      {
        'schedule.name': 'linear',
        'schedule.constant_epochs': 3,
        'schedule.decay_epochs': 4,
      },
      {
        'schedule.name': 'linear',
        'schedule.unit': 'epochs',
        'schedule.warmup': 0,
        'schedule.hold': 3,
        'schedule.length': 4,
        'schedule.final': 0.0,
      },
    ),
    (
      2,
      {
        'schedule.name': 'exponential',
        'schedule.decay_rate': 0.5,
        'schedule.decay_every_steps': None,
      },
      {
        'schedule.name': 'exponential',
        'schedule.unit': 'epochs',
        'schedule.warmup': 0,
        'schedule.every': 1,
        'schedule.decay_rate': 0.5,
      },
    ),
    (
      2,
      {
        'schedule.name': 'exponential',
        'schedule.decay_rate': 0.5,
        'schedule.decay_every_steps': 7,
      },
      {
        'schedule.name': 'exponential',
        'schedule.unit': 'steps',
        'schedule.warmup': 0,
        'schedule.every': 7,
        'schedule.decay_rate': 0.5,
      },
    ),
  ],
)
def test_averages_and_schedules_before_format_3(number, old, new):
  group = 'optimizer.generator'
  values = stored(gan(), number)
  flat = dict(flatten(values))
  flat |= {f'{group}.{key}': value for key, value in old.items()}
  read = dict(flatten(formats.read_config(nested(flat), 'config.json')))
  assert {f'{group}.{key}': value for key, value in new.items()}.items() <= (
    read.items()
  )
  assert read.keys() == dict(flatten(gan(**{
    f'{group}.{key}': value for key, value in new.items()
  }))).keys()  # fmt: skip


@pytest.mark.parametrize('text', ['[', '[]', '{}'])
def test_files_that_are_no_config(tmp_path, text):
  path = tmp_path / 'some.json'
  path.write_text(text)
  with pytest.raises(InputError, match=r'some\.json'):
    load_config(str(path))
  with pytest.raises(InputError, match='no config file'):
    load_config(str(tmp_path / 'other.json'))


def test_a_config_from_anywhere(toy_run, tmp_path):
  config = dict(flatten(load_config(str(toy_run))))
  assert config == dict(flatten(load_config(f'{toy_run}/config.json')))
  alone = tmp_path / 'mine.json'
  alone.write_text((toy_run / 'config.json').read_text())
  assert config == dict(flatten(load_config(str(alone))))
  assert isinstance(config['log.grid'], tuple)
  partial = tmp_path / 'partial.py'
  partial.write_text(
    'from ml_collections import ConfigDict\n'
    'def get_config(arg):\n'
    "  return ConfigDict({'system': 'toy', 'train': {'num_steps': 2}})\n"
  )
  whole = load_config(str(partial))
  check(whole)
  assert isinstance(whole, ConfigDict)
  partial.write_text(partial.read_text().replace('num_steps', 'num_stepz'))
  with pytest.raises(InputError, match=r'partial\.py: .*mean config\.train\.n'):
    load_config(str(partial))
