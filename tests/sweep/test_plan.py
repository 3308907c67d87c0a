import pytest

from gan_jax.config import load_config
from gan_jax.core.errors import InputError
from gan_jax.sweep.plan import narrowed, parse_vary, plan_runs, read_protocol
from tests.conftest import ROOT

PROTOCOL = ROOT / 'configs/mnist_ssgan_sweep.toml'


@pytest.fixture
def config():
  return load_config(str(ROOT / 'configs/mnist_ssgan.py:smoke'))


def test_values_are_of_the_type_of_their_key(config):
  vary = parse_vary(
    config,
    [
      'data.num_labels=20,50,None',
      'model.generator.hidden=(5,6),(7, 8 ,9)',
      'config.loss.unlabelled_weight=1,1e-3',
      'data.data_dir=7,a/b',
      'log.tensorboard=True,False',
    ],
  )
  assert vary == {
    'data.num_labels': [20, 50, None],
    'model.generator.hidden': [(5, 6), (7, 8, 9)],
    'loss.unlabelled_weight': [1, 1e-3],
    'data.data_dir': ['7', 'a/b'],
    'log.tensorboard': [True, False],
  }


@pytest.mark.parametrize(
  ('texts', 'message'),
  [
    (['data.num_labels'], 'want KEY=VALUE'),
    (['data.num_lables=20,50'], 'did you mean config.data.num_labels'),
    (['data=20'], 'unknown config key config.data'),
    (['data.num_labels='], 'an empty value'),
    (['data.num_labels=20,,50'], 'an empty value'),
    (['data.num_labels=20,50,20'], 'value 20 twice'),
    (['loss.unlabelled_weight=0.1,0.10'], 'value 0.1 twice'),
    (['data.num_labels=20', 'data.num_labels=50'], 'twice; give all'),
    (['seed=1,2'], 'config.seed is set by the seeds'),
    (['data.label_seed=1,2'], 'config.data.label_seed is set by'),
  ],
)
def test_bad_lists_are_refused(config, texts, message):
  with pytest.raises(InputError, match=message):
    parse_vary(config, texts)


def test_every_combination_with_every_seed(config):
  vary = {'data.num_labels': [20, 50], 'loss.unlabelled_weight': [1, 2.5]}
  runs = plan_runs(config, vary, [3, 7])
  assert [run.name for run in runs] == [
    'num_labels=20-unlabelled_weight=1-seed=3',
    'num_labels=20-unlabelled_weight=1-seed=7',
    'num_labels=20-unlabelled_weight=2.5-seed=3',
    'num_labels=20-unlabelled_weight=2.5-seed=7',
    'num_labels=50-unlabelled_weight=1-seed=3',
    'num_labels=50-unlabelled_weight=1-seed=7',
    'num_labels=50-unlabelled_weight=2.5-seed=3',
    'num_labels=50-unlabelled_weight=2.5-seed=7',
  ]
  last = runs[-1]
  assert (last.config.seed, last.config.data.label_seed, last.seed) == (7, 7, 7)
  assert last.config.data.num_labels == 50
  assert last.config.loss.unlabelled_weight == 2.5
  assert last.cell == {'data.num_labels': 50, 'loss.unlabelled_weight': 2.5}
  assert (config.seed, config.data.num_labels) == (0, 20)  # untouched


def test_names_are_fit_for_paths_and_tell_keys_apart(config):
  vary = {
    'model.generator.hidden': [(5, 6)],
    'model.discriminator.hidden': [(4,)],
  }
  (run,) = plan_runs(config, vary, [0])
  assert run.name == (
    'model.generator.hidden=_5__6_-model.discriminator.hidden=_4__-seed=0'
  )
  with pytest.raises(InputError, match='two runs would have the same dir'):
    plan_runs(config, {'data.data_dir': ['a/b', 'a_b']}, [0])


def test_a_label_seed_is_set_only_where_there_is_one():
  config = load_config(str(ROOT / 'configs/facades_pix2pix.py:smoke'))
  (run,) = plan_runs(config, {}, [4])
  assert run.config.seed == 4
  assert 'label_seed' not in run.config.data


@pytest.mark.parametrize(
  ('vary', 'seeds', 'message'),
  [
    ({'loss.unlabelled_weight': [1, -1]}, [0], 'unlabelled_weight=-1-seed=0: '),
    ({'data.num_labels': ['many']}, [0], 'num_labels=many-seed=0: '),
    ({'model.z_dim': [2.5]}, [0], 'z_dim=2.5-seed=0: '),
    ({'model.z_dim': []}, [0], 'an empty value'),
    ({}, [], 'different numbers'),
    ({}, [1, 1], 'different numbers'),
    ({}, [2**32], 'config.seed must be'),
  ],
)
def test_a_bad_combination_is_refused_by_name(config, vary, seeds, message):
  with pytest.raises(InputError, match=message):
    plan_runs(config, vary, seeds)


