"""The feature extractors that a flag or a config can name."""

import jax
import jax.numpy as jnp

from gan_jax.core.errors import InputError
from gan_jax.data.batches import to_unit_range
from gan_jax.evaluation import inception_weights
from gan_jax.evaluation.extractors import Extractor, random_extractor
from gan_jax.runs.fingerprint import sha256_of_tree
from gan_jax.runs.restore import load_run

HELP = (
  'the run directory of a classifier that was trained on all labels '
  '(configs/digits_classifier.py), inception:FILE with weights from '
  'experiments.convert_inception, or random, for smoke tests only'
)
_FILE = (
  'write inception:FILE, with what experiments.convert_inception makes of the '
  'published weights, or take a classifier of your own data '
  '(configs/digits_classifier.py), which needs none'
)


def open_extractor(spec: str | None) -> Extractor:
  """The extractor that `spec` names; see HELP.

  Raises:
    InputError: none is named, or what is named cannot be used.
  """
  if not spec:
    raise InputError(f'no extractor is given; name one: {HELP}')
  if spec == 'random':
    return random_extractor(sha256_of_tree)
  kind, _, path = spec.partition(':')
  if kind == 'inception':
    if not path:
      raise InputError(f'--extractor={spec} names no file of weights; {_FILE}')
    return _inception(path)
  return _classifier(spec)


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
  """The newest checkpoint of a run of a system that has `embed`."""
  run = load_run(workdir)
  embed = run.system.embed
  if embed is None:
    raise InputError(
      f'{run.directory.path} holds a run of system {run.config.system}, which '
      f'is no classifier to measure images by; name {HELP}'
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
