"""Views: packing and augmentation of a discriminator's inputs."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
from ml_collections import ConfigDict

from gan_jax import augment
from gan_jax.config import (
  Schedule,
  Units,
  key,
  make_schedule,
  optional,
  real,
  schedule,
  some_of,
)
from gan_jax.core.errors import InputError
from gan_jax.core.rng import global_rows, key_for, keys_of
from gan_jax.core.types import Array, PRNGKey
from gan_jax.data.spec import POINT, DataSpec, DomainSpec

_PROBABILITY = real(0.0, 1.0)
OPTIONS = {
  'augment.policy': key(
    None,
    optional(some_of(*augment.OPERATIONS)),
    "differentiable augmentation of D's inputs, real and generated, such as "
    'color,translation; None: none',
    since=3,
  ),
  'augment.probability': key(
    1.0, _PROBABILITY, 'probability of each of its operations', since=3
  ),
  **schedule('augment.schedule', 'the probability', 1.0, _PROBABILITY),
}

# (packs of images [B, H, W, C], name such as 'real') -> augmented packs. Images
# with the same name get the same augmentation.
See = Callable[[Array, str], Array]


def unchanged(images: Array, name: str) -> Array:
  """Returns the images without augmentation."""
  del name
  return images


def pack(images: Array, num: int) -> Array:
  """Concatenates each `num` successive images along their channels.

  Args:
    images: [B, H, W, C], with B a multiple of `num`.
    num: images in a pack.

  Returns:
    Packs, [B / num, H, W, num * C].

  References:
    Lin et al. 2017, "PacGAN", https://arxiv.org/abs/1712.04086, section 2.
  """
  if num == 1:
    return images
  packs = images.reshape(-1, num, *images.shape[1:])
  return jnp.concatenate([packs[:, i] for i in range(num)], axis=-1)


def unpack(packs: Array, num: int) -> Array:
  """Undoes `pack`."""
  if num == 1:
    return packs
  images = jnp.stack(jnp.split(packs, num, axis=-1), axis=1)
  return images.reshape(-1, *images.shape[2:])


class View(NamedTuple):
  """Packing and augmentation of D's inputs; constant over a run."""

  packing: int  # images in a pack
  policy: tuple[str, ...]  # of `augment.diff_augment`
  probability: Schedule
  axis_name: str | None

  def rows(self, num: int) -> dict[str, Array]:
    """Returns the entries of `at`'s `rows` for `num` rows of the batch."""
    return {'place': global_rows(num, self.axis_name)} if self.policy else {}

  def pack(self, images: Array) -> Array:
    """Concatenates images to packs; see `pack`."""
    return pack(images, self.packing)

  def at(self, key: PRNGKey, rows: Mapping[str, Array], step: Array) -> See:
    """Returns the augmentation of packs of some rows at a step.

    Args:
      key: the same on every replica; different for each player's update.
      rows: the rows, including the entries from the method `rows`.
      step: the training step.
    """
    if not self.policy:
      return unchanged

    def see(packs, name):
      images = augment.augment_rows(
        unpack(packs, self.packing),
        keys_of(key_for(key, f'view of {name}'), rows['place']),
        policy=self.policy,
        probability=self.probability(step),
      )
      return self.pack(images)

    return see


def make_view(
  config: ConfigDict, spec: DataSpec | DomainSpec, axis_name: str | None
) -> View:
  """Builds the view that a config's group `augment` describes."""
  group = config.augment
  policy = tuple(group.policy.split(',')) if group.policy else ()
  units = Units(spec.steps_per_epoch, config.data.batch_size)
  probability = make_schedule(group.schedule, group.probability, units)
  packing = config.model.get('packing', 1)
  if policy and getattr(spec, 'image_shape', None) == POINT:
    raise InputError(
      f'config.augment.policy = {group.policy} is for images, but the data are '
      'points; set it to None'
    )
  return View(packing, policy, probability, axis_name)
