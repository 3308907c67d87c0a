"""Metrics of a run's generated images, in training and from checkpoints."""

import json

import jax
import numpy as np
import pytest

from gan_jax.config import load_config
from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.data.batches import to_uint8
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.evaluation.extractors import open_extractor
from gan_jax.evaluation.quality import Quality
from gan_jax.evaluation.scoring import evaluate
from gan_jax.runs.program import build, init_state
from gan_jax.runs.restore import load_run
from gan_jax.systems.system import Latents
from gan_jax.training.loop import train
from tests import made_up
from tests.conftest import ROOT
from tests.toy import without


@pytest.fixture
def config(toy_config):
  toy_config.train.num_steps = 6
  toy_config.log.report_every_steps = 2
  toy_config.optimizer.generator.ema = {'name': 'none'}
  toy_config.eval.metrics = 'fid,prdc'
  toy_config.eval.extractor = 'random'
  toy_config.eval.num_samples = 8
  return toy_config


@pytest.fixture(scope='session')
def classifier(toy_reference):
  """The run directory of a barely trained classifier of 8x8 images."""
  return str(toy_reference[0])


def reports(path):
  lines = map(json.loads, (path / 'metrics.jsonl').read_text().splitlines())
  return {line['step']: line for line in lines if 'epoch' in line}


@pytest.mark.systems
def test_quality_is_reported_on_validation_and_at_the_end_on_test(
  config, tiny_dataset, tmp_path
):
  config.eval.eval_every_steps = 4
  result = train(config, str(tmp_path / 'run'), dataset=tiny_dataset)
  found = reports(tmp_path / 'run')
  assert ['validation_fid' in found[step] for step in (2, 4, 6)] == [
    False, True, False,
  ]  # fmt: skip
  assert found[4]['validation_n_real'] == 12
  assert found[4]['validation_n_fake'] == 8
  assert found[4]['extractor']['name'] == 'random'
  assert not any(name.startswith('test_') for name in found[4])
  assert result['test_n_real'] == 12
  assert {'test_fid', 'test_kid', 'test_precision'} <= result.keys()


def test_the_number_is_that_of_the_images_themselves(config, tiny_dataset):
  program = build(config, tiny_dataset)
  state = init_state(program)
  found = Evaluator(program).quality(state, 'validation')
  key = jax.random.key(config.seed)
  z = program.system.sampler.draw(key_for(key, 'samples'), 8).z
  fake = program.system.sampler.generate(state.generator.averaged, Latents(z))[
    'samples'
  ]
  quality = Quality(['fid'], open_extractor('random'), batch_size=12)
  expected = quality.compare(
    quality.features(tiny_dataset.validation.image, 'real'),
    quality.features(np.asarray(to_uint8(fake)), 'fake'),
  )
  # With other batch sizes, sums are taken in another order.
  np.testing.assert_allclose(
    found['validation_fid'], expected['fid'], rtol=1e-3
  )


def test_evaluate_repeats_what_training_reported(
  config, tiny_dataset, tmp_path, monkeypatch
):
  path = tmp_path / 'run'
  train(config, str(path), dataset=tiny_dataset)
  monkeypatch.setattr(
    'gan_jax.data.labelled._load', lambda config: tiny_dataset
  )
  options = {
    'split': 'validation', 'num_samples': 8, 'metrics': 'fid,prdc',
    'extractor': 'random', 'seed': config.seed,
  }  # fmt: skip
  found = evaluate(str(path), **options)
  report = reports(path)[6]
  assert found['step'] == 6
  assert found['generator_weights'] == 'raw'
  assert found['samples']['fid'] == report['validation_fid']
  assert found['samples']['coverage'] == report['validation_coverage']
  assert found['error'] == report['validation_error']
  low, high = found['error_interval']
  assert low <= found['error'] <= high
  assert json.dumps(found) == json.dumps(evaluate(str(path), **options))


