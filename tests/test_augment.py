import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.augment import (
  OPERATIONS,
  augment_rows,
  diff_augment,
  random_color,
  random_cutout,
  random_translation,
)

KEY = jax.random.key(0)
COLOR, TRANSLATION, CUTOUT, ALL = map(
  jax.jit, (random_color, random_translation, random_cutout, diff_augment)
)
STEPS = {'color': COLOR, 'translation': TRANSLATION, 'cutout': CUTOUT}
EACH = pytest.mark.parametrize('augment', [COLOR, TRANSLATION, CUTOUT])
WRAP = pytest.mark.parametrize('wrap', [lambda f: f, jax.jit])


def normal(*shape, seed=0, dtype='float32'):
  return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def ramp(num, height, width):
  """Returns images whose pixels all differ and are not zero."""
  image = 1.0 + np.arange(height * width, dtype='float32')
  return jnp.tile(image.reshape(1, height, width, 1), (num, 1, 1, 1))


def shifted(image, down, right):
  """Shifts `image` with zero padding, by numpy slices."""
  height, width, _ = image.shape
  out = np.zeros_like(image)
  out[max(down, 0) : height + down, max(right, 0) : width + right] = image[
    max(-down, 0) : height - down, max(-right, 0) : width - right
  ]
  return out


def shift_of(row):
  """Finds the shift of a row of `ramp` from its pixels."""
  width = row.shape[1]
  i, j, _ = np.argwhere(row)[0]
  source = int(row[i, j, 0]) - 1
  return i - source // width, j - source % width


def test_color_is_affine_in_the_pixel_and_its_means():
  x = np.asarray(normal(64, 4, 5, 3), 'float64')
  out = np.asarray(COLOR(jnp.asarray(x, 'float32'), KEY))
  channels = x.mean(axis=3, keepdims=True)
  image = x.mean(axis=(1, 2, 3), keepdims=True)
  found = []
  for x_i, m_i, mean_i, out_i in zip(x, channels, image, out, strict=True):
    # out = c s (x - m) + c (m - mean) + (mean + b)
    columns = [x_i - m_i, np.broadcast_to(m_i - mean_i, x_i.shape)]
    columns = np.stack([np.ravel(c) for c in [*columns, np.ones(x_i.shape)]])
    fit, residual, *_ = np.linalg.lstsq(columns.T, out_i.ravel(), rcond=None)
    assert residual[0] < 1e-10
    found.append((fit[2] - mean_i.item(), fit[0] / fit[1], fit[1]))
  b, s, c = np.array(found).T
  for value, low, high in ((b, -0.5, 0.5), (s, 0.0, 2.0), (c, 0.5, 1.5)):
    unit = (value - low) / (high - low)
    assert -1e-5 < unit.min() < 0.1
    assert 0.9 < unit.max() < 1 + 1e-5
    assert abs(unit.mean() - 0.5) < 4 / 12**0.5 / 64**0.5
  correlations = np.corrcoef([b, s, c])[np.triu_indices(3, 1)]
  assert abs(correlations).max() < 4 / 64**0.5


def test_the_saturation_of_one_channel_changes_nothing():
  x = normal(8, 4, 4, 1)
  out = np.asarray(COLOR(x, KEY))
  wide = np.asarray(COLOR(jnp.tile(x, 3), KEY))
  assert_allclose(wide, np.tile(out, 3), atol=1e-6)
  contrast = out.std(axis=(1, 2, 3)) / np.std(x, axis=(1, 2, 3))
  assert (contrast > 0.5 - 1e-5).all()
  assert (contrast < 1.5 + 1e-5).all()


def test_translation_moves_by_every_shift_and_pads_with_zeros():
  x = ramp(400, 16, 8)
  out = np.asarray(TRANSLATION(x, KEY))
  shifts = [shift_of(row) for row in out]
  for row, image, shift in zip(out, np.asarray(x), shifts, strict=True):
    assert_array_equal(row, shifted(image, *shift))
  counts = {shift: shifts.count(shift) for shift in set(shifts)}
  assert set(counts) == {(i, j) for i in range(-2, 3) for j in range(-1, 2)}
  # There are 15 shifts: 27 of each on average, with a deviation of 5.
  assert min(counts.values()) > 7
  assert max(counts.values()) < 47


