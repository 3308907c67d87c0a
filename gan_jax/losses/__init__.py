"""Losses for generative adversarial networks, as free functions on logits.

They know logits and features, not networks, and can be used from any JAX code:

>>> import jax.numpy as jnp
>>> from gan_jax import losses
>>> real_logits, fake_logits = jnp.array([2.0]), jnp.array([-1.0])
>>> loss = losses.non_saturating_discriminator_loss(real_logits, fake_logits)
>>> print(loss.round(2))
[0.44]
"""

from gan_jax.losses.adversarial import (
  hinge_discriminator_loss,
  hinge_generator_loss,
  least_squares_discriminator_loss,
  least_squares_generator_loss,
  minimax_discriminator_loss,
  minimax_generator_loss,
  non_saturating_discriminator_loss,
  non_saturating_generator_loss,
  wasserstein_discriminator_loss,
  wasserstein_generator_loss,
)
from gan_jax.losses.complement import low_density_loss, pull_away_loss
from gan_jax.losses.contrastive import patch_nce_loss
from gan_jax.losses.matching import (
  feature_matching_loss,
  historical_averaging_loss,
)
from gan_jax.losses.reconstruction import (
  cycle_consistency_loss,
  identity_loss,
  l1_loss,
)
from gan_jax.losses.relativistic import (
  relativistic_average_discriminator_loss,
  relativistic_average_generator_loss,
  relativistic_discriminator_loss,
  relativistic_generator_loss,
)
from gan_jax.losses.selection import top_k_mean, top_k_schedule
from gan_jax.losses.semi_supervised import (
  class_probabilities,
  conditional_entropy,
  gan_logits,
  real_probability,
  semi_supervised_discriminator_loss,
  supervised_loss,
  unlabelled_loss,
)

__all__ = (
  'class_probabilities',
  'conditional_entropy',
  'cycle_consistency_loss',
  'feature_matching_loss',
  'gan_logits',
  'hinge_discriminator_loss',
  'hinge_generator_loss',
  'historical_averaging_loss',
  'identity_loss',
  'l1_loss',
  'least_squares_discriminator_loss',
  'least_squares_generator_loss',
  'low_density_loss',
  'minimax_discriminator_loss',
  'minimax_generator_loss',
  'non_saturating_discriminator_loss',
  'non_saturating_generator_loss',
  'patch_nce_loss',
  'pull_away_loss',
  'real_probability',
  'relativistic_average_discriminator_loss',
  'relativistic_average_generator_loss',
  'relativistic_discriminator_loss',
  'relativistic_generator_loss',
  'semi_supervised_discriminator_loss',
  'supervised_loss',
  'top_k_mean',
  'top_k_schedule',
  'unlabelled_loss',
  'wasserstein_discriminator_loss',
  'wasserstein_generator_loss',
)
