"""Points in the plane from mixtures of Gaussians, with known modes."""

import itertools
import math
from typing import NamedTuple

import numpy as np

from gan_jax.core.errors import InputError
from gan_jax.data.dataset import Dataset, Examples

_NUM_TRAIN, _NUM_TEST = 100_000, 10_000
_SEEDS = {'train': 0, 'validation': 1, 'test': 2}


class Mixture(NamedTuple):
  """A mixture of equally likely Gaussians of the same deviation."""

  centres: np.ndarray  # [K, 2]
  stddev: float


MIXTURES = {
  'grid': Mixture(
    np.array([*itertools.product(range(-4, 5, 2), repeat=2)], np.float64), 0.05
  ),
  'ring': Mixture(
    np.array([
      (math.cos(math.pi * k / 4), math.sin(math.pi * k / 4)) for k in range(8)
    ]),
    0.01,
  ),
}  # fmt: skip


def load(name: str, data_dir: str | None, num_validation: int) -> Dataset:
  """Draws points of one of the MIXTURES; the labels are the modes.

  The points are float32 [N, 1, 1, 2], in the mixture's own units; each mode has
  as many as the others, up to one. They are always the same: 100,000 to train,
  10,000 to test.

  References:
    Lin et al. 2017, "PacGAN", https://arxiv.org/abs/1712.04086, section 4.1,
    and the authors' code.
  """
  if data_dir is not None:
    raise InputError(
      f'config.data.data_dir is set, but the data set {name} is drawn at '
      'random and needs none; leave it None'
    )
  mixture = MIXTURES[name]
  num_modes = len(mixture.centres)

  def draw(part, num):
    rng = np.random.Generator(np.random.Philox(_SEEDS[part]))
    label = np.arange(num) % num_modes
    noise = mixture.stddev * rng.standard_normal((num, 2))
    point = (mixture.centres[label] + noise).astype(np.float32)
    return Examples(point[:, None, None], label.astype(np.int32))

  return Dataset(
    name,
    draw('train', _NUM_TRAIN),
    draw('validation', num_validation),
    draw('test', _NUM_TEST),
    num_modes,
    (1, 1),
  )
