import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax import losses
from gan_jax.reporting.loss_plots import LOGITS, pair_names, plot_losses
from gan_jax.systems.parts.objectives import LOSSES


@pytest.fixture(scope='module')
def panels():
  """The panels of each pair, by its stem."""
  axes = plot_losses().axes
  return dict(zip(pair_names(), np.reshape(axes, (-1, 4)), strict=True))


def curves(panel):
  """The lines over logits, without those that mark the zeros."""
  return [
    line.get_xydata().T for line in panel.lines if line.get_label()[0] != '_'
  ]


def test_every_pair_has_its_row(panels):
  assert set(panels) == set(LOSSES)
  for stem, row in panels.items():
    assert row[0].get_ylabel().split() == stem.split('_')


def test_the_axes_say_what_they_are(panels):
  for row in panels.values():
    assert [panel.get_title() for panel in row] == [
      "D's loss",
      "gradient of D's loss",
      "G's loss",
      "gradient of G's loss",
    ]
  for panel in panels['wasserstein']:
    assert panel.get_xlabel() == 'logit'
  (legend,) = panels['hinge'][0].figure.legends
  real, fake = (text.get_text() for text in legend.texts)
  assert real.startswith('against the real logit')
  assert fake.startswith('against the fake logit')


@pytest.mark.parametrize('stem', sorted(LOSSES))
@pytest.mark.parametrize('player', ['discriminator', 'generator'])
def test_the_lines_are_the_functions(panels, stem, player):
  loss = getattr(losses, f'{stem}_{player}_loss')
  first = 0 if player == 'discriminator' else 2
  values, gradients = map(curves, panels[stem][first : first + 2])
  for position in range(2):  # against the real logit, then the fake one

    def at(logit, position=position):
      pair = [jnp.zeros(1), jnp.zeros(1)]
      pair[position] = logit[None]
      return loss(*pair)[0]

    value, slope = jax.vmap(jax.value_and_grad(at))(LOGITS)
    assert_array_equal(values[position][0], LOGITS)
    assert_array_equal(gradients[position][0], LOGITS)
    # Batches of another shape: the same operations, to a rounding.
    assert_allclose(values[position][1], value, rtol=1e-6, atol=1e-6)
    assert_allclose(gradients[position][1], slope, rtol=1e-6, atol=1e-6)


def test_by_hand(panels):
  d_loss, d_slope, g_loss, g_slope = map(curves, panels['hinge'])
  assert d_loss[0][1][0] == 6.0  # D(x) = -4: 1 + 4, and 1 for the sample
  assert d_slope[0][1][0] == -1.0
  assert d_slope[0][1][-1] == 0.0
  assert d_loss[1][1][-1] == 6.0
  assert d_slope[1][1][-1] == 1.0
  assert g_loss[1][1][0] == 4.0
  assert_array_equal(g_loss[0][1], 0.0)
  assert_array_equal(g_slope[0][1], 0.0)
  assert_array_equal(g_slope[1][1], -1.0)


def test_a_sure_discriminator_stops_the_minimax_game_only(panels):
  """What the picture is there to show: G's gradient at D(G(z)) = -4."""
  minimax = curves(panels['minimax'][3])[1][1][0]
  non_saturating = curves(panels['non_saturating'][3])[1][1][0]
  weight = 1 / (1 + np.exp(4.0))
  assert_allclose(minimax, -weight, rtol=1e-6)
  assert_allclose(non_saturating, weight - 1, rtol=1e-6)
