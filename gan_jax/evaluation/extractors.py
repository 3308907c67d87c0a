"""Feature extractors for FID and other metrics, and their identification."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.core.errors import InputError
from gan_jax.core.types import Array
from gan_jax.data.batches import to_unit_range
from gan_jax.data.spec import POINT
from gan_jax.data.synthetic.points import MIXTURES, Mixture
from gan_jax.data.synthetic.stacked import NUM_CHANNELS
from gan_jax.evaluation import inception_weights
from gan_jax.runs.fingerprint import sha256_of_tree
from gan_jax.runs.restore import load_run

HELP = (
  'the run directory of a classifier that was trained on all labels '
  '(configs/digits_classifier.py), stacked:RUN for stacked digits, '
  'inception:FILE with weights from gan-jax convert_inception, grid or ring '
  'for points of that data set, or random, an untrained network, for tests and '
  'for comparing runs on one data set'
)
_FILE = (
  'write inception:FILE, with a file that gan-jax convert_inception writes '
  'from the published weights, or train a classifier on your data '
  '(configs/digits_classifier.py) and name its run directory'
)
# Of the random network; other widths would make it another extractor.
_WIDTHS = (32, 64, 64)


class Extractor(NamedTuple):
  """Feature extractor: a function from images to features, and its identity.

  Two results can be compared only if all fields but `extract` agree.
  """

  name: str
  version: str
  resizer: str  # how images are resized for the network
  sha256: str  # of the weights
  # Maps uint8 images [B, H, W, C] to features [B, D] and class logits [B, K],
  # or [B, 3, K] for stacked digits; the logits are None unless the network is a
  # classifier.
  extract: Callable[[Array], tuple[Array, Array | None]]
  image_shape: tuple[int, int, int] | None  # H, W, C; None: any
  classifies: bool  # whether it returns logits
  num_labels: int = 1  # of an image
  mixture: Mixture | None = None  # for points, which are their own features

  def describe(self) -> dict[str, str]:
    """Returns name, version and sha256, as a result records them."""
    return {
      'name': self.name,
      'version': self.version,
      'resizer': self.resizer,
      'sha256': self.sha256,
    }


def random_extractor(sha256_of: Callable[[object], str]) -> Extractor:
  """Returns an untrained network, for tests and for comparing runs.

  It has three 3x3 convolutions of stride 2 with weights from a fixed key, and
  averages over the image. Gray images are repeated to three channels. Its
  distances rank runs on the same data; they compare with nothing published.

  Args:
    sha256_of: computes the hash of a pytree.
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


def open_extractor(spec: str | None) -> Extractor:
  """Opens the extractor that `spec` names; see HELP.

  Raises:
    InputError: `spec` is empty, or names no usable extractor.
  """
  if not spec:
    raise InputError(
      'the metrics need a feature extractor: either train a classifier of your '
      'data (configs/digits_classifier.py with --config.data.name etc.) and '
      'give its run directory, or give inception:FILE with the published '
      'weights, converted by gan-jax convert_inception; random is for smoke '
      'tests'
    )
  if spec == 'random':
    return random_extractor(sha256_of_tree)
  if spec in MIXTURES:
    return _mixture(spec)
  kind, _, path = spec.partition(':')
  if kind == 'inception':
    if not path:
      raise InputError(f'--extractor={spec} names no file of weights; {_FILE}')
    return _inception(path)
  if kind == 'stacked':
    if not path:
      raise InputError(
        f'--extractor={spec} names no run of a classifier of single digits'
      )
    return _of_channels(_classifier(path))
  return _classifier(spec)


def _mixture(name: str) -> Extractor:
  mixture = MIXTURES[name]
  return Extractor(
    name=f'points of {name}',
    version='1',
    resizer='none',
    sha256=sha256_of_tree([np.float32(x) for x in mixture]),
    extract=lambda points: (points.reshape(len(points), -1), None),
    image_shape=POINT,
    classifies=False,
    mixture=mixture,
  )


def _of_channels(one: Extractor) -> Extractor:
  """Applies a classifier of gray images to each channel of stacked ones.

  The features of the channels are concatenated.
  """
  height, width, channels = one.image_shape
  if channels != 1:
    raise InputError(
      f'extractor stacked: takes a classifier of gray images, but that of '
      f'{one.name} takes {channels} channels'
    )

  def extract(images):
    seen = [one.extract(images[..., i : i + 1]) for i in range(NUM_CHANNELS)]
    features, logits = zip(*seen, strict=True)
    return jnp.concatenate(features, axis=-1), jnp.stack(logits, axis=1)

  return one._replace(
    name=f'{one.name}, on each channel',
    extract=extract,
    image_shape=(height, width, NUM_CHANNELS),
    num_labels=NUM_CHANNELS,
  )


def _inception(path: str) -> Extractor:
  weights = inception_weights.load(path)
  return Extractor(
    name=f'inception, {weights.variant}',
    version=str(inception_weights.VERSION),
    resizer='bilinear to 299x299 as in TensorFlow 1',
    sha256=weights.sha256,
    extract=inception_weights.make_extract(weights),
    image_shape=None,
    classifies=True,
  )


def _classifier(workdir: str) -> Extractor:
  """Opens the newest checkpoint of a run of a system that has `embed`."""
  run = load_run(workdir)
  classifier = run.system.classifier
  embed = classifier and classifier.embed
  if embed is None:
    raise InputError(
      f'{run.directory.path} holds a run of system {run.config.system}, which '
      f'is no classifier, and cannot extract features; name {HELP}'
    )
  weights = run.state.discriminator.averaged
  height, width, channels = run.spec.image_shape
  native_height, native_width = run.spec.native_size
  top, left = (height - native_height) // 2, (width - native_width) // 2
  margins = (
    (0, 0),
    (top, height - native_height - top),
    (left, width - native_width - left),
    (0, 0),
  )

  @jax.jit
  def extract(images):
    return embed(weights, to_unit_range(jnp.pad(images, margins)))

  padded = (height, width) != (native_height, native_width)
  return Extractor(
    name=f'classifier of {run.config.data.name}',
    version=f'step {run.step}',
    resizer=f'zero-padded to {height}x{width}' if padded else 'none',
    sha256=sha256_of_tree(weights),
    extract=extract,
    image_shape=(native_height, native_width, channels),
    classifies=True,
  )
