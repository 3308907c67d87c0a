"""Adversarial losses, by their names in config files."""

import functools
from collections.abc import Callable
from typing import NamedTuple

from gan_jax import losses
from gan_jax.config import Table, Variants, key, real

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


class Recipe(NamedTuple):
  """Training recipe of a loss's paper, as text for docs/config.md."""

  penalty: str
  normalization: str
  b1: str
  updates: str
  paper: str


RECIPES = {
  'minimax': Recipe(
    'none', 'none', '(momentum SGD)', '1', 'Goodfellow et al. 2014'
  ),
  'non_saturating': Recipe(
    'none; `r1_gamma` 10 in Mescheder et al. 2018',
    '`batch` in DCGAN; none with R1',
    '0.5; 0 with R1 (RMSprop there)',
    '1',
    'Goodfellow et al. 2014, Radford et al. 2016',
  ),
  'least_squares': Recipe(
    'none', '`batch`; `instance` in CycleGAN', '0.5', '1', 'Mao et al. 2017'
  ),
  'hinge': Recipe(
    'none', '`spectral`', '0 or 0.5', '1 or 5', 'Miyato et al. 2018'
  ),
  'wasserstein': Recipe(
    '`lambda_gp` 10', 'none (layer norm there)', '0 (b2 0.9)', '5',
    'Gulrajani et al. 2017',
  ),
  'relativistic': Recipe(
    '`r1_gamma` and `r2_gamma`, 0.05 to 150 by data set', 'none',
    '0 (b2 0.9 to 0.99)', '1', 'Huang et al. 2024',
  ),
  'relativistic_average': Recipe(
    'none, or `lambda_gp` 10', '`spectral` or `batch`', '0.5', '1',
    'Jolicoeur-Martineau 2018',
  ),
}  # fmt: skip
_SMOOTHED = ('minimax', 'non_saturating')


def options(default: str) -> Table:
  """Returns the rows of `loss.adversarial` with the given default loss."""
  smoothing = key(
    0.0,
    real(0.0, 0.5, exclusive=True),
    'one-sided label smoothing: the label of real images is 1 minus this',
  )
  choices = {
    name: {'label_smoothing': smoothing} if name in _SMOOTHED else {}
    for name in LOSSES
  }
  return {'loss.adversarial': Variants(default, choices, 'the loss')}


def make_losses(config, axis_name: str | None) -> tuple[Callable, Callable]:
  """Returns D's and G's losses, functions of (real_logits, fake_logits)."""
  d_loss, g_loss = LOSSES[config.name]
  if config.name in _SMOOTHED:
    d_loss = functools.partial(d_loss, label_smoothing=config.label_smoothing)
  if config.name == 'relativistic_average':
    d_loss, g_loss = (
      functools.partial(loss, axis_name=axis_name) for loss in (d_loss, g_loss)
    )
  return d_loss, g_loss