def test_small_images_stay_where_they_are():
  x = normal(20, 7, 4, 2)
  assert_array_equal(TRANSLATION(x, KEY), x)


@pytest.mark.parametrize(
  ('height', 'width', 'tops', 'lefts'),
  [
    (8, 4, range(-2, 7), range(-1, 4)),  # boxes 4 and 2 pixels long
    (6, 3, range(-1, 5), range(3)),  # 3 and 1, with a middle pixel
  ],
)
def test_cutout_removes_a_box_anywhere(height, width, tops, lefts):
  x = ramp(1500, height, width)
  out = np.asarray(CUTOUT(x, KEY))
  boxes = {}
  for top in tops:
    for left in lefts:
      keep = np.ones((height, width, 1), bool)
      keep[
        max(top, 0) : top + height // 2, max(left, 0) : left + width // 2
      ] = 0
      boxes[keep.tobytes()] = np.where(keep, x[0], 0.0)
  counts = dict.fromkeys(boxes, 0)
  for row in out:
    mask = (row != 0.0).tobytes()
    assert_array_equal(row, boxes[mask])
    counts[mask] += 1
  assert len(counts) == len(tops) * len(lefts)
  mean = 1500 / len(counts)
  assert abs(np.array(list(counts.values())) - mean).max() < 4.5 * mean**0.5


def test_gradient_of_translation_is_the_cotangent_moved_back():
  x, cotangent = ramp(30, 16, 16), normal(30, 16, 16, 1)
  out, vjp = jax.vjp(lambda x: TRANSLATION(x, KEY), x)
  (gradient,) = vjp(cotangent)
  shifts = [shift_of(row) for row in np.asarray(out)]
  assert len(set(shifts)) > 10
  for row, back, (down, right) in zip(
    np.asarray(gradient), np.asarray(cotangent), shifts, strict=True
  ):
    assert_array_equal(row, shifted(back, -down, -right))


def test_gradient_of_cutout_is_its_mask():
  x, cotangent = ramp(30, 6, 6), normal(30, 6, 6, 1)
  out, vjp = jax.vjp(lambda x: CUTOUT(x, KEY), x)
  assert_array_equal(vjp(cotangent)[0], np.where(out != 0.0, cotangent, 0.0))


def test_what_is_cut_out_does_not_matter():
  x = ramp(30, 6, 6)
  out = CUTOUT(x, KEY)
  assert_array_equal(CUTOUT(jnp.where(out == 0.0, jnp.nan, x), KEY), out)


@EACH
def test_gradient_is_finite_difference(augment):
  with jax.enable_x64(True):
    x = normal(2, 9, 8, 2, dtype='float64')
    check_grads(
      lambda x: augment(x, KEY),
      (x,),
      order=1,
      eps=1e-3,  # the function is linear up to rounding
      atol=1e-9,
      rtol=1e-9,
    )


@EACH
def test_a_row_is_augmented_alike_in_any_batch(augment):
  x = normal(6, 16, 16, 3)
  assert_allclose(augment(x[:2], KEY), augment(x, KEY)[:2], atol=1e-6)


@EACH
def test_rows_and_keys_are_augmented_differently(augment):
  x = jnp.tile(normal(1, 16, 16, 3), (6, 1, 1, 1))
  rows = np.asarray(augment(x, KEY))
  other = np.asarray(augment(x, jax.random.key(1)))
  # Some shifts and boxes do occur twice.
  kinds = len(np.unique(rows, axis=0))
  assert kinds > 2
  assert len(np.unique([*rows, *other], axis=0)) > kinds


