"""Exported networks against the functions that they were exported from."""

import dataclasses
import shutil
import subprocess
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax import config as cfg
from gan_jax.config import load_config
from gan_jax.core.errors import InputError
from gan_jax.core.files import write_json
from gan_jax.core.rng import row_keys
from gan_jax.data.batches import to_unit_range
from gan_jax.data.dataset import Dataset, Examples, prepare
from gan_jax.inference import export_check
from gan_jax.inference.export import PLATFORMS, export_network, networks_of
from gan_jax.runs import program
from gan_jax.runs.checkpoint import Checkpoints
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.restore import load_run
from gan_jax.systems import SYSTEMS, make_system
from gan_jax.systems.state import Weights
from gan_jax.systems.system import Latents
from tests import made_up, toy
from tests.conftest import ROOT

for library in ('flatbuffers', 'safetensors'):
  pytest.importorskip(library, reason=f'{library} is not installed')

CONFIGS = sorted((ROOT / 'configs').glob('*.py'))


def small_digits():
  """Images of 7x9 pixels, to be padded to 16x16: 4, 5 rows, 3, 4 columns."""
  rng = np.random.default_rng(0)

  def examples(num):
    image = rng.integers(0, 256, (num, 7, 9, 1), np.uint8)
    return Examples(image, (np.arange(num) % 3).astype(np.int32))

  parts = examples(30), examples(12), examples(12)
  return Dataset('tiny', *parts, num_classes=3, native_size=(7, 9))


def write_run(name, workdir):
  """Writes a run directory with checkpoints of steps 1 and 2, untrained.

  Averaged and raw weights differ much, and so do those of the two steps.
  """
  if name == 'toy':
    config = toy.get_config()
  else:
    config = load_config(str(ROOT / f'configs/{name}.py:smoke'))
  config.parallel = 'jit'
  for optimizer in config.optimizer.values():
    optimizer.ema = {'name': 'debiased', 'decay': 0.5}
  if 'crop_size' in config.data:
    dataset = made_up.two_domains(config.data)
  else:
    config.data.update(num_labels=6, batch_size=6, image_size=16)
    dataset = prepare(small_digits(), 16)
  built = program.build(config, dataset)
  state = program.init_state(built)
  directory = RunDirectory(workdir)
  directory.path.mkdir()
  directory.config.write_text(cfg.to_json(config))
  write_json(directory.data, built.describe_data())
  checkpoints = Checkpoints(directory.checkpoints, keep=2)
  for step in (1, 2):
    players = {
      side: dataclasses.replace(
        getattr(state, side), ema=other(getattr(state, side).weights, step)
      )
      for side in ('generator', 'discriminator')
      if getattr(state, side).ema is not None
    }
    checkpoints.save(state.replace(step=jnp.int32(step), **players), {})
  checkpoints.close()
  return workdir


def other(weights, step):
  def add_waves(x):  # with mean 0, so that nothing saturates
    return x + 0.1 * step * jnp.cos(jnp.arange(x.size)).reshape(x.shape)

  return jax.tree.map(add_waves, weights)


@pytest.fixture(scope='session')
def run_dirs(tmp_path_factory):
  """Writes a run directory per config, once; no test may change it."""
  root, made = tmp_path_factory.mktemp('runs'), {}

  def run_dir(name):
    if name not in made:
      made[name] = write_run(name, root / name)
    return made[name]

  return run_dir


@pytest.fixture
def toy_dir(run_dirs):
  return run_dirs('toy')


@pytest.fixture
def ssgan(run_dirs):
  return run_dirs('digits_ssgan')


@pytest.fixture
def cyclegan(run_dirs):
  return run_dirs('facades_cyclegan')


@pytest.fixture
def pix2pix(run_dirs):
  return run_dirs('facades_pix2pix')


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'folder' / 'network.jax'


def read(path, weights=None):
  """Loads the exported function."""
  exported = jax.export.deserialize(bytearray(path.read_bytes()))
  first = () if weights is None else (weights,)
  return lambda *inputs: np.asarray(exported.call(*first, *inputs))


