"""CUT's losses against PyTorch's, and properties of its step."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_jax.config import load_config
from gan_jax.core.errors import InputError
from gan_jax.runs.program import build, init_state
from gan_jax.systems import cut
from gan_jax.systems.parts.patches import sample_places
from tests import made_up
from tests.changes import changed, with_sgd
from tests.conftest import ROOT
from tests.systems.steps import one_step

pytestmark = pytest.mark.usefixtures('plain_convolutions')
RATE = 0.01
FAST = {'loss.nce_identity': False, 'loss.flip_equivariance': True}
SLOW = {'loss.nce_identity': True, 'loss.flip_equivariance': False}


def config_of(**changes):
  config = load_config(str(ROOT / 'configs/facades_cut.py:smoke'))
  return changed(config, {'parallel': 'jit', **changes})


def parts_of(config):
  program = build(config, made_up.two_domains(config.data))
  return cut.make_parts(config, program.data.spec), init_state(program)


def inputs_by_hand(parts, num=2, size=16, seed=0):
  """Returns rows of a batch, and G's inputs with known patch locations."""
  rng = np.random.default_rng(seed)
  source, target = rng.uniform(-1, 1, (2, num, size, size, 3))
  key = jax.random.key(7)
  rows = {'source': source, 'target': target, 'place': jnp.arange(num)}
  return rows, cut.inputs_of(parts, rows, key)


def places_of(parts, inputs, size):
  """Returns the patch locations in each layer's map, as `embed` draws them."""
  sides = [size + 6, *[size] * 6, *[size // 2] * 4]
  return [
    np.asarray(
      jax.vmap(
        lambda key, i=i, side=side: sample_places(
          jax.random.fold_in(key, i), (side, side), parts.loss.num_patches
        )
      )(inputs.keys)
    )
    for i, layer in enumerate(parts.layers)
    for side in [sides[layer] if layer < len(sides) else size // 4]
  ]


@pytest.mark.systems
@pytest.mark.parametrize('options', [FAST, SLOW], ids=['fast', 'slow'])
def test_a_step_is_that_of_pytorch(options):
  """Compares in float64 with the authors' layers and form of the loss.

  D is updated, then G and the heads against the new D, both by plain SGD.
  """
  from tests.systems import torch_cut  # in the systems' tier only

  parts, state = parts_of(with_sgd(config_of(**options), RATE))
  rng = np.random.default_rng(0)
  params, d_params = (
    jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape), player.params)
    for player in (state.generator, state.discriminator)
  )
  source, target = rng.uniform(-1, 1, (2, 4, 16, 16, 3))
  key = jax.random.key(7)
  with jax.enable_x64(True):
    old = state.replace(
      generator=state.generator.replace(params=params),
      discriminator=state.discriminator.replace(params=d_params),
    )
    batch = {'a': {'image': target}, 'b': {'image': source}}
    new, metrics = cut.train_step(parts, old, batch, key)
    rows = {'source': source, 'target': target, 'place': jnp.arange(4)}
    inputs = cut.inputs_of(parts, rows, jax.random.fold_in(key, 0))
  assert parts.direction == 'b2a'
  mirrored = inputs.mirrored
  if mirrored is not None:
    mirrored = np.asarray(mirrored)
    assert set(mirrored) == {True, False}

  def by_torch(d_params):
    return torch_cut.losses(
      params, d_params, source, target,
      places=places_of(parts, inputs, 16), mirrored=mirrored,
      layers=parts.layers, identity=parts.loss.nce_identity,
      lambda_nce=parts.loss.lambda_nce, num_strided=1,
    )  # fmt: skip

  def descend(params, gradients):
    assert max(abs(x).max() for x in jax.tree.leaves(gradients)) > 1e-3
    return jax.tree.map(lambda p, g: p - RATE * g, params, gradients)

  want = by_torch(d_params)
  assert_allclose(metrics['d_loss'], want['d_loss'], rtol=1e-9)
  new_d = descend(d_params, want['d_gradients'])
  want = by_torch(new_d)
  for name in ('loss', 'loss_adversarial', 'nce'):
    assert_allclose(metrics[f'g_{name}'], want[name], rtol=1e-6)
  new_g = descend(params, want['gradients'])
  for found, expected in (
    (new.discriminator.params, new_d),
    (new.generator.params, new_g),
  ):
    jax.tree.map(
      lambda a, b: assert_allclose(a, b, rtol=1e-6, atol=1e-8), found, expected
    )


@pytest.mark.systems
def test_each_player_moves_in_its_own_turn():
  config = config_of()
  program = build(config, made_up.two_domains(config.data))
  old, new, metrics = one_step(program)
  for name in ('generator', 'heads'):
    before, after = (s.generator.params[name] for s in (old, new))
    moved = [
      (a != b).any()
      for a, b in zip(*map(jax.tree.leaves, (before, after)), strict=True)
    ]
    assert any(moved)
  for still, other in (('generator', 'd'), ('discriminator', 'g')):
    frozen = changed(config, {f'optimizer.{still}.learning_rate': 0.0})
    again = build(frozen, made_up.two_domains(frozen.data))
    before, after, _ = one_step(again)
    jax.tree.map(
      assert_array_equal,
      getattr(before, still).params,
      getattr(after, still).params,
    )
    assert f'{other}_loss' in metrics


def test_places_differ_and_are_each_their_own():
  places = sample_places(jax.random.key(0), (5, 7), 20)
  assert len(set(np.asarray(places))) == 20
  assert min(places) >= 0
  assert max(places) < 35
  assert len(sample_places(jax.random.key(0), (2, 3), 20)) == 6


@pytest.mark.systems
def test_the_keys_get_no_gradient():
  """The input's features are constants: only the output's get gradients."""
  parts, state = parts_of(config_of(**FAST))
  rows, inputs = inputs_by_hand(parts)

  def nce(image):
    moved = inputs._replace(image=image)
    _, metrics = cut.g_loss(
      parts, state.generator.params, jnp.asarray(rows['target'], 'float32'), {},
      state.discriminator, jnp.asarray(rows['target'], 'float32'), moved,
    )  # fmt: skip
    return metrics['nce']

  gradient = jax.jit(jax.grad(nce))(jnp.asarray(inputs.image, 'float32'))
  assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'model.heads.layers': (0, 99)},
      'block is layer 13, so it has no features of layer 99',
    ),
    ({'model.generator.name': 'unet'}, 'must be one of: resnet'),
    (
      {'data.name': 'gray_to_colour'},
      'are (16, 16, 1) and of b (16, 16, 3), but one encoder looks at both',
    ),
  ],
)
def test_what_cannot_be_compared(changes, message):
  with pytest.raises(InputError, match=re.escape(message)):
    build(config_of(**changes))