@pytest.mark.systems
@pytest.mark.parametrize('metric', ['validation_fid', 'validation_precision'])
def test_the_best_checkpoint_is_kept(
  config, tiny_dataset, tmp_path, metric, monkeypatch
):
  values = iter([3.0, 1.0, 2.0, 1.5, 5.0, 4.0])
  monkeypatch.setattr(
    Evaluator,
    'quality',
    lambda self, state, split: (
      {metric: next(values)} if split == 'validation' else {}
    ),
  )
  config.checkpoint.keep = 1
  config.checkpoint.best_metric = metric
  path = tmp_path / 'run'
  config.train.num_steps = 6  # a resumed run knows what was best before
  train(config, str(path), dataset=tiny_dataset)
  config.train.num_steps = 12
  train(config, str(path), dataset=tiny_dataset)
  best = 4 if metric == 'validation_fid' else 10
  kept = sorted(int(p.name) for p in (path / 'checkpoints').iterdir())
  assert kept == [best, 12]
  monkeypatch.undo()
  assert load_run(path, 'best').step == best
  assert load_run(path, str(best)).step == best
  assert load_run(path).step == 12
  with pytest.raises(
    InputError, match=r"unknown checkpoint '2'; .*, best, lat"
  ):
    load_run(path, '2')


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'eval.metrics': 'fid,is'}, "unknown metric 'is'"),
    ({'eval.extractor': None}, 'either train a classifier of your data'),
    ({'eval.extractor': 'nowhere'}, 'nowhere is not a run directory'),
    ({'eval.metrics': 'score'}, 'score needs a classifier'),
    ({'eval.num_samples': 5}, 'prdc needs 6 .* images or more, not 5 samples'),
    ({'eval.eval_every_steps': 3}, 'eval_every_steps is 3, not a multiple of'),
    (
      {'checkpoint.best_metric': 'test_fid'},
      "best_metric 'test_fid'; choose one of: .*validation_fid",
    ),
    (
      {
        'checkpoint.best_metric': 'validation_kid',
        'checkpoint.save_every_steps': 3,
      },
      'computed every 2 steps, but checkpoints are saved every 3',
    ),
  ],
)
def test_bad_settings_fail_before_anything_is_made(
  config, tiny_dataset, tmp_path, changes, message
):
  config.update_from_flattened_dict(changes)
  path = tmp_path / 'run'
  with pytest.raises(InputError, match=message):
    train(config, str(path), dataset=tiny_dataset)
  assert not path.exists()


def test_a_classifier_measures(classifier, config):
  extractor = open_extractor(classifier)
  assert extractor.image_shape == (8, 8, 1)
  assert extractor.describe()['version'] == 'step 8'
  images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
  features, logits = extractor.extract(images)
  run = load_run(classifier)
  weights = run.state.discriminator.averaged
  expected = run.system.classifier.predict(weights, images / 127.5 - 1.0)
  np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
  # The last layer is dense.
  dense = weights.params['Dense_0']
  np.testing.assert_allclose(
    features @ dense['kernel'] + dense['bias'], logits, rtol=1e-4, atol=1e-5
  )


def test_a_run_of_no_classifier_is_refused(classifier, monkeypatch):
  without(monkeypatch, classifier=None)
  with pytest.raises(InputError, match='system toy, which is no classifier'):
    open_extractor(classifier)


@pytest.mark.systems
def test_translations_are_compared_with_images_of_their_domain():
  config = load_config(str(ROOT / 'configs/facades_cyclegan.py:smoke'))
  config.parallel = 'jit'
  config.eval.metrics, config.eval.extractor = 'kid', 'random'
  data = made_up.two_domains(config.data)
  both = [np.concatenate([x] * 2) for x in data.test]
  data = data._replace(test=data.test._replace(a=both[0], b=both[1]))
  data = data._replace(validation=data.test)
  program = build(config, data)
  found = Evaluator(program).quality(init_state(program), 'validation')
  assert {'validation_a2b_kid', 'validation_b2a_kid'} <= found.keys()
  assert found['validation_a2b_n_fake'] == found['validation_a2b_n_real'] == 6


def test_inception_without_a_file_names_both_remedies():
  with pytest.raises(InputError) as caught:
    open_extractor('inception')
  message = str(caught.value)
  assert 'inception:FILE' in message
  assert 'configs/digits_classifier.py' in message
