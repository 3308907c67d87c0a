"""Priors: distributions of a generator's latent z."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from gan_jax.core.rng import key_for, normal_rows, uniform_rows
from gan_jax.core.types import Array, PRNGKey
from gan_jax.models.conditional import class_weights
from gan_jax.systems.state import Weights
from gan_jax.systems.system import Latents, Sampler


class Prior(NamedTuple):
  """A distribution of z, drawn row by row (see `gan_jax.core.rng`)."""

  # (key, number of rows, axis_name=None) -> z [rows, z_dim]
  sample: Callable[..., Array]
  # (a, b, t in [0, 1]) -> z between a and b, likely under the prior
  interpolate: Callable[[Array, Array, Array], Array]
  # (number of rows) -> a NumPy expression that draws z with a random generator
  # `rng`
  in_numpy: Callable[[int], str]

  def sampler(
    self,
    generate: Callable[[Weights, Latents], dict[str, Array]],
    class_counts: Sequence[int] | None = None,
  ) -> Sampler:
    """Builds a generator's sampler.

    Args:
      generate: see `Sampler`.
      class_counts: number of training images of each class, for a
        class-conditional generator; labels are drawn in these proportions.
    """
    if class_counts is None:
      return Sampler(
        draw=lambda key, num: Latents(self.sample(key, num)),
        interpolate=lambda a, b, t: Latents(self.interpolate(a.z, b.z, t)),
        in_numpy=lambda num: {'z': self.in_numpy(num)},
        generate=generate,
      )
    num_classes = len(class_counts)
    ends = jnp.cumsum(jnp.asarray(class_counts)) / sum(class_counts)

    def draw(key, num):
      u = uniform_rows(key_for(key, 'label'), num, (), 0.0, 1.0)
      label = jnp.searchsorted(ends, u, side='right').astype(jnp.int32)
      return Latents(self.sample(key, num), jnp.minimum(label, num_classes - 1))

    def interpolate(a, b, t):
      first, second = (class_weights(x.label, num_classes) for x in (a, b))
      return Latents(
        self.interpolate(a.z, b.z, t), (1.0 - t) * first + t * second
      )

    def in_numpy(num):
      shares = [round(n / sum(class_counts), 6) for n in class_counts]
      weights = f'np.array({shares})'
      label = f'rng.choice({num_classes}, {num}, p={weights} / {weights}.sum())'
      return {'z': self.in_numpy(num), 'label': f'{label}.astype(np.int32)'}

    return Sampler(draw, interpolate, in_numpy, generate, num_classes)


def normal_prior(z_dim: int) -> Prior:
  """Builds the prior N(0, I), with spherical interpolation."""

  def sample(key: PRNGKey, num: int, axis_name: str | None = None) -> Array:
    return normal_rows(key, num, (z_dim,), axis_name)

  def in_numpy(num: int) -> str:
    return f'rng.standard_normal({(num, z_dim)}, np.float32)'

  return Prior(sample, slerp, in_numpy)


def uniform_prior(z_dim: int, low: float, high: float) -> Prior:
  """Builds the prior U(low, high)^z_dim, with linear interpolation."""

  def sample(key: PRNGKey, num: int, axis_name: str | None = None) -> Array:
    return uniform_rows(key, num, (z_dim,), low, high, axis_name)

  def lerp(a: Array, b: Array, t: Array) -> Array:
    return (1.0 - t) * a + t * b

  def in_numpy(num: int) -> str:
    return f'rng.uniform({low}, {high}, {(num, z_dim)}).astype(np.float32)'

  return Prior(sample, lerp, in_numpy)


def slerp(a: Array, b: Array, t: Array) -> Array:
  """Interpolates spherically between a and b [..., z_dim] at t in [0, 1].

  References:
    White 2016, https://arxiv.org/abs/1609.04468, section 2.1.
  """

  def unit(x):
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)

  cosine = jnp.sum(unit(a) * unit(b), axis=-1, keepdims=True)
  angle = jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
  parallel = jnp.sin(angle) < 1e-3  # float32 accuracy of arccos near ±1
  sine = jnp.where(parallel, 1.0, jnp.sin(angle))
  on_arc = jnp.sin((1.0 - t) * angle) / sine * a + jnp.sin(t * angle) / sine * b
  return jnp.where(parallel, (1.0 - t) * a + t * b, on_arc)
