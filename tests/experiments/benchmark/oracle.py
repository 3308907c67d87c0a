"""One step of plain gradient descent, ours and a PyTorch peer's, compared."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from gan_jax.data.batches import to_unit_range
from gan_jax.systems.system import Network
from tests.changes import with_sgd


def descend(config):
  """The config with optimisers that show the raw gradient in a step.

  That they do to the parameters' rounding, at a rate of 1.
  """
  return with_sgd(config, 1.0, **{'ema.name': 'none'})


def weights_of(state):
  """Our players' weights, on the host, as a peer takes them."""
  state = jax.device_get(state)
  return {
    'generator': state.generator.weights,
    'discriminator': state.discriminator.weights,
  }


def our_step(program, state, batch):
  """Our state after a step, and its metrics."""
  batch = jax.tree.map(
    lambda x: to_unit_range(jnp.asarray(x)) if x.dtype == np.uint8 else x, batch
  )
  step = jax.jit(program.system.train_step)
  return step(state, batch, program.key('train'))


def assert_step_agrees(program, state, batch, peer, *noise, rounding=1e-6):
  """Losses, raw gradients and parameters after the step.

  `noise` is what the peer's step takes after the batch. `rounding` is what a
  gradient that should be 0, a bias's before BatchNorm, is allowed beside the
  largest one's norm.
  """
  new, metrics = our_step(program, state, batch)
  losses = peer.step(batch, *noise)
  assert_allclose(metrics['d_loss'], losses['discriminator'].item(), rtol=2e-6)
  assert_allclose(metrics['g_loss'], losses['generator'].item(), rtol=1e-5)
  old, new = weights_of(state), weights_of(new)
  for name, network in peer.players.items():
    moved = jax.tree.map(jnp.subtract, old[name].params, new[name].params)
    gradients, params = peer.to_torch(moved), peer.to_torch(new[name].params)
    trained = {
      key: p for key, p in network.named_parameters() if p.requires_grad
    }
    theirs = {key: p.grad.numpy() for key, p in trained.items()}
    assert set(gradients) == set(theirs)
    floor = rounding * max(np.linalg.norm(x) for x in theirs.values())
    for key, p in trained.items():
      error = np.linalg.norm(gradients[key] - theirs[key])
      own = 2**-23 * np.linalg.norm(params[key])
      bound = 1e-3 * np.linalg.norm(theirs[key]) + own + floor
      assert error < bound, (name, key)
      size = max(1.0, np.abs(params[key]).max())
      assert_allclose(
        p.detach().numpy(), params[key], rtol=0, atol=2 * rounding * size
      )


def moved(state):
  """The state with parameters off their start, where all biases are 0."""
  rng = np.random.default_rng(0)

  def move(player):
    return player.replace(
      params=jax.tree.map(
        lambda p: p + rng.normal(0.0, 0.1, p.shape).astype(np.float32),
        player.params,
      )
    )

  return state.replace(
    generator=move(state.generator), discriminator=move(state.discriminator)
  )


def count(network):
  """A peer's network's parameters."""
  return sum(p.numel() for p in network.parameters())


def count_ours(module, *shape):
  """Those of ours, for images of this shape."""

  def init(key):
    return Network(module, (jnp.zeros(shape),)).init(key).params

  params = jax.eval_shape(init, jax.random.key(0))
  return sum(x.size for x in jax.tree.leaves(params))