def load_weights(path):
  from safetensors.numpy import load_file

  return load_file(path.with_suffix('.safetensors'))


def as_uint8(image):
  """Converts images in [-1, 1] to 0..255 by hand, in float64."""
  return np.round((np.clip(np.float64(image), -1, 1) + 1) * 127.5).astype(int)


def draw_images(num, *shape):
  return np.random.default_rng(1).integers(0, 256, (num, *shape), np.uint8)


def draw_z(num):
  return np.random.default_rng(1).standard_normal((num, 100), np.float32)


@pytest.mark.parametrize(
  ('name', 'params'),
  [
    ('toy', 'inside'),
    ('toy', 'beside'),
    pytest.param('digits_ssgan', 'beside', marks=pytest.mark.systems),
  ],
)
def test_a_generator_makes_the_runs_samples_of_any_number(
  run_dirs, path, name, params
):
  workdir = run_dirs(name)
  export_network(workdir, path, params=params)
  weights = load_weights(path) if params == 'beside' else None
  generate = read(path, weights)
  run = load_run(workdir)
  player = run.state.generator

  def expected(weights, z):
    made = run.system.sampler.generate(weights, Latents(z))['samples']
    return as_uint8(made)[:, 4:11, 3:12]  # 16x16, without the padding

  for num in (1, 5):
    z = draw_z(num)
    made = generate(z)
    assert (made.dtype, made.shape) == (np.uint8, (num, 7, 9, 1))
    assert_allclose(made, expected(player.ema, z), atol=1)  # of rounding
    assert abs(made - expected(player.weights, z)).max() > 10
  assert len(np.unique(made, axis=0)) == 5


def test_parameters_beside_the_file_are_its_first_argument(toy_dir, path):
  export_network(toy_dir, path, network='classifier', params='inside')
  inside = path.stat().st_size
  export_network(toy_dir, path, network='classifier', params='beside')
  assert {p.name for p in path.parent.iterdir()} == {
    'network.jax', 'network.safetensors'
  }  # fmt: skip
  weights = load_weights(path)
  ema = load_run(toy_dir).state.discriminator.ema
  kernel = 'params/Dense_0/kernel'
  assert_array_equal(weights[kernel], ema.params['Dense_0']['kernel'])
  mean = ema.model_state['batch_stats']['mean']
  assert_array_equal(weights['model_state/batch_stats/mean'], mean)
  size = sum(x.nbytes for x in weights.values())
  assert path.stat().st_size < inside - 0.8 * size
  images = draw_images(2, 7, 9, 1)
  before = read(path, weights)(images)
  weights[kernel] = -weights[kernel]
  assert (read(path, weights)(images) != before).mean() > 0.5


@pytest.mark.parametrize(
  'name', ['toy', pytest.param('digits_ssgan', marks=pytest.mark.systems)]
)
def test_a_classifier_gives_probabilities_of_images_as_they_are(
  run_dirs, path, name
):
  workdir = run_dirs(name)
  export_network(workdir, path, network='classifier')
  run = load_run(workdir)
  images = draw_images(5, 7, 9, 1)
  padded = np.pad(images, [(0, 0), (4, 5), (3, 4), (0, 0)])

  def expected(weights):
    logits = run.system.classifier.predict(
      weights, padded / np.float32(127.5) - 1
    )
    odds = np.exp(np.float64(logits))
    return odds / odds.sum(axis=1, keepdims=True)

  made = read(path)(images)
  assert (made.dtype, made.shape) == (np.float32, (5, 3))
  assert made.std(axis=0).min() > 1e-3  # it tells images apart
  player = run.state.discriminator
  assert_allclose(made, expected(player.ema), atol=1e-5)  # of float32
  assert abs(made - expected(player.weights)).max() > 0.01
  assert_allclose(read(path)(images[:2]), made[:2], atol=1e-6)


