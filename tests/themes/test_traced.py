"""Traces of every config's step, which only the systems' tier runs.

The fast tier has one config of each system.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.data.batches import to_unit_range
from gan_jax.runs.program import state_shapes
from tests.themes.test_programs import CONFIGS, program_of
from tests.tiers import in_systems


def batch_of(program):
  def in_range(column):
    return to_unit_range(column) if column.dtype == np.uint8 else column

  batch = program.sampler()(0)
  return jax.eval_shape(lambda: jax.tree.map(in_range, batch))


# One config of each system.
FAST = (
  'digits_supervised', 'facades_cut', 'facades_cyclegan', 'facades_pix2pix',
  'mnist_gan', 'mnist_ssgan', 'svhn_ssgan',
)  # fmt: skip


@pytest.mark.systems
@pytest.mark.parametrize(
  'path',
  [
    *(path for path in CONFIGS if path.stem in FAST),
    *in_systems(*(path for path in CONFIGS if path.stem not in FAST)),
  ],
  ids=lambda path: path.stem,
)
def test_a_step_keeps_the_state_as_it_is_and_tells_the_losses(path):
  """It compares shapes and dtypes only."""
  program = program_of(path)
  system = program.system
  old = state_shapes(system, program.data.spec)
  new, metrics = jax.eval_shape(
    system.train_step, old, batch_of(program), program.key('train')
  )
  assert jax.tree.structure(new) == jax.tree.structure(old)
  assert jax.tree.leaves(new) == jax.tree.leaves(old)
  players = 'dg' if jax.tree.leaves(old.generator.params) else 'd'
  assert {f'{player}_loss' for player in players} <= metrics.keys()
  assert {x.shape for x in metrics.values()} == {()}
  assert {x.dtype for x in metrics.values()} == {jnp.dtype('float32')}


@pytest.mark.systems
@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_what_is_made_and_told_of_images_has_their_shapes(path):
  program = program_of(path)
  system, spec = program.system, program.data.spec
  state = state_shapes(system, spec)
  key = jax.random.key(0)
  if system.sampler is not None:
    latents = jax.eval_shape(lambda: system.sampler.draw(key, 3))
    weights = state.generator.weights
    made = jax.eval_shape(system.sampler.generate, weights, latents)
    assert made['samples'].shape == (3, *spec.image_shape)
  for function in system.classifier or ():
    if function is None:
      continue
    image = jax.ShapeDtypeStruct((3, *spec.image_shape), jnp.float32)
    told = jax.eval_shape(function, state.discriminator.weights, image)
    *features, logits = told if isinstance(told, tuple) else (told,)
    assert logits.shape == (3, spec.num_classes)
    for x in features:
      assert (len(x.shape), x.shape[0]) == (2, 3)
  ways = system.translator.ways if system.translator else {}
  for way, translate in ways.items():
    shapes = {'a': spec.a_shape, 'b': spec.b_shape}
    given, wanted = (shapes[domain] for domain in way.split('2'))
    image = jax.ShapeDtypeStruct((3, *given), jnp.float32)
    made = jax.eval_shape(translate, state.generator.weights, image, key)
    assert made.shape == (3, *wanted)
