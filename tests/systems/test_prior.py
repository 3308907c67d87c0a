import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from gan_jax.systems.parts.prior import normal_prior, slerp, uniform_prior

KEY = jax.random.key(0)
PRIORS = {
  'normal': (normal_prior(50), stats.norm()),
  'symmetric': (uniform_prior(50, -1.0, 1.0), stats.uniform(-1, 2)),
  'positive': (uniform_prior(50, 0.0, 1.0), stats.uniform(0, 1)),
}


@pytest.mark.parametrize('name', PRIORS)
def test_z_has_its_distribution(name):
  prior, distribution = PRIORS[name]
  z = prior.sample(KEY, 200)
  assert z.shape == (200, 50)
  assert stats.kstest(np.ravel(z), distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize('name', PRIORS)
def test_a_row_depends_on_its_place_only(name):
  prior, _ = PRIORS[name]
  one = prior.sample(KEY, 8)
  assert_array_equal(prior.sample(KEY, 3), one[:3])
  two = jax.pmap(lambda _: prior.sample(KEY, 4, 'batch'), axis_name='batch')(
    np.arange(2)
  )
  assert_array_equal(np.reshape(two, (8, 50)), one)


@pytest.mark.parametrize('name', PRIORS)
def test_ways_lead_from_one_end_to_the_other(name):
  prior, _ = PRIORS[name]
  a, b = prior.sample(KEY, 2)
  assert_allclose(prior.interpolate(a, b, 0.0), a, atol=1e-6)
  assert_allclose(prior.interpolate(a, b, 1.0), b, atol=1e-6)


def test_uniform_ways_are_straight():
  a, b = PRIORS['symmetric'][0].sample(KEY, 2)
  z = PRIORS['symmetric'][0].interpolate(a, b, 0.25)
  assert_allclose(z, 0.75 * a + 0.25 * b, atol=1e-6)


def test_normal_ways_keep_to_the_sphere():
  """Slerp takes equal steps of the angle, at the radius of both ends."""
  a, b = np.array([3.0, 0.0, 0.0]), np.array([0.0, 0.0, 3.0])
  for t in (0.25, 0.5, 0.9):
    angle = t * np.pi / 2
    want = [3 * np.cos(angle), 0, 3 * np.sin(angle)]
    assert_allclose(slerp(a, b, t), want, atol=1e-6)
  # Half-way between 0 and 120 degrees, where lerp would halve the radius.
  c = np.array([-1.5, 0.0, 1.5 * 3**0.5])
  assert_allclose(slerp(a, c, 0.5), [1.5, 0, 1.5 * 3**0.5], atol=1e-6)


def test_normal_ways_keep_the_length_in_many_dimensions():
  a, b = PRIORS['normal'][0].sample(KEY, 2)
  a, b = a / jnp.linalg.norm(a), b / jnp.linalg.norm(b)
  t = jnp.linspace(0, 1, 7)[:, None]
  assert_allclose(jnp.linalg.norm(slerp(a, b, t), axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize('scale', [1.0, 2.0])
def test_parallel_ends_are_joined_by_a_straight_way(scale):
  a = np.array([[1.0, 2.0], [-3.0, 0.5]], np.float32)
  way = slerp(a, scale * a, 0.25)
  assert_allclose(way, (0.75 + 0.25 * scale) * a, atol=1e-5)


def test_opposite_ends_give_nothing_wild():
  """The great circle is not unique: the path need only stay inside the ball."""
  a = np.array([1.0, 2.0], np.float32)
  for t in (0.1, 0.5, 0.8):
    assert np.linalg.norm(slerp(a, -a, t)) < 1.01 * np.linalg.norm(a)
