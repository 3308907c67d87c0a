"""Functions from images to features, with what a result must say of them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.core.types import Array

# Of the random network; another draw would be another extractor.
_WIDTHS = (32, 64, 64)


class Extractor(NamedTuple):
  """Images to features, and all that decides which ones.

  Two results can be compared only if all but `extract` agree.
  """

  name: str
  version: str
  resizer: str  # what happens to an image before the network sees it
  sha256: str  # of the weights
  # uint8 images [B, H, W, C] to features [B, D] and, of a classifier, class
  # logits [B, K]; None of any other
  extract: Callable[[Array], tuple[Array, Array | None]]
  image_shape: tuple[int, int, int] | None  # H, W, C; None: any
  classifies: bool  # whether it gives logits

  def describe(self) -> dict[str, str]:
    """What a result records."""
    return {
      'name': self.name,
      'version': self.version,
      'resizer': self.resizer,
      'sha256': self.sha256,
    }


def random_extractor(sha256_of: Callable[[object], str]) -> Extractor:
  """A network that was never trained: for smoke tests, not for results.

  Three 3x3 convolutions at stride 2 with weights from a fixed key, and the mean
  over the image. Gray images are repeated to three channels.

  Args:
    sha256_of: the hash of a pytree.
  """
  kernels, channels = [], 3
  for layer, width in enumerate(_WIDTHS):
    key = jax.random.fold_in(jax.random.key(0), layer)
    scale = np.sqrt(2.0 / (9 * channels))
    kernels.append(scale * jax.random.normal(key, (3, 3, channels, width)))
    channels = width

  @jax.jit
  def extract(images):
    x = jnp.asarray(images, jnp.float32) / 127.5 - 1.0
    x = jnp.broadcast_to(x, (*x.shape[:3], 3))
    for kernel in kernels:
      x = jax.nn.relu(
        jax.lax.conv_general_dilated(
          x, kernel, (2, 2), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )
      )
    return x.mean(axis=(1, 2)), None

  return Extractor(
    name='random',
    version='1: never trained, for smoke tests only',
    resizer='none',
    sha256=sha256_of(kernels),
    extract=extract,
    image_shape=None,
    classifies=False,
  )
