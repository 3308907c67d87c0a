import numpy as np
import pytest

from gan_jax.core.errors import InputError
from gan_jax.data.synthetic.points import MIXTURES
from gan_jax.evaluation.extractors import Extractor
from gan_jax.evaluation.quality import (
  METRICS,
  Quality,
  parse_metrics,
)
from gan_jax.metrics.classes import classifier_score
from gan_jax.metrics.direction import lower_is_better
from gan_jax.metrics.distances import Moments, frechet_distance, kernel_distance

OF_IMAGES = [name for name, x in METRICS.items() if not x.of_points]


def pixels(images):
  """Extracts four pixels as features, and two of them as logits."""
  flat = np.asarray(images, np.float32).reshape(len(images), -1)
  return flat[:, :4], flat[:, :2] / 50


def make_extractor(**changes):
  values = {
    'name': 'pixels',
    'version': '1',
    'resizer': 'none',
    'sha256': 'none',
    'extract': pixels,
    'image_shape': None,
    'classifies': True,
  }
  return Extractor(**(values | changes))


def images(num=30, seed=0, high=256):
  rng = np.random.default_rng(seed)
  return rng.integers(0, high, (num, 2, 3, 1), np.uint8)


def quality(metrics, batch_size=7, **changes):
  return Quality(metrics, make_extractor(**changes), batch_size=batch_size)


def compare(metrics, real, fake, **options):
  """Compares images whose class is the parity of their first pixel."""
  found = quality(metrics, **options)
  return found.compare(
    *(
      found.features(x, what, (x[:, 0, 0, 0] % 2).astype(int))
      for x, what in ((real, 'real'), (fake, 'fake'))
    )
  )


def test_each_metric_is_that_of_the_features():
  real, fake = images(), images(20, seed=1, high=200)
  found = compare(['fid', 'score'], real, fake)
  (real_features, _), (fake_features, logits) = pixels(real), pixels(fake)
  moments = [Moments().update(x) for x in (real_features, fake_features)]
  np.testing.assert_allclose(found['fid'], frechet_distance(*moments))
  kernel = kernel_distance(real_features, fake_features, subset_size=10)
  assert (found['kid'], found['kid_std']) == kernel[:2]
  assert found['kid_subset_size'] == 10
  assert found['score'] == classifier_score(logits)


@pytest.mark.parametrize('batch_size', [1, 4, 1000])
def test_batches_do_not_matter(batch_size):
  names = OF_IMAGES
  real, fake = images(60), images(50, seed=1)
  one = compare(names, real, fake, batch_size=batch_size)
  assert one == compare(names, real, fake)


def test_the_order_does_not_matter():
  real, fake = images(60), images(50, seed=1)
  shuffled = np.random.default_rng(2).permutation(fake)
  one, other = (compare(OF_IMAGES, real, x) for x in (fake, shuffled))
  assert one.keys() == other.keys()
  for name, value in one.items():
    np.testing.assert_allclose(other[name], value, rtol=1e-9, err_msg=name)


def test_all_that_one_may_choose_by_is_there():
  for name in OF_IMAGES:
    metric = METRICS[name]
    found = compare([name], images(60), images(50, seed=1))
    assert set(metric.values) <= found.keys()


def test_an_infinite_divergence_is_none():
  black, white = np.zeros((6, 2, 3, 1), np.uint8), np.zeros((6, 2, 3, 1), 'u1')
  white[:, 0, 1] = 255  # the second logit is the larger one
  assert compare(['modes'], black, white)['modes_kl'] is None
  assert compare(['modes'], black, black) == {'num_modes': 1, 'modes_kl': 0.0}


def test_lower_is_better_for_errors_and_distances():
  assert lower_is_better('validation_error')
  assert lower_is_better('validation_fid')
  assert lower_is_better('validation_a2b_modes_kl')
  assert not lower_is_better('validation_precision')
  assert not lower_is_better('validation_num_modes')


def test_parsing():
  assert parse_metrics('fid, prdc,fid') == ['fid', 'prdc']
  for bad in ('', 'fid,', 'FID'):
    with pytest.raises(InputError, match=r'unknown metric .* kid, mixture'):
      parse_metrics(bad)


@pytest.mark.parametrize(
  ('metrics', 'num', 'message'),
  [
    (['fid'], 3, 'fid needs 4 real and 4 generated images or more, not 3 made'),
    (['kid'], 3, 'kid needs 4'),
    (['prdc'], 5, 'prdc needs 6'),
  ],
)
def test_too_few_images_fail(metrics, num, message):
  with pytest.raises(InputError, match=message):
    quality(metrics).features(images(num), 'made')
  quality(metrics).features(images(num + 1), 'made')


def test_another_size_fails():
  with pytest.raises(InputError, match='takes images of 2x3x3, not made of 2x'):
    quality(['fid'], image_shape=(2, 3, 3)).features(images(), 'made')


