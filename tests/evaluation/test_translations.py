import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.data.domain_sets import Domains
from gan_jax.evaluation.translations import TranslationEvaluator
from gan_jax.systems.state import Weights

KEY = jax.random.key(0)
WEIGHTS = Weights({'a2b': jnp.float32(0.5), 'b2a': jnp.float32(-0.25)}, {})
RNG = np.random.default_rng(0)
IMAGES = Domains(
  RNG.integers(0, 256, (5, 4, 4, 3), np.uint8),
  RNG.integers(0, 256, (5, 4, 4, 3), np.uint8),
)


def scaled(way):
  return lambda weights, image, key: weights.params[way] * image


def noisy(sign):
  """Adds noise; two of opposite signs cancel if their keys are equal."""
  return lambda weights, image, key: (
    image + sign * jax.random.normal(key, image.shape)
  )


BOTH = {way: scaled(way) for way in ('a2b', 'b2a')}


def evaluator(translate, *, aligned=True, batch_size=2):
  return TranslationEvaluator(
    translate, aligned=aligned, batch_size=batch_size, key=KEY
  )


def unit(image):
  return image / 127.5 - 1.0


@pytest.mark.parametrize('way', ['a2b', 'b2a'])
def test_translations_are_compared_with_their_counterparts(way):
  errors = evaluator({way: BOTH[way]}).errors(WEIGHTS, IMAGES)
  source, target = (unit(getattr(IMAGES, domain)) for domain in way.split('2'))
  scale = {'a2b': 0.5, 'b2a': -0.25}[way]
  assert errors.keys() == {f'l1_{way}'}
  assert_allclose(
    errors[f'l1_{way}'], abs(scale * source - target).mean(), rtol=1e-6
  )


def test_a_cycle_is_compared_with_where_it_began():
  images = IMAGES._replace(b=IMAGES.b[:3])
  errors = evaluator(BOTH, aligned=False).errors(WEIGHTS, images)
  assert errors.keys() == {'cycle_a', 'cycle_b'}
  for domain, image in images._asdict().items():
    want = 1.125 * abs(unit(image)).mean()  # 1 + 0.5 * 0.25
    assert_allclose(errors[f'cycle_{domain}'], want, rtol=1e-6)
  errors = evaluator(BOTH).errors(WEIGHTS, IMAGES)
  assert errors.keys() == {'cycle_a', 'cycle_b', 'l1_a2b', 'l1_b2a'}


def test_the_grid_is_that_of_translations_beside_that_of_their_target():
  a, b = RNG.integers(64, 192, (2, 40, 32, 32, 1), np.uint8)
  b[:, ::2, ::2] += 60  # the target has a grid of its own
  dots = jnp.zeros((32, 32, 1)).at[::2, ::2].set(60 / 127.5)
  translate = {
    'a2b': lambda weights, image, key: image + dots,
    'b2a': lambda weights, image, key: image,
  }
  errors = evaluator(translate, aligned=False).errors(WEIGHTS, Domains(a, b))
  assert_allclose(errors['grid_a2b'], 1.0, atol=0.1)
  assert errors['grid_b2a'] > 5.0


def test_the_errors_are_of_the_given_weights():
  one = evaluator(BOTH)
  before = one.errors(WEIGHTS, IMAGES)
  exact = Weights({'a2b': jnp.float32(1.0), 'b2a': jnp.float32(1.0)}, {})
  after = one.errors(exact, IMAGES)
  assert (after['cycle_a'], after['cycle_b']) == (0.0, 0.0)
  assert one.errors(WEIGHTS, IMAGES) == before


@pytest.mark.parametrize('batch_size', [1, 3, 5, 8])
def test_without_noise_the_batch_size_does_not_matter(batch_size):
  errors = evaluator(BOTH, batch_size=batch_size).errors(WEIGHTS, IMAGES)
  assert errors == evaluator(BOTH).errors(WEIGHTS, IMAGES)


def test_noise_is_the_same_each_time_and_new_for_each_batch_and_way():
  translate = {'a2b': noisy(1.0), 'b2a': noisy(-1.0)}
  one, two = (evaluator(translate) for _ in range(2))
  errors = one.errors(WEIGHTS, IMAGES)
  assert errors == one.errors(WEIGHTS, IMAGES) == two.errors(WEIGHTS, IMAGES)
  assert errors['cycle_a'] > 0.5
  shown = one.panels(WEIGHTS, 'a2b', IMAGES, 4)
  noise = shown['a2b'] - shown['a']
  assert abs(noise[:2] - noise[2:]).max() > 0.5


@pytest.mark.parametrize(('way', 'other'), [('a2b', 'b2a'), ('b2a', 'a2b')])
def test_panels_are_the_input_what_became_of_it_and_what_it_should_be(
  way, other
):
  shown = evaluator(BOTH).panels(WEIGHTS, way, IMAGES, 3)
  source, target = way.split('2')
  assert list(shown) == [source, way, f'{way}2{source}', target]
  image = unit(getattr(IMAGES, source)[:3])
  forth = float(WEIGHTS.params[way]) * image
  back = float(WEIGHTS.params[other]) * forth
  counterpart = unit(getattr(IMAGES, target)[:3])
  for panel, want in zip(
    shown.values(), (image, forth, back, counterpart), strict=True
  ):
    assert_allclose(panel, want, atol=1e-6)
  one_way = evaluator({way: BOTH[way]}).panels(WEIGHTS, way, IMAGES, 3)
  assert list(one_way) == [source, way, target]
  unaligned = evaluator(BOTH, aligned=False).panels(WEIGHTS, way, IMAGES, 3)
  assert list(unaligned) == [source, way, f'{way}2{source}']


@pytest.mark.parametrize('way', ['a2b', 'b2a'])
def test_pictures_show_gray_beside_colour(way):
  images = IMAGES._replace(a=IMAGES.a[..., :1])
  translate = {
    'a2b': lambda weights, image, key: jnp.repeat(-image, 3, axis=-1),
    'b2a': lambda weights, image, key: 2.0 * image[..., :1],  # clipped
  }
  pictures = evaluator({way: translate[way]}).pictures(WEIGHTS, images, 3)
  assert pictures.keys() == {way}
  flat, num_panels = pictures[way]
  assert (flat.shape, flat.dtype, num_panels) == ((9, 4, 4, 3), np.uint8, 3)
  a, b = np.repeat(images.a[:3], 3, axis=-1), images.b[:3]
  if way == 'a2b':
    source, made, target = a, 255 - a, b
  else:
    doubled = np.clip(2.0 * b[..., :1] - 127.5, 0.0, 255.0)
    source, made, target = b, np.repeat(doubled, 3, axis=-1), a
  assert_array_equal(flat[0::3], source)
  assert_allclose(flat[1::3].astype(float), made, atol=0.51)
  assert_array_equal(flat[2::3], target)


def test_no_more_pictures_than_images():
  images = IMAGES._replace(b=IMAGES.b[:3])
  pictures = evaluator(BOTH, aligned=False).pictures(WEIGHTS, images, 4)
  sizes = {way: (len(flat), num) for way, (flat, num) in pictures.items()}
  assert sizes == {'a2b': (12, 3), 'b2a': (9, 3)}