@pytest.mark.systems
@pytest.mark.parametrize('direction', ['a2b', 'b2a'])
def test_each_direction_is_exported_with_its_own_parameters(
  cyclegan, path, direction
):
  export_network(cyclegan, path, direction=direction, params='beside')
  weights = load_weights(path)
  assert {name.split('/')[1] for name in weights} == {direction}
  images = draw_images(3, 16, 16, 3)
  made = read(path, weights)(images)
  run = load_run(cyclegan)

  def expected(way):
    key = jax.random.key(0)
    translate = run.system.translator.ways[way]
    x = to_unit_range(images)
    return as_uint8(translate(run.state.generator.ema, x, key))

  assert made.dtype == np.uint8
  assert_allclose(made, expected(direction), atol=1)  # of rounding
  assert abs(made - expected(direction[::-1])).max() > 10


@pytest.mark.systems
def test_noise_is_a_function_of_the_seed_and_the_row(pix2pix, path):
  export_network(pix2pix, path)
  translate = read(path)
  images = np.repeat(draw_images(1, 16, 16, 3), 3, axis=0)
  made = translate(images, np.uint32(7))
  assert len(np.unique(made, axis=0)) == 3
  assert_array_equal(translate(images[:2], np.uint32(7)), made[:2])
  assert abs(translate(images, np.uint32(8)) - made.astype(int)).max() > 10
  run = load_run(pix2pix)
  (way,) = run.system.translator.ways
  one = jax.jit(run.system.translator.ways[way])
  for image, key, row in zip(
    images, row_keys(jax.random.key(7), 3), made, strict=True
  ):
    want = one(run.state.generator.ema, to_unit_range(image)[None], key)
    assert_allclose(row, as_uint8(want[0]), atol=1)  # of rounding


@pytest.mark.systems
def test_a_translator_takes_a_seed_where_the_seed_matters(cyclegan, pix2pix):
  for workdir, noisy in ((cyclegan, False), (pix2pix, True)):
    run = load_run(workdir)
    assert bool(run.config.model.get('test_dropout')) == noisy
    x = to_unit_range(draw_images(1, 16, 16, 3))
    for translate in run.system.translator.ways.values():
      weights = run.state.generator.ema
      one, two = (translate(weights, x, jax.random.key(i)) for i in (0, 1))
      assert bool((one != two).any()) == noisy


@pytest.mark.systems
def test_one_file_has_each_platforms_own_form(ssgan, path):
  exported = export_network(ssgan, path).exported
  assert exported.platforms == PLATFORMS
  dilates = (
    'lhs_dilate = [2, 2]'  # on the CPU a transposed convolution has none
  )
  assert dilates in exported.mlir_module()
  z = draw_z(3)
  together = read(path)(z)
  exported = export_network(ssgan, path, platforms=['cpu']).exported
  assert exported.platforms == ('cpu',)
  assert dilates not in exported.mlir_module()
  assert_array_equal(read(path)(z), together)
  exported = export_network(ssgan, path, platforms=['tpu', 'cuda']).exported
  assert exported.platforms == ('tpu', 'cuda')
  with pytest.raises(ValueError, match='platforms'):
    read(path)(z)


def test_a_checkpoint_may_be_named_and_a_file_is_replaced(toy_dir, path):
  z = draw_z(3)
  made = {}
  for checkpoint in ('1', '2', 'latest'):
    artefact = export_network(toy_dir, path, checkpoint=checkpoint)
    assert artefact.step == (1 if checkpoint == '1' else 2)
    made[checkpoint] = read(path)(z)
  assert_array_equal(made['2'], made['latest'])
  assert (made['1'] != made['2']).any()
  assert list(path.parent.iterdir()) == [path]


def test_a_generator_needs_no_discriminator(toy_dir, path, tmp_path):
  copy = shutil.copytree(toy_dir, tmp_path / 'copy')
  for part in copy.glob('checkpoints/*/discriminator'):
    shutil.rmtree(part)
  export_network(toy_dir, path)
  whole = path.read_bytes()
  export_network(copy, path)
  z = draw_z(2)
  alone = read(path)(z)
  path.write_bytes(whole)
  assert_array_equal(alone, read(path)(z))


