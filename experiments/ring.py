"""GAN on a ring of eight Gaussians, with gan_jax's losses and penalties only.

It prints the number of modes that have 1 % of the samples within three standard
deviations, and the share of such samples: data 99 %, a uniform circle 38 %.

python -m experiments.ring
"""

import functools
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

sys.path.append('.')  # for python experiments/ring.py
from gan_jax import losses, penalties

STDDEV, BATCH, GAMMA, RATE = 0.05, 128, 0.1, 2e-3
ANGLES = jnp.arange(8) * jnp.pi / 4
CENTRES = jnp.stack([jnp.cos(ANGLES), jnp.sin(ANGLES)], axis=1)


def mlp(outputs):
  hidden = [layer for _ in range(3) for layer in (nn.Dense(64), nn.leaky_relu)]
  return nn.Sequential([*hidden, nn.Dense(outputs)])


def main(seed=0, num_steps=2000):
  generator, discriminator = mlp(2), mlp(1)
  adam = optax.adam(optax.cosine_decay_schedule(RATE, num_steps), b1=0, b2=0.99)

  def draw(g, key, num=BATCH):
    mode, noise, z = jax.random.split(key, 3)
    real = jax.random.choice(mode, CENTRES, (num,))
    real += STDDEV * jax.random.normal(noise, (num, 2))
    return real, generator.apply(g, jax.random.normal(z, (num, 2)))

  def d_loss(d, g, key):
    real, fake = draw(g, key)
    d_fn = functools.partial(discriminator.apply, d)
    loss = losses.relativistic_discriminator_loss(d_fn(real), d_fn(fake))
    r1, r2 = penalties.r1_penalty(d_fn, real), penalties.r2_penalty(d_fn, fake)
    return loss.mean() + GAMMA * (r1 + r2).mean()

  def g_loss(g, d, key):
    real, fake = (discriminator.apply(d, x) for x in draw(g, key))
    return losses.relativistic_generator_loss(real, fake).mean()

  def step(state, key):
    (d, g), moments = state
    gradients = jax.grad(d_loss)(d, g, key), jax.grad(g_loss)(g, d, key)
    updates, moments = adam.update(gradients, moments)
    return (optax.apply_updates((d, g), updates), moments), None

  d_key, g_key, train, test = jax.random.split(jax.random.key(seed), 4)
  nets = discriminator.init(d_key, CENTRES), generator.init(g_key, CENTRES)
  keys = jax.random.split(train, num_steps)
  ((_, g), _), _ = jax.lax.scan(step, (nets, adam.init(nets)), keys)
  _, samples = draw(g, test, 10_000)
  near = jnp.linalg.norm(samples[:, None] - CENTRES, axis=-1) < 3 * STDDEV
  return int((near.mean(axis=0) >= 0.01).sum()), float(near.any(axis=1).mean())


if __name__ == '__main__':
  print('{} of 8 modes, {:.0%} of the samples near one'.format(*main()))
