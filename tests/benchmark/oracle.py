"""One step of plain gradient descent, ours and a PyTorch peer's, compared."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from gan_jax.data.batches import to_unit_range


def descend(config):
  """Makes both players' optimisers show the raw gradient in a step.

  That it does to the parameters' rounding, at a rate of 1.
  """
  for player in config.optimizer.values():
    player.name = 'sgd'
    player.learning_rate = 1.0
    player.ema_decay = 0.0


def weights_of(state):
  """Our players' weights, on the host, as a peer takes them."""
  state = jax.device_get(state)
  return {
    'generator': state.generator.weights,
    'discriminator': state.discriminator.weights,
  }


def our_step(program, state, batch):
  """Our state after a step, and its metrics."""
  batch = {
    name: {**rows, 'image': to_unit_range(jnp.asarray(rows['image']))}
    for name, rows in batch.items()
  }
  step = jax.jit(program.system.train_step)
  return step(state, batch, program.key('train'))


def assert_step_agrees(program, state, batch, peer, z, *, rounding=1e-6):
  """Losses, raw gradients and parameters after the step.

  `rounding` is what a gradient that should be 0, a bias's before BatchNorm, is
  allowed beside the largest one's norm.
  """
  new, metrics = our_step(program, state, batch)
  losses = peer.step(batch, z)
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
      assert_allclose(
        p.detach().numpy(), params[key], rtol=0, atol=2 * rounding
      )