@pytest.mark.parametrize(
  ('config', 'options'),
  [
    ('toy', {'params': 'beside'}),
    pytest.param('digits_ssgan', {}, marks=pytest.mark.systems),
    pytest.param(
      'digits_ssgan', {'network': 'classifier'}, marks=pytest.mark.systems
    ),
    pytest.param(
      'facades_pix2pix', {'params': 'beside'}, marks=pytest.mark.systems
    ),
  ],
)
def test_the_recipe_runs_without_this_package(run_dirs, path, config, options):
  artefact = export_network(run_dirs(config), path, **options)
  code = export_check.recipe(artefact) + (
    '\nimport sys\nassert "gan_jax" not in sys.modules'
    '\nassert "flax" not in sys.modules'
    '\nprint(made.dtype, made.shape, len(np.unique(made)) > 4)'
  )
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=path.parent,
    capture_output=True,
    text=True,
  )
  assert done.stderr == ''
  (out,) = artefact.exported.out_avals
  shape = (4, *out.shape[1:])
  assert done.stdout == f'{out.dtype} {shape} True\n'
  assert export_check.difference(artefact) <= (
    1 if out.dtype == np.uint8 else 1e-5
  )


@pytest.mark.systems
def test_the_difference_is_of_the_files_output(toy_dir, tmp_path):
  first, second = (
    export_network(toy_dir, tmp_path / f'{step}.jax', checkpoint=str(step))
    for step in (1, 2)
  )
  assert export_check.difference(first._replace(network=second.network)) > 5
  for_tpu = export_network(toy_dir, tmp_path / 'tpu.jax', platforms=['tpu'])
  assert export_check.difference(for_tpu) is None


def test_a_recipe_that_needs_this_package_is_no_recipe(
  toy_dir, path, monkeypatch
):
  artefact = export_network(toy_dir, path)
  code = export_check.recipe(artefact)
  monkeypatch.setattr(
    export_check, 'recipe', lambda _: f'import gan_jax\n{code}'
  )
  monkeypatch.setenv('PYTHONPATH', str(ROOT), prepend=':')
  with pytest.raises(InputError, match=r"not checked.*imported \{'gan_jax'\}"):
    export_check.difference(artefact)


@pytest.mark.systems
def test_what_is_printed(pix2pix, path):
  artefact = export_network(pix2pix, path, platforms=['cuda', 'cpu'])
  assert export_check.describe(artefact).splitlines() == [
    'translator of step 2, averaged weights',
    'platforms: cuda, cpu',
    'images uint8[b,16,16,3], seed uint32[] -> uint8[b,16,16,3]',
    f'{path}: {path.stat().st_size:,} bytes',
  ]


@pytest.mark.parametrize('config', CONFIGS, ids=lambda path: path.stem)
def test_which_networks_a_run_has(config):
  config = load_config(f'{config}:smoke')
  if 'crop_size' in config.data:
    spec = (
      SYSTEMS[config.system]
      .DATA(config.data, made_up.two_domains(config.data))
      .spec
    )
  else:
    size = config.data.image_size or 32
    if 'digits' in config.data.name:
      size = 8
    dataset = made_up.labelled(200, size, 1)
    spec = SYSTEMS[config.system].DATA(config.data, dataset).spec
  system = make_system(config, spec)
  assert networks_of(system) == [
    name
    for name, what in (
      ('generator', system.sampler),
      ('translator', system.translator),
      ('classifier', system.classifier),
    )
    if what is not None
  ]


@pytest.mark.parametrize(
  'name', ['digits_ssgan', 'mnist_gan', 'fashion_hinge', 'mnist_ssgan']
)
def test_the_recipe_draws_z_from_the_runs_prior(name):
  """Mean, standard deviation and range of a thousand rows agree."""
  config = load_config(str(ROOT / f'configs/{name}.py:smoke'))
  dataset = made_up.labelled(200, 32, 1)
  config.data.image_size = 32
  if name == 'digits_ssgan':
    config.data.num_labels = 20
  spec = SYSTEMS[config.system].DATA(config.data, dataset).spec
  system = make_system(config, spec)
  want = np.asarray(system.sampler.draw(jax.random.key(0), 1000).z)
  expression = system.sampler.in_numpy(1000)['z']
  found = eval(expression, {'np': np, 'rng': np.random.default_rng(0)})
  assert found.dtype == np.float32
  assert found.shape == want.shape
  # Ten standard errors of 100,000 numbers; the ends of a uniform lie closer.
  assert_allclose(found.mean(), want.mean(), atol=0.03)
  assert_allclose(found.std(), want.std(), atol=0.03)
  ends = [f(x) for x in (found, want) for f in (np.min, np.max)]
  atol = 1e-2 if 'uniform' in expression else 1.5
  assert_allclose(ends[:2], ends[2:], atol=atol)


