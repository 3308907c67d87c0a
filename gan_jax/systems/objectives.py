"""The adversarial losses, by the names that config files use."""

import functools
from collections.abc import Callable

from gan_jax import config as cfg
from gan_jax import losses
from gan_jax.core.errors import InputError

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
_SMOOTHED = ('minimax', 'non_saturating')
SCHEMA = {
  'name': cfg.one_of(*LOSSES),
  'label_smoothing': cfg.real(0.0, 0.5, exclusive=True),  # 0 for all the others
}


def make_losses(config, axis_name: str | None) -> tuple[Callable, Callable]:
  """The losses of D and of G, functions of (real_logits, fake_logits).

  Raises:
    InputError: label smoothing for a loss that has none.
  """
  d_loss, g_loss = LOSSES[config.name]
  if config.name in _SMOOTHED:
    d_loss = functools.partial(d_loss, label_smoothing=config.label_smoothing)
  elif config.label_smoothing:
    raise InputError(
      'config.loss.adversarial.label_smoothing = '
      f'{config.label_smoothing} is for the losses {" and ".join(_SMOOTHED)}; '
      f'set it to 0 for {config.name}'
    )
  if config.name == 'relativistic_average':
    d_loss, g_loss = (
      functools.partial(loss, axis_name=axis_name) for loss in (d_loss, g_loss)
    )
  return d_loss, g_loss
