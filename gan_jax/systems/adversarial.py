"""The adversarial losses, by the names that config files use."""

import functools
from collections.abc import Callable

from gan_jax import config as cfg
from gan_jax import losses

LOSSES = {
  'minimax': (
    losses.minimax_discriminator_loss,
    losses.minimax_generator_loss,
  ),
  'non_saturating': (
    losses.non_saturating_discriminator_loss,
    losses.non_saturating_generator_loss,
  ),
  'least_squares': (
    losses.least_squares_discriminator_loss,
    losses.least_squares_generator_loss,
  ),
  'hinge': (losses.hinge_discriminator_loss, losses.hinge_generator_loss),
  'wasserstein': (
    losses.wasserstein_discriminator_loss,
    losses.wasserstein_generator_loss,
  ),
  'relativistic': (
    losses.relativistic_discriminator_loss,
    losses.relativistic_generator_loss,
  ),
  'relativistic_average': (
    losses.relativistic_average_discriminator_loss,
    losses.relativistic_average_generator_loss,
  ),
}
_SMOOTHED = {'label_smoothing': cfg.real(0.0, 0.5, exclusive=True)}
SCHEMA = cfg.Variants(
  {name: {} for name in LOSSES}
  | {'minimax': _SMOOTHED, 'non_saturating': _SMOOTHED}
)


def make_losses(config, axis_name: str | None) -> tuple[Callable, Callable]:
  """The losses of D and of G, functions of (real_logits, fake_logits)."""
  options = dict(config)
  d_loss, g_loss = LOSSES[options.pop('name')]
  if d_loss is losses.relativistic_average_discriminator_loss:
    options['axis_name'] = axis_name
    g_loss = functools.partial(g_loss, axis_name=axis_name)
  return functools.partial(d_loss, **options), g_loss
