import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from numpy.testing import assert_array_equal

from gan_jax.image_pool import empty_pool, query_pool

KEY = jax.random.key(0)
SHAPE = (2, 1, 3)


def numbered(first, last):
  """Returns images with their number in every pixel."""
  numbers = jnp.arange(first, last, dtype='float32')
  return jnp.broadcast_to(numbers[:, None, None, None], (len(numbers), *SHAPE))


def numbers(images):
  images = np.asarray(images).reshape(len(images), -1)
  assert (images == images[:, :1]).all()
  return images[:, 0].astype(int).tolist()


def filled_pool(size):
  return query_pool(empty_pool(size, SHAPE), numbered(0, size), KEY)[0]


def assert_equal(actual, expected):
  jax.tree.map(assert_array_equal, actual, expected)


def test_while_filling_it_returns_what_it_is_given():
  pool = empty_pool(5, SHAPE)
  for first, last in ((0, 2), (2, 5)):
    assert pool.filled == first
    pool, images = query_pool(pool, numbered(first, last), KEY)
    assert numbers(images) == list(range(first, last))
  assert pool.filled == 5
  assert numbers(pool.images) == [0, 1, 2, 3, 4]


def exchanges(size, batches):
  """Infers a full pool's exchanged places from the returned images."""
  pool, query = filled_pool(size), jax.jit(query_pool)
  held, places = list(range(size)), []
  number = size
  for i, batch in enumerate(batches):
    pool, mixed = query(
      pool, numbered(number, number + batch), jax.random.fold_in(KEY, i)
    )
    for image in numbers(mixed):
      if image != number:
        places.append(held.index(image))  # fails if it is not in the pool
        held[places[-1]] = number
      number += 1
    assert numbers(pool.images) == held
    assert pool.filled == size
  return places


@pytest.mark.parametrize('batches', [[4000], [1] * 200 + [19] * 200])
def test_half_of_the_time_an_old_image_is_exchanged(batches):
  num, size = sum(batches), 10
  places = exchanges(size, batches)
  # Tolerances are four standard deviations of the binomial distributions.
  assert abs(len(places) - num / 2) < 4 * (num / 4) ** 0.5
  counts = np.bincount(places, minlength=size)
  share = 1 / (2 * size)
  assert (abs(counts - share * num) < 4 * (num * share) ** 0.5).all()


def test_no_image_is_lost_or_doubled():
  pool, given = empty_pool(7, SHAPE), 0
  returned = []
  for i, batch in enumerate((3, 1, 9, 30, 2)):  # it is full within the third
    pool, mixed = query_pool(
      pool, numbered(given, given + batch), jax.random.fold_in(KEY, i)
    )
    first = numbers(mixed)[: max(0, 7 - given)]
    assert first == list(range(given, given + len(first)))
    given += batch
    returned += numbers(mixed)
    assert pool.filled == min(given, 7)
  # The first seven were both stored and returned.
  held = numbers(pool.images)
  assert sorted(returned + held) == sorted([*range(7), *range(given)])
  assert set(held) - set(range(7))


@pytest.mark.parametrize('batch', [1, 4])
def test_a_pool_of_size_0_keeps_nothing(batch):
  pool, images = query_pool(
    empty_pool(0, SHAPE), numbered(0, batch), KEY, axis_name='unbound'
  )
  assert numbers(images) == list(range(batch))
  assert_equal(pool, empty_pool(0, SHAPE))


def test_the_key_decides():
  pool, images = filled_pool(4), numbered(4, 24)
  first = query_pool(pool, images, KEY)
  assert_equal(query_pool(pool, images, KEY), first)
  _, other = query_pool(pool, images, jax.random.key(1))
  assert numbers(other) != numbers(first[1])


@pytest.mark.parametrize('stored', [0, 3, 5])
def test_two_devices_agree_with_one(stored):
  start, _ = query_pool(empty_pool(5, SHAPE), numbered(0, stored), KEY)
  images = numbered(stored, stored + 12)
  pool, mixed = query_pool(start, images, KEY)
  pools, halves = jax.pmap(
    functools.partial(query_pool, axis_name='batch'),
    axis_name='batch',
    in_axes=(None, 0, None),
    devices=jax.devices()[:2],
  )(start, images.reshape(2, 6, *SHAPE), KEY)
  assert_array_equal(halves.reshape(mixed.shape), mixed)
  for device in range(2):
    assert_equal(jax.tree.map(lambda x, i=device: x[i], pools), pool)


def test_the_pool_is_one_for_all_devices():
  """shard_map infers from the function that the pool is replicated."""
  mesh = jax.make_mesh((2,), ('batch',), axis_types=(AxisType.Auto,))
  start, images = filled_pool(3), numbered(3, 11)
  pool, mixed = jax.jit(
    jax.shard_map(
      functools.partial(query_pool, axis_name='batch'),
      mesh=mesh,
      in_specs=(P(), P('batch'), P()),
      out_specs=(P(), P('batch')),
      check_vma=True,
    )
  )(start, images, KEY)
  assert_equal((pool, mixed), query_pool(start, images, KEY))


@pytest.mark.parametrize('size', [0, 4])
def test_jit_and_donation_change_nothing(size):
  pool, images = filled_pool(size), numbered(size, size + 20)
  expected = jax.device_get(query_pool(pool, images, KEY))
  assert_equal(jax.jit(query_pool)(pool, images, KEY), expected)
  donated = jax.jit(query_pool, donate_argnums=0)
  assert_equal(donated(pool, images, KEY), expected)
  assert size == 0 or pool.images.is_deleted()
