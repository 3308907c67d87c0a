"""Differentiable augmentation of the discriminator's inputs.

Data and samples are both augmented, in the discriminator's updates and in the
generator's, whose gradient flows through. Every row draws from its own key, so
N devices augment a batch as one device would.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gan_jax.core import checks
from gan_jax.core.rng import key_for, row_keys
from gan_jax.core.types import Array, AxisName, PRNGKey


def _images(images: Array) -> Array:
  """Returns `images` unchanged; refuses all but batches of images."""
  if checks.floating('images', images).ndim != 4:
    raise ValueError(f'images must be [B, H, W, C], got {jnp.shape(images)}')
  images = jnp.asarray(images)
  checks.not_empty('images', images)
  return images


def random_color(
  images: Array, key: PRNGKey, *, axis_name: AxisName | None = None
) -> Array:
  r"""Randomly changes the brightness, then the saturation, then the contrast.

  .. math:: x \leftarrow x + b, \quad
            x \leftarrow \bar x_{hw} + s\,(x - \bar x_{hw}), \quad
            x \leftarrow \bar x + c\,(x - \bar x)

  with one b ~ U(-0.5, 0.5), s ~ U(0, 2) and c ~ U(0.5, 1.5) per row; the first
  mean is over a pixel's channels, the second over the image. Values may leave
  [-1, 1]. The saturation does not change images of one channel.

  Args:
    images: [B, H, W, C], floating point, in [-1, 1].
    key: the same on every replica.
    axis_name: the mapped axis over which the batch is split, if any.

  Returns:
    Images of the same shape and dtype.

  Raises:
    TypeError: images that are not floating point.
    ValueError: another shape, or an empty batch.

  References:
    Zhao et al. 2020, https://arxiv.org/abs/2006.10738, section 3.2, and the
    ranges of the authors' code.

  >>> import jax
  >>> x = random_color(jax.numpy.zeros((1, 2, 2, 3)), jax.random.key(0))
  >>> bool((x == x[0, 0, 0, 0]).all()), bool(abs(x).max() <= 0.5)
  (True, True)
  """
  images = _images(images)
  keys = row_keys(key_for(key, 'color'), len(images), axis_name)
  return _color(images, keys)


def _color(images: Array, keys: PRNGKey) -> Array:
  u = jax.vmap(lambda k: jax.random.uniform(k, (3,)))(keys).T
  u = u[..., None, None, None]  # [3, B, 1, 1, 1]
  x = checks.floating('images', images) + (u[0] - 0.5)
  mean = x.mean(axis=3, keepdims=True)
  x = mean + 2.0 * u[1] * (x - mean)
  mean = x.mean(axis=(1, 2, 3), keepdims=True)
  return (mean + (u[2] + 0.5) * (x - mean)).astype(images.dtype)


def random_translation(
  images: Array, key: PRNGKey, *, axis_name: AxisName | None = None
) -> Array:
  """Randomly shifts images by up to an eighth of their size, with zero padding.

  The vertical shift is a whole number of pixels, uniform from -floor(H / 8) to
  floor(H / 8); so is the horizontal one, with the width. A side of less than 8
  pixels is not shifted.

  Args:
    images: [B, H, W, C], floating point.
    key: the same on every replica.
    axis_name: the mapped axis over which the batch is split, if any.

  Returns:
    Images of the same shape and dtype.

  Raises:
    TypeError: images that are not floating point.
    ValueError: another shape, or an empty batch.

  References:
    Zhao et al. 2020, https://arxiv.org/abs/2006.10738, section 3.2, and the
    range of the authors' first code; their later code rounds it to the nearest
    pixel, which differs for some sizes.

  >>> import jax
  >>> x = random_translation(jax.numpy.ones((1, 8, 8, 1)), jax.random.key(0))
  >>> int(x.sum()) in (49, 56, 64)
  True
  """
  images = _images(images)
  keys = row_keys(key_for(key, 'translation'), len(images), axis_name)
  return _translation(images, keys)


def _translation(images: Array, keys: PRNGKey) -> Array:
  _, height, width, _ = images.shape
  most = jnp.array([height // 8, width // 8])

  def shift(image, key):
    top, left = jax.random.randint(key, (2,), 0, 2 * most + 1)
    return jax.lax.dynamic_slice(image, (top, left, 0), images.shape[1:])

  margins = [(size // 8, size // 8) for size in (height, width)]
  padded = jnp.pad(images, [(0, 0), *margins, (0, 0)])
  return jax.vmap(shift)(padded, keys)


def random_cutout(
  images: Array, key: PRNGKey, *, axis_name: AxisName | None = None
) -> Array:
  """Zeroes a random box of half the height and half the width.

  The box may cross an edge: for an even box size b, it starts at
  -b/2, ..., H - b/2; for an odd one, its middle pixel is any of the image's.

  Args:
    images: [B, H, W, C], floating point, in [-1, 1], where 0 is grey.
    key: the same on every replica.
    axis_name: the mapped axis over which the batch is split, if any.

  Returns:
    Images of the same shape and dtype.

  Raises:
    TypeError: images that are not floating point.
    ValueError: another shape, or an empty batch.

  References:
    Zhao et al. 2020, https://arxiv.org/abs/2006.10738, section 3.2, and the
    range of the authors' first code; their later code rounds it to the nearest
    pixel, which differs for some sizes.

  >>> import jax
  >>> x = random_cutout(jax.numpy.ones((1, 4, 4, 1)), jax.random.key(0))
  >>> 16 - int(x.sum()) in (1, 2, 4)
  True
  """
  images = _images(images)
  keys = row_keys(key_for(key, 'cutout'), len(images), axis_name)
  return _cutout(images, keys)


def _cutout(images: Array, keys: PRNGKey) -> Array:
  _, height, width, _ = images.shape

  def start(key):
    size = jnp.array([height, width])
    box = size // 2
    return jax.random.randint(key, (2,), 0, size + 1 - box % 2) - box // 2

  def inside(size, start):
    offset = jnp.arange(size) - start[:, None]
    return (offset >= 0) & (offset < size // 2)

  top, left = jax.vmap(start)(keys).T
  box = inside(height, top)[:, :, None] & inside(width, left)[:, None, :]
  return jnp.where(box[..., None], 0.0, images)


_OPERATIONS = {'color': _color, 'translation': _translation, 'cutout': _cutout}
OPERATIONS = tuple(_OPERATIONS)


def diff_augment(
  images: Array,
  key: PRNGKey,
  *,
  policy: Sequence[str] | str = OPERATIONS,
  axis_name: AxisName | None = None,
) -> Array:
  """Applies DiffAugment: `random_color`, `random_translation`, `random_cutout`.

  Args:
    images: [B, H, W, C], floating point, in [-1, 1].
    key: the same on every replica.
    policy: names of operations in the order of their application, each at most
      once; or text such as 'color,translation'. The paper uses all three on
      small data sets, otherwise fewer.
    axis_name: the mapped axis over which the batch is split, if any.

  Returns:
    Images of the same shape and dtype.

  Raises:
    TypeError: images that are not floating point.
    ValueError: another shape, an empty batch, or another policy.

  References:
    Zhao et al. 2020, https://arxiv.org/abs/2006.10738, section 3.2.

  >>> import jax
  >>> images = jax.numpy.ones((2, 16, 16, 3))
  >>> diff_augment(images, jax.random.key(0), policy='cutout').shape
  (2, 16, 16, 3)
  """
  policy, images = _policy(policy), _images(images)
  for name in policy:
    keys = row_keys(key_for(key, name), len(images), axis_name)
    images = _OPERATIONS[name](images, keys)
  return images


def augment_rows(
  images: Array,
  keys: PRNGKey,
  *,
  policy: Sequence[str] | str = OPERATIONS,
  probability: float | Array = 1.0,
) -> Array:
  """Applies `diff_augment` with a key per row, and with a probability.

  Each operation acts on each image with the given probability, independently of
  the others.

  Args:
    images: [B, H, W, C], floating point, in [-1, 1].
    keys: [B], one for each row.
    policy: as for `diff_augment`.
    probability: a number in [0, 1]; 1 for DiffAugment.

  Returns:
    Images of the same shape and dtype.

  Raises:
    TypeError: images that are not floating point.
    ValueError: another shape, an empty batch, another policy, a probability out
      of range, or a number of keys other than B.

  References:
    Zhao et al. 2020, https://arxiv.org/abs/2006.10738, section 3.2; Karras et
    al. 2020, https://arxiv.org/abs/2006.06676, section 2.2, for the
    probability.

  >>> import jax
  >>> keys = jax.random.split(jax.random.key(0))
  >>> x = jax.numpy.ones((2, 8, 8, 1))
  >>> bool((augment_rows(x, keys, probability=0.0) == x).all())
  True
  """
  policy, images = _policy(policy), _images(images)
  checks.number('probability', probability)
  known = not isinstance(probability, jax.core.Tracer)
  if known and not 0.0 <= probability <= 1.0:
    raise ValueError(f'probability must lie in [0, 1], got {probability}')
  if keys.shape != images.shape[:1]:
    raise ValueError(
      f'keys must be [B], one for each of the {len(images)} images, '
      f'got {keys.shape}'
    )
  for name in policy:
    own = jax.vmap(lambda k, name=name: key_for(k, name))(keys)
    changed = _OPERATIONS[name](images, own)
    if known and probability == 1.0:
      images = changed
      continue
    draw = jax.vmap(lambda k: jax.random.uniform(key_for(k, 'chance')))(own)
    acts = draw[:, None, None, None] < probability
    images = jnp.where(acts, changed, images)
  return images


def _policy(policy: Sequence[str] | str) -> tuple[str, ...]:
  """Parses a policy into the names of its operations."""
  names = tuple(policy.split(',') if isinstance(policy, str) else policy)
  if not set(names) <= set(_OPERATIONS) or len(set(names)) < len(names):
    raise ValueError(
      f'policy must be some of {OPERATIONS}, each once, got {policy!r}'
    )
  return names