def test_the_paper_s_protocol():
  protocol = read_protocol(PROTOCOL)
  assert protocol.seeds == list(range(10))
  assert protocol.vary == {'data.num_labels': [20, 50, 100, 200]}
  assert protocol.published['single'][2] == '93 ± 6.5'
  assert protocol.published['ensemble'][0] == '1134 ± 445'
  assert '1606.03498' in protocol.source
  config = load_config(str(ROOT / 'configs/mnist_ssgan.py'))
  assert len(plan_runs(config, protocol.vary, protocol.seeds)) == 40


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('seeds = [0', 'describes no sweep'),
    ('seeds = [0]', "has no 'vary'"),
    ('[vary]\nx = [1]', "has no 'seeds'"),
    ('seeds = 3\n[vary]\nx = [1]', 'describes no sweep'),
    ('seeds = [0]\nvary = 3', 'describes no sweep'),
    ('seeds = [0]\nsteps = 3\n[vary]\nx = [1]', "unknown key 'steps'"),
    (
      'seeds = [0]\n[vary]\nx = [1, 2]\n[published]\nsingle = ["3"]',
      'published.single: want single or ensemble, with 2 texts',
    ),
    ('seeds = [0]\n[vary]\nx = [1]\n[arms.a]', 'has arms and vary; give one'),
    (
      'seeds = [0]\n[arms.a]\n[arms.b]\n[published]\nsingle = ["3"]',
      'published.single: want single or ensemble, with 2 texts',
    ),
    (
      'seeds = [0]\n[vary]\nx = [1]\n[published]\nbest = ["3"]',
      'published.best',
    ),
  ],
)
def test_a_bad_file_is_refused(tmp_path, text, message):
  path = tmp_path / 'sweep.toml'
  path.write_text(text)
  with pytest.raises(InputError, match=message):
    read_protocol(str(path))


def test_a_missing_file_is_refused(tmp_path):
  with pytest.raises(InputError, match='cannot read'):
    read_protocol(str(tmp_path / 'nothing.toml'))


def test_a_list_in_a_file_is_a_tuple_for_the_config(config, tmp_path):
  path = tmp_path / 'sweep.toml'
  path.write_text('seeds = [0]\n[vary]\n"model.generator.hidden" = [[5, 6]]')
  protocol = read_protocol(str(path))
  assert protocol.vary == {'model.generator.hidden': [(5, 6)]}
  (run,) = plan_runs(config, protocol.vary, protocol.seeds)
  assert run.config.model.generator.hidden == (5, 6)


def test_a_part_of_a_sweep():
  whole = {'a': [1, 2, 3], 'b': [4, 5]}
  assert narrowed(whole, {'a': [3]}) == {'a': [3], 'b': [4, 5]}
  assert narrowed(whole, {}) == whole
  with pytest.raises(InputError, match='a=7 is not in this sweep, which'):
    narrowed(whole, {'a': [7]})
  with pytest.raises(InputError, match="unknown key of this sweep 'c'"):
    narrowed(whole, {'c': [1]})


ARMS = """
seeds = [3]
[arms.plain]
[arms.wide]
'model.generator.hidden' = [7, 8]
'loss.unlabelled_weight' = 2.5
"""


def test_an_arm_sets_several_keys(config, tmp_path):
  path = tmp_path / 'sweep.toml'
  path.write_text(ARMS)
  protocol = read_protocol(str(path))
  plain, wide = plan_runs(config, protocol.vary, [3], protocol.arms)
  assert (plain.name, wide.name) == ('arm=plain-seed=3', 'arm=wide-seed=3')
  assert plain.config.model == config.model
  assert wide.cell == {'arm': 'wide'}
  assert wide.config.model.generator.hidden == (7, 8)
  assert wide.config.loss.unlabelled_weight == 2.5
  chosen = parse_vary(config, ['arm=wide'], protocol.arms)
  assert narrowed(protocol.vary, chosen) == {'arm': ['wide']}
  with pytest.raises(InputError, match='arm=thin is not in this sweep, which'):
    narrowed(protocol.vary, {'arm': ['thin']})
  with pytest.raises(InputError, match='unknown config key'):
    parse_vary(config, ['arm=wide'])


@pytest.mark.parametrize(
  ('config', 'sweep', 'num'),
  [
    ('grid_gan', 'grid_sweep', 3),
    ('mnist_ssgan', 'mnist_ssgan_search', 3),
    ('stacked_mnist_rpgan', 'stacked_mnist_search', 12),
    ('stacked_mnist_rpgan', 'stacked_mnist_sweep', 4),
  ],
)
def test_the_arms_of_a_sweep_file_differ(config, sweep, num):
  config = load_config(str(ROOT / f'configs/{config}.py'))
  protocol = read_protocol(str(ROOT / f'configs/{sweep}.toml'))
  runs = plan_runs(config, protocol.vary, [0], protocol.arms)
  assert len({str(run.config) for run in runs}) == num