def refusal(workdir, path, **options):
  with pytest.raises(InputError) as error:
    export_network(workdir, path, **options)
  return str(error.value)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'platforms': ['cpu', 'gpu']},
     "unknown platform 'gpu'; choose one of: cpu, cuda, tpu"),
    ({'platforms': []}, "platforms '': name each platform once"),
    ({'platforms': ['cpu', 'cpu']}, "'cpu,cpu': name each platform once"),
    ({'params': 'under'}, "unknown place of the parameters 'under'"),
    ({'network': 'critic'}, "unknown network 'critic'; choose one of: cl"),
    ({}, 'is not a run directory: no config.json'),
  ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_the_run_is_opened(path, options, message):
  assert message in refusal('nowhere', path, **options)
  assert not path.parent.exists()


def test_names_that_cannot_be_the_files(path):
  path.mkdir(parents=True)
  assert refusal('nowhere', path) == f'{path} is a folder; name a file'
  path = path.with_suffix('.safetensors')
  assert 'is a name for parameters alone' in refusal('nowhere', path)


@pytest.mark.parametrize('library', ['flatbuffers', 'safetensors'])
def test_a_library_that_is_not_installed(path, library, monkeypatch, toy_dir):
  find_spec = export_check.sys.modules['importlib.util'].find_spec
  monkeypatch.setattr(
    'importlib.util.find_spec',
    lambda name: None if name == library else find_spec(name),
  )
  message = refusal('nowhere', path, params='beside')
  assert message.startswith(f"{library} is not installed; pip install '.[exp")
  if library == 'safetensors':  # it is needed for nothing else
    export_network(toy_dir, path)


@pytest.mark.systems
def test_networks_that_a_run_does_not_have(ssgan, cyclegan, run_dirs, path):
  supervised = run_dirs('digits_supervised')
  for workdir, network, message in (
    (ssgan, 'translator', 'system ssgan has no translator; choose generator or '
     'classifier'),
    (cyclegan, 'generator', 'system cyclegan has no generator; choose transla'),
    (supervised, 'generator', 'supervised has no generator; choose classifier'),
  ):  # fmt: skip
    assert message in refusal(workdir, path, network=network)
  artefact = export_network(supervised, path)
  assert artefact.name == 'classifier'
  message = refusal(ssgan, path, direction='a2b')
  assert message == 'a generator has no direction; give none'


@pytest.mark.systems
def test_a_direction_or_a_checkpoint_that_is_not_there(ssgan, pix2pix, path):
  message = refusal(pix2pix, path, direction='a2b')
  assert 'does not translate a2b; choose b2a' in message
  message = refusal(ssgan, path, checkpoint='7')
  assert message.startswith("unknown checkpoint '7'; choose one of: 1, 2, best")
  assert not path.parent.exists()


def test_a_broken_run(toy_dir, path, tmp_path):
  copy = shutil.copytree(toy_dir, tmp_path / 'copy')
  for part in copy.glob('checkpoints/*/generator'):
    shutil.rmtree(part)
  assert 'every checkpoint' in refusal(copy, path)
  (copy / 'config.json').write_text('{')
  assert 'is not valid JSON' in refusal(copy, path)
  assert not path.parent.exists()


def test_weights_are_named_as_in_the_state():
  from gan_jax.core.trees import by_path

  named = by_path(Weights({'b': {'c': 1}, 'a': 2}, {'d': 3}))
  assert named == {'params/a': 2, 'params/b/c': 1, 'model_state/d': 3}