def test_two_devices_match_one():
  x, weight = normal(6, 16, 16, 3), normal(6, 16, 16, 3, seed=1)

  def value_and_vjp(x, weight, axis_name=None):
    out, vjp = jax.vjp(lambda x: diff_augment(x, KEY, axis_name=axis_name), x)
    return out, vjp(weight)[0]

  two = jax.pmap(
    functools.partial(value_and_vjp, axis_name='batch'),
    axis_name='batch',
    devices=jax.devices()[:2],
  )(x.reshape(2, 3, 16, 16, 3), weight.reshape(2, 3, 16, 16, 3))
  one = jax.jit(value_and_vjp)(x, weight)
  for value, expected in zip(two, one, strict=True):
    assert_allclose(value.reshape(x.shape), expected, atol=2e-6)


def test_vmap_changes_nothing():
  x, keys = normal(2, 6, 16, 16, 3), jax.random.split(KEY, 2)
  expected = [ALL(*pair) for pair in zip(x, keys, strict=True)]
  assert_allclose(jax.vmap(ALL)(x, keys), expected, atol=1e-6)


@EACH
@pytest.mark.parametrize(
  ('channels', 'dtype'), [(1, 'float32'), (3, 'bfloat16'), (2, 'float64')]
)
def test_shape_and_dtype_are_kept(augment, channels, dtype):
  with jax.enable_x64(True):
    x = normal(2, 9, 8, channels, dtype=dtype)
    out, vjp = jax.vjp(lambda x: augment(x, KEY), x)
    (gradient,) = vjp(out)
    assert out.shape == gradient.shape == x.shape
    assert out.dtype == gradient.dtype == dtype


def test_colors_of_bfloat16_are_computed_in_float32():
  x = normal(4, 8, 8, 3, dtype='bfloat16')
  wide = COLOR(x.astype('float32'), KEY).astype('bfloat16')
  assert_array_equal(COLOR(x, KEY), wide)


@pytest.mark.parametrize(
  'policy', [(), ('translation', 'color'), ['color', 'translation', 'cutout']]
)
def test_the_policy_is_followed_in_order(policy):
  x = expected = normal(6, 16, 16, 3)
  for name in policy:
    expected = STEPS[name](expected, KEY)
  augment = functools.partial(diff_augment, policy=policy)
  assert_allclose(jax.jit(augment)(x, KEY), expected, atol=1e-6)


def test_all_three_are_the_default():
  x = normal(6, 16, 16, 3)
  expected = CUTOUT(TRANSLATION(COLOR(x, KEY), KEY), KEY)
  assert_allclose(ALL(x, KEY), expected, atol=1e-6)


def test_cutout_does_not_follow_translation():
  """From the same bits, remainders by 9 and by 33 would agree modulo 3."""
  x = ramp(400, 32, 32)
  shifts = np.array([shift_of(row) for row in np.asarray(TRANSLATION(x, KEY))])
  cut = np.asarray(CUTOUT(x, KEY))[..., 0] == 0.0
  starts = []
  for axis in (2, 1):
    line = cut.any(axis=axis)
    first, last = line.argmax(axis=1), 31 - line[:, ::-1].argmax(axis=1)
    starts.append(np.where(first > 0, first, last - 15))
  # Translation crops at 4 - shift, one of 9 places; the box starts from -8 on.
  agree = (4 - shifts) % 3 == (np.stack(starts, axis=1) + 8) % 3
  assert abs(agree.mean() - 1 / 3) < 4 * (2 / 9 / agree.size) ** 0.5


@WRAP
@pytest.mark.parametrize(
  'augment', [random_color, random_translation, random_cutout, diff_augment]
)
@pytest.mark.parametrize(
  ('images', 'error', 'message'),
  [
    (
      np.zeros((2, 8, 8, 3), 'u1'),
      TypeError,
      'images must be floating .* uint8',
    ),
    (np.zeros((8, 8, 3), 'f'), ValueError, r'\[B, H, W, C\], got \(8, 8, 3\)'),
    (np.zeros((0, 8, 8, 3), 'f'), ValueError, r'images .* \(0, 8, 8, 3\)'),
    (np.zeros((2, 0, 8, 3), 'f'), ValueError, r'images .* \(2, 0, 8, 3\)'),
  ],
)
def test_bad_images_fail_while_tracing(wrap, augment, images, error, message):
  with pytest.raises(error, match=message):
    wrap(augment)(images, KEY)


