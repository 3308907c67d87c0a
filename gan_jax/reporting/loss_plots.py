"""Curves of the adversarial losses and of their gradients over the logits."""

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np

from gan_jax import losses

LOGITS = np.linspace(-4.0, 4.0, 161, dtype=np.float32)  # the kinks lie on it

_D, _G = '_discriminator_loss', '_generator_loss'
# One scale for all pairs: steep next to flat is what there is to see.
_LOSS_LIMITS, _GRADIENT_LIMITS = (-4.5, 6.5), (-2.2, 2.2)


def pair_names() -> tuple[str, ...]:
  """The stems that both players' losses share, in the alphabet's order."""
  stems = (n.removesuffix(_D) for n in losses.__all__ if n.endswith(_D))
  return tuple(stem for stem in stems if stem + _G in losses.__all__)


def plot_losses():
  """A figure with a row for each pair of losses.

  The columns are D's loss, its gradient, G's loss and its gradient, each
  against the real logit with the fake one at 0 and the other way round. What
  leaves the common scale is cut off.

  Returns:
    A matplotlib figure.
  """
  stems = pair_names()
  size = (10.0, 0.7 + 1.7 * len(stems))
  figure = matplotlib.figure.Figure(size, dpi=90, layout='constrained')
  rows = figure.subplots(len(stems), 4, sharex=True, squeeze=False)
  for stem, row in zip(stems, rows, strict=True):
    for player, suffix, panels in ('D', _D, row[:2]), ('G', _G, row[2:]):
      _draw(getattr(losses, stem + suffix), *panels)
      panels[0].set_title(f"{player}'s loss", fontsize='small')
      panels[1].set_title(f"gradient of {player}'s loss", fontsize='small')
    row[0].set_ylabel(stem.replace('_', '\n'))
  for panel in rows[-1]:
    panel.set_xlabel('logit')
  figure.legend(
    *rows[0, 0].get_legend_handles_labels(), loc='outside upper left', ncols=2
  )
  return figure


def _draw(loss, value_panel, gradient_panel):
  """A loss and its gradient against either logit, the other one being 0."""
  zeros = jnp.zeros_like(LOGITS)
  sweeps = (
    ('against the real logit D(x), with D(G(z)) = 0', '-', (LOGITS, zeros)),
    ('against the fake logit D(G(z)), with D(x) = 0', '--', (zeros, LOGITS)),
  )
  for position, (label, style, logits) in enumerate(sweeps):
    value = jax.vmap(loss)(*logits)
    gradient = jax.vmap(jax.grad(loss, position))(*logits)
    value_panel.plot(LOGITS, value, style, label=label)
    gradient_panel.plot(LOGITS, gradient, style, label=label)
  value_panel.set_ylim(_LOSS_LIMITS)
  gradient_panel.set_ylim(_GRADIENT_LIMITS)
  for panel in value_panel, gradient_panel:
    panel.set_xticks((-4, -2, 0, 2, 4))
    panel.axhline(0.0, color='0.8', linewidth=0.8, zorder=0)
    panel.axvline(0.0, color='0.8', linewidth=0.8, zorder=0)
