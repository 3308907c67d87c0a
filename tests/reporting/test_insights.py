"""What is computed for a report, and that training is left as it was."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from gan_jax.config import load_config, to_json
from gan_jax.core.errors import InputError
from gan_jax.core.files import write_json, write_text
from gan_jax.data.batches import to_unit_range
from gan_jax.data.dataset import Dataset, Examples
from gan_jax.evaluation import samples
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.reporting import insights, run_report
from gan_jax.runs import restore
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.program import build, init_state
from tests import made_up, toy
from tests.conftest import ROOT


def open_run(program, path):
  """A run directory with all but a checkpoint, and the state at its start."""
  directory = RunDirectory(path)
  directory.define(program.config, program.describe_data())
  write_json(directory.environment, {'sessions': []})
  report = {'step': 0, 'epoch': 0.0, 'd_loss': 1.0}
  write_text(directory.metrics, json.dumps(report) + '\n')
  state = init_state(program)
  return restore.TrainedRun(
    directory, program.config, program.data.spec, program.system, state, 0
  )


@pytest.fixture(scope='module')
def program():
  """Images 6x4 within 8x8; a training image in validation."""
  rng = np.random.default_rng(0)

  def examples(num):
    image = np.zeros((num, 8, 8, 1), np.uint8)
    image[:, 1:7, 2:6] = rng.integers(0, 256, (num, 6, 4, 1))
    return Examples(image, (np.arange(num) % 3).astype(np.int32))

  dataset = Dataset('tiny', examples(30), examples(13), examples(12), 3, (6, 4))
  dataset.validation.image[5] = dataset.train.image[7]
  config = toy.get_config()
  config.optimizer.generator.ema = {'name': 'none'}
  config.eval.batch_size = 5
  return build(config, dataset)


@pytest.fixture(scope='module')
def looked(program, tmp_path_factory):
  """A run and what its insights.json holds."""
  run = open_run(program, tmp_path_factory.mktemp('run'))
  insights.write_insights(run, program.data)
  folder = run.directory.path / 'report'
  return run, json.loads((folder / 'insights.json').read_text()), folder


def tiles(path, columns, rows, shape):
  """The images of a grid, shrunk to [rows, columns, H, W], gray."""
  scale = -(-64 // shape[0])
  height, width = scale * shape[0], scale * shape[1]
  grid = np.asarray(Image.open(path))[..., 0]
  assert grid.shape == (rows * (height + 1) + 1, columns * (width + 1) + 1)
  return np.array([
    [
      grid[
        i * (height + 1) + 1 : (i + 1) * (height + 1) : scale,
        j * (width + 1) + 1 : (j + 1) * (width + 1) : scale,
      ]
      for j in range(columns)
    ]
    for i in range(rows)
  ])  # fmt: skip


def nearest(image, others):
  """By hand: indices and distances of the nearest, in units of [0, 1]."""
  flat = [x.reshape(len(x), -1).astype(float) / 255 for x in (image, others)]
  distance = np.sqrt(((flat[0][:, None] - flat[1]) ** 2).sum(-1))
  return distance.argmin(1), distance.min(1)


def test_samples_stand_above_their_neighbours(program, looked):
  run, found, folder = looked
  train = program.data.dataset.train.image[:, 1:7, 2:6]
  grid = tiles(folder / 'neighbours_samples.png', 12, 4, (6, 4))
  made = samples.generate(run, samples.latents(run, [0], 24))['samples']
  shown = grid[0::2].reshape(24, 6, 4)
  assert_array_equal(shown, made[..., 0])
  index, distance = nearest(made, train)
  assert_array_equal(grid[1::2].reshape(24, 6, 4), train[index, ..., 0])
  figures = found['samples']['samples']
  assert_allclose(figures['to_train'], np.median(distance), rtol=1e-9)
  assert_allclose(figures['std'], made.std(0).mean() / 255, rtol=1e-5)
  assert (figures['num'], figures['identical']) == (24, 0)


def test_real_images_are_laid_out_as_a_grid_of_samples(program, looked):
  _, found, folder = looked
  held_out = program.data.dataset.validation.image[:, 1:7, 2:6, 0]
  grid = tiles(folder / 'real.png', 10, 2, (6, 4)).reshape(20, 6, 4)
  assert_array_equal(grid[:13], held_out)
  assert (grid[13:] == 255).all()  # there are no more
  assert found['num_images'] == {
    'train': [30],
    'validation': [13],
    'test': [12],
  }


def test_real_images_of_classes_stand_in_their_columns(program, tmp_path):
  """As samples of a generator with classes do: a class in each column."""
  run = open_run(program, tmp_path)
  sampler = run.system.sampler._replace(num_classes=3)
  config = run.config.copy_and_resolve_references()
  config.log.grid = (2, 7)
  system = run.system._replace(sampler=sampler)
  run = run._replace(config=config, system=system)
  examples = program.data.dataset.validation
  insights.save_real(run, examples, tmp_path)
  grid = tiles(tmp_path / 'real.png', 7, 2, (6, 4))
  label = np.arange(7) % 3
  for k, num in enumerate((6, 4, 4)):
    found = examples.image[examples.label == k][:num, 1:7, 2:6, 0]
    shown = grid[:, label == k].reshape(num, 6, 4)
    assert_array_equal(shown[: len(found)], found)
    assert (shown[len(found) :] == 0).all()


def test_held_out_images_are_compared_alike(program, looked):
  _, found, _ = looked
  train = program.data.dataset.train.image
  held_out = program.data.dataset.validation.image
  _, distance = nearest(held_out, train)
  figures = found['data']
  assert_allclose(figures['to_train'], np.median(distance), rtol=1e-9)
  native = held_out[:, 1:7, 2:6]
  assert_allclose(figures['std'], native.std(0).mean() / 255, rtol=1e-5)
  assert (figures['num'], figures['identical']) == (13, 1)
  assert found['num_compared'] == 30


def test_rows_lead_from_seed_to_seed(looked):
  run, _, folder = looked
  grid = tiles(folder / 'interpolation_samples.png', 9, 6, (6, 4))
  ends = samples.latents(run, range(6))
  image = samples.generate(run, ends)['samples']
  assert_array_equal(grid[:, 0], image[..., 0])
  first, second = (ends._replace(z=ends.z[i : i + 1]) for i in (0, 1))
  half = run.system.sampler.interpolate(first, second, 4 / 9)
  middle = samples.generate(run, half)['samples']
  assert_allclose(grid[0, 4].astype(int), middle[0, ..., 0], atol=1)


def test_mistakes_are_counted_and_the_hardest_shown(program, looked):
  run, found, folder = looked
  image, label = program.data.dataset.validation
  logits = run.system.classifier.predict(
    run.state.discriminator.averaged, to_unit_range(jnp.asarray(image))
  )
  probability = np.asarray(jax.nn.softmax(logits))
  predicted = probability.argmax(1)
  assert found['weights'] == 'raw'
  found = found['classification']
  assert found['weights'] == 'averaged'
  confusion = np.array(found['confusion'])
  for i in range(3):
    for j in range(3):
      wanted = sum((label == i) & (predicted == j))
      assert confusion[i, j] == wanted
  error = Evaluator(program).error(run.state, 'validation')
  assert found['error'] == pytest.approx(error)
  assert (found['num'], found['of'], found['split']) == (13, 13, 'validation')
  own = probability[np.arange(13), label]
  order = np.argsort(own)
  assert [x['label'] for x in found['hardest']] == [*map(str, label[order])]
  assert [x['predicted'] for x in found['hardest']] == [
    *map(str, predicted[order])
  ]
  assert_allclose(
    [x['probability'] for x in found['hardest']],
    probability[order].max(1),
    rtol=1e-4,
  )
  pictures = sorted(folder.glob('hardest_*.png'))
  assert len(pictures) == 13
  first = tiles(pictures[0], 1, 1, (6, 4))[0, 0]
  assert_array_equal(first, image[order[0], 1:7, 2:6, 0])


def test_large_data_are_thinned_evenly(program, tmp_path, monkeypatch):
  monkeypatch.setattr(insights, '_MAX_CLASSIFIED', 4)
  monkeypatch.setattr(insights, '_MAX_COMPARED', 10)
  monkeypatch.setattr(insights, '_NUM_HELD_OUT', 3)
  run = open_run(program, tmp_path)
  insights.write_insights(run, program.data)
  found = json.loads((tmp_path / 'report/insights.json').read_text())
  held = program.data.dataset.validation.label[[0, 4, 8, 12]]
  counts = np.array(found['classification']['confusion']).sum(1)
  assert_array_equal(counts, np.bincount(held, minlength=3))
  assert found['classification']['of'] == 13
  assert found['num_compared'] == 10
  train = program.data.dataset.train.image[np.linspace(0, 29, 10).astype(int)]
  _, distance = nearest(
    program.data.dataset.validation.image[[0, 6, 12]], train
  )
  assert found['data']['to_train'] == pytest.approx(np.median(distance))


def test_the_same_state_gives_the_same_files_and_old_ones_go(program, looked):
  run, _, folder = looked
  before = {path.name: path.read_bytes() for path in folder.iterdir()}
  (folder / 'translation_a2b.png').write_bytes(b'')
  insights.write_insights(run, program.data)
  assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def contents(path):
  return {
    file.relative_to(path): file.read_bytes()
    for file in path.rglob('*')
    if file.is_file() and 'report' not in str(file.relative_to(path))
  }


def test_looking_leaves_all_else_as_it_was(program, tmp_path):
  run = open_run(program, tmp_path)
  before, state = contents(tmp_path), jax.device_get(run.state)
  insights.write_insights(run, program.data)
  assert contents(tmp_path) == before
  jax.tree.map(assert_array_equal, jax.device_get(run.state), state)


def test_without_a_checkpoint_the_report_says_why(program, tmp_path, capsys):
  open_run(program, tmp_path)
  output = tmp_path / 'x.html'
  run_report.write_report(tmp_path, output)
  assert 'has no checkpoint yet' in output.read_text()
  line = capsys.readouterr().err
  assert line.startswith('note: no closer look: ')
  assert line.count('\n') == 1
  run_report.write_report(tmp_path, output, look=False)
  assert 'they were not asked for' in output.read_text()
  assert capsys.readouterr().err == ''


def test_data_json_has_the_training_images_deviation(program, tmp_path):
  images = program.data.dataset.train.image[:, 1:7, 2:6]  # as they were
  expected = (images / 255.0).std(axis=0).mean()
  open_run(program, tmp_path)
  assert_allclose(
    RunDirectory(tmp_path).read_data()['std'], expected, rtol=1e-6
  )
  assert_allclose(
    run_report.read_run(RunDirectory(tmp_path)).data['std'], expected, rtol=1e-6
  )


@pytest.mark.parametrize(
  ('file', 'content', 'message'),
  [
    ('config.json', None, 'is not a run directory'),
    ('config.json', '{', 'is not valid JSON'),
    ('data.json', '{}', 'is not the file that a run writes'),
    ('environment.json', '{}', 'has no list of sessions'),
    ('metrics.jsonl', None, 'has no report yet'),
    ('metrics.jsonl', 'x\n{"step": 1}\n', 'is damaged in line 1'),
    ('result.json', '[]', 'is not the file that a run writes'),
  ],
)
def test_what_is_no_run_is_one_line(program, tmp_path, file, content, message):
  write_text(tmp_path / 'config.json', to_json(program.config))
  write_json(tmp_path / 'data.json', program.describe_data())
  write_json(tmp_path / 'environment.json', {'sessions': []})
  line = json.dumps({'step': 0, 'epoch': 0.0, 'd_loss': 1.0})
  write_text(tmp_path / 'metrics.jsonl', f'{line}\n')
  if content is None:
    (tmp_path / file).unlink()
  else:
    (tmp_path / file).write_text(content)
  for write in (
    lambda: run_report.write_report(tmp_path, tmp_path / 'x.html', look=False),
    lambda: run_report.write_comparison([tmp_path], tmp_path / 'x.html'),
  ):
    with pytest.raises(InputError, match=message) as info:
      write()
    assert '\n' not in str(info.value)
  assert not (tmp_path / 'x.html').exists()


def test_runs_of_one_name_are_told_apart(program, tmp_path):
  paths = [tmp_path / name / 'run' for name in 'ab']
  for path in paths:
    path.mkdir(parents=True)
    open_run(program, path)
  run_report.write_comparison(paths, tmp_path / 'both.html')
  page = (tmp_path / 'both.html').read_text()
  assert all(str(path) in page for path in paths)
  with pytest.raises(InputError, match='named twice'):
    run_report.write_comparison([paths[0], paths[0]], tmp_path / 'x.html')


@pytest.mark.systems
@pytest.mark.parametrize(
  ('name', 'ways', 'third'),
  [
    ('facades_pix2pix', ['b2a'], 'target'),
    ('facades_cyclegan', ['a2b', 'b2a'], 'translated back'),
  ],
)
def test_translations_stand_in_rows(name, ways, third, tmp_path):
  config = load_config(str(ROOT / f'configs/{name}.py:smoke'))
  config.parallel = 'jit'
  program = build(config, made_up.two_domains(config.data))
  run = open_run(program, tmp_path)
  insights.write_insights(run, program.data)
  found = json.loads((tmp_path / 'report/insights.json').read_text())
  columns = ['input', 'output', third]
  assert found['translations'] == dict.fromkeys(ways, columns)
  assert found.keys() == {'step', 'weights', 'num_images', 'translations'}
  for way in ways:
    path = tmp_path / f'report/translation_{way}.png'
    grid = tiles(path, 3, 2, (16, 16))
    source = getattr(program.data.dataset.validation, way[0])
    assert_array_equal(grid[:, 0], source[..., 0])