@pytest.mark.parametrize('metric', ['score', 'modes'])
def test_classes_need_a_classifier(metric):
  with pytest.raises(InputError, match=f'{metric} needs a classifier'):
    quality([metric], classifies=False)


def labelled(found, num, seed=0, what='made', classes=2):
  made = images(num, seed)
  return found.features(made, what, np.arange(num) % classes)


def test_accuracy_is_the_share_of_the_class_asked_for():
  found = quality(['class_accuracy'])
  real, fake = labelled(found, 30, what='real'), labelled(found, 20, seed=1)
  scores = found.compare(real, fake)
  for name, x in (('real_class_accuracy', real), ('class_accuracy', fake)):
    right = [int(a.argmax()) == b for a, b in zip(x.logits, x.labels)]  # noqa: B905
    assert scores[name] == np.mean(right) != 1.0


def test_distances_by_class_are_those_of_the_class_alone():
  found = quality(['class_fid'])
  real, fake = labelled(found, 60), labelled(found, 50, seed=1)
  scores = found.compare(real, fake)
  plain = quality(['fid'])
  for label in (0, 1):
    alone = plain.compare(real.of_class(label), fake.of_class(label))
    assert scores[f'class_fid_{label}'] == alone['fid']
    assert scores[f'class_kid_{label}'] == alone['kid']
  mean = (scores['class_kid_0'] + scores['class_kid_1']) / 2
  assert scores['class_kid'] == pytest.approx(mean)
  assert quality(['class_kid']).compare(real, fake).keys() == {
    'class_kid', 'class_kid_0', 'class_kid_1',
  }  # fmt: skip


@pytest.mark.parametrize(
  ('metric', 'num', 'message'),
  [
    ('class_kid', 39, 'needs 20 images of each class .*class 1 has 19 made'),
    ('class_fid', 39, 'needs 20 images of each class .*class 1 has 19 made'),
  ],
)
def test_classes_with_too_few_images_are_refused(metric, num, message):
  with pytest.raises(InputError, match=message):
    labelled(quality([metric]), num)
  labelled(quality([metric]), num + 1)


def test_a_covariance_needs_more_images_than_features():
  def many(images):
    return np.zeros((len(images), 25)), None

  found = quality(['class_fid'], extract=many, classifies=False)
  message = 'needs 26 .* covariance of 25 features is singular.* class 1 has 25'
  with pytest.raises(InputError, match=message):
    labelled(found, 51)
  labelled(found, 52)


def test_classes_that_images_or_the_extractor_lack_are_refused():
  with pytest.raises(
    InputError, match=r'images with classes, but the made have'
  ):
    quality(['class_kid']).features(images(), 'made')
  with pytest.raises(
    InputError, match='which has 2, but the made have class 2'
  ):
    labelled(quality(['class_accuracy']), 30, classes=3)


RING = MIXTURES['ring']


def of_points(metrics):
  return quality(
    metrics,
    extract=lambda x: (x.reshape(len(x), -1), None),
    image_shape=(1, 1, 2),
    classifies=False,
    mixture=RING,
  )


def test_points_are_compared_with_the_modes_of_their_mixture():
  found = of_points(['mixture', 'kid'])
  real = RING.centres.reshape(8, 1, 1, 2)
  fake = np.concatenate([real[:2], real[:2], real[:1], 0 * real[:1]])
  real, fake = (found.features(x, 'points') for x in (real, fake))
  scores = found.compare(real, fake)
  assert scores['num_modes'] == 2
  np.testing.assert_allclose(scores['near'], 5 / 6)
  assert scores['real_near'] == 1.0
  kl = 0.6 * np.log(8 * 0.6) + 0.4 * np.log(8 * 0.4)
  np.testing.assert_allclose(scores['modes_kl'], kl)
  assert 'kid' in scores
  nowhere = found.features(np.full((4, 1, 1, 2), 9.0), 'points')
  assert found.compare(real, nowhere)['modes_kl'] is None


def test_points_and_images_have_their_own_metrics():
  with pytest.raises(InputError, match='mixture needs points of a known mix'):
    quality(['mixture'])
  with pytest.raises(InputError, match='modes needs a classifier'):
    of_points(['modes'])


def test_stacked_digits_have_modes_and_distances_only():
  def of_channels(x):
    features, logits = pixels(x)
    return features, np.stack([logits, logits[:, ::-1]], axis=1)

  options = {'extract': of_channels, 'num_labels': 2}
  with pytest.raises(InputError, match='score needs images of one class each'):
    quality(['score'], **options)
  found = compare(['modes', 'fid'], images(300), images(40, seed=1), **options)
  # The second label is the opposite of the first, so that two of the four
  # combinations occur; of independent labels, each has a quarter.
  assert found['num_modes'] == 2
  np.testing.assert_allclose(found['modes_kl'], np.log(2), atol=0.05)