@pytest.mark.parametrize(
  'policy', [('colour',), 'cutout,colour', ('color', 'color')]
)
def test_bad_policies_fail(policy):
  with pytest.raises(ValueError, match=f'policy must be .* got .*{policy[0]}'):
    diff_augment(normal(2, 8, 8, 3), KEY, policy=policy)


def test_images_without_a_policy_are_checked():
  with pytest.raises(TypeError, match='images must be floating point'):
    diff_augment(np.zeros((2, 8, 8, 3), 'u1'), KEY, policy=())


def split(num, seed=1):
  return jax.random.split(jax.random.key(seed), num)


def test_a_policy_as_text():
  x = normal(4, 16, 16, 3)
  want = diff_augment(x, KEY, policy=('color', 'cutout'))
  assert_array_equal(diff_augment(x, KEY, policy='color,cutout'), want)
  for policy in ('color,color', 'colour', '', 'color, cutout'):
    with pytest.raises(ValueError, match='policy must be some of'):
      diff_augment(x, KEY, policy=policy)


@pytest.mark.parametrize('policy', [*OPERATIONS, OPERATIONS])
def test_a_row_is_augmented_by_its_own_key(policy):
  x, keys = normal(6, 16, 16, 3), split(6)
  apply = functools.partial(augment_rows, policy=policy, probability=0.6)
  out = apply(x, keys)
  order = jnp.array([3, 0, 5, 1, 2, 4])
  assert_array_equal(apply(x[order], keys[order]), out[order])
  assert abs(out - apply(x, split(6, seed=2))).max() > 0.1


def test_what_a_key_does_diff_augment_does():
  """Over many draws, each pixel has the same mean and variance."""
  x = jnp.tile(ramp(1, 8, 8) / 64, (20_000, 1, 1, 1))
  theirs, ours = ALL(x, KEY), jax.jit(augment_rows)(x, split(len(x)))
  for moment in (jnp.mean, jnp.std):
    got, want = moment(ours, axis=0), moment(theirs, axis=0)
    assert_allclose(got, want, atol=5 * 0.6 / np.sqrt(len(x)) * 2)


@pytest.mark.parametrize('probability', [0.0, 0.3, 1.0])
def test_each_operation_acts_with_its_probability(probability):
  """Cutout shows in zeros, colour in values; they act independently."""
  num = 4000
  x = jnp.ones((num, 8, 8, 1))
  out = jax.jit(
    functools.partial(augment_rows, policy=('color', 'cutout'))
  )(x, split(num), probability=probability)  # fmt: skip
  cut = (out == 0.0).any(axis=(1, 2, 3))
  coloured = (out.max(axis=(1, 2, 3)) != 1.0) & (out != 0.0).any(axis=(1, 2, 3))
  spread = 4 * np.sqrt(probability * (1 - probability) / num)
  assert abs(cut.mean() - probability) <= spread
  assert abs(coloured.mean() - probability) <= spread
  both = (cut & coloured).mean()
  assert abs(both - probability**2) <= 4 * 0.5 / np.sqrt(num)


def test_gradients_pass_through_what_acts():
  x, keys = normal(3, 8, 8, 2).astype(float), split(3)
  check_grads(
    lambda x: augment_rows(x, keys, probability=0.5), (x,), 1, eps=1e-2,
    rtol=1e-2,
  )  # fmt: skip


@WRAP
@pytest.mark.parametrize('probability', [-0.1, 1.5, jnp.nan])
def test_probabilities_out_of_range(wrap, probability):
  augment = wrap(lambda x, k: augment_rows(x, k, probability=probability))
  with pytest.raises(ValueError, match=r'probability must lie in \[0, 1\]'):
    augment(jnp.ones((2, 8, 8, 1)), split(2))


def test_as_many_keys_as_rows():
  with pytest.raises(ValueError, match='one for each of the 2 images'):
    augment_rows(jnp.ones((2, 8, 8, 1)), split(3))
