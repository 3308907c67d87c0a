"""Views: differentiable augmentation of a discriminator's inputs."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

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
from gan_jax.core.rng import global_rows, key_for, keys_of
from gan_jax.core.types import Array, PRNGKey
from gan_jax.data.spec import DataSpec, DomainSpec

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

# (images [B, H, W, C], name such as 'real') -> augmented images. Images with
# the same name get the same augmentation.
See = Callable[[Array, str], Array]


def unchanged(images: Array, name: str) -> Array:
  """Returns the images without augmentation."""
  del name
  return images


class View(NamedTuple):
  """Augmentation policy and its probability; constant over a run."""

  policy: tuple[str, ...]  # of `augment.diff_augment`
  probability: Schedule
  axis_name: str | None

  def rows(self, num: int) -> dict[str, Array]:
    """Returns the entries of `at`'s `rows` for `num` rows of the batch."""
    return {'place': global_rows(num, self.axis_name)} if self.policy else {}

  def at(self, key: PRNGKey, rows: Mapping[str, Array], step: Array) -> See:
    """Returns the view of some rows at a step.

    Args:
      key: the same on every replica; different for each player's update.
      rows: the rows, including the entries from the method `rows`.
      step: the training step.
    """
    if not self.policy:
      return unchanged

    def see(images, name):
      return augment.augment_rows(
        images,
        keys_of(key_for(key, f'view of {name}'), rows['place']),
        policy=self.policy,
        probability=self.probability(step),
      )

    return see


def make_view(
  config: ConfigDict, spec: DataSpec | DomainSpec, axis_name: str | None
) -> View:
  """Builds the view that a config's group `augment` describes."""
  group = config.augment
  policy = tuple(group.policy.split(',')) if group.policy else ()
  units = Units(spec.steps_per_epoch, config.data.batch_size)
  probability = make_schedule(group.schedule, group.probability, units)
  return View(policy, probability, axis_name)
