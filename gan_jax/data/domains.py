"""Images of two domains a and b, paired or unpaired."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from ml_collections import ConfigDict

from gan_jax.config import (
  boolean,
  integer,
  key,
  one_of,
  optional,
  real,
  size,
  string,
)
from gan_jax.core.errors import choice
from gan_jax.data.batches import Shuffles, check_rows, random_generator
from gan_jax.data.domain_sets import DATASETS, DomainDataset, Domains, Images
from gan_jax.data.image_files import ON_BAD_FILE, StoredImages
from gan_jax.data.preprocess import MODES, Size, make_preprocess
from gan_jax.data.spec import DomainSpec, Stream
from gan_jax.data.synthetic.random_images import made_up_domains_like


class DomainData:
  """Data set of two domains, as a config describes it.

  Args:
    config: the group `data`; see OPTIONS.
    dataset: replaces the one that `config.name` names.
    epoch_rows: training images per step; None: the batch size.

  Raises:
    InputError: no such data set, or one that does not fit the config.
  """

  OPTIONS: ClassVar = {
    'data.name': key(
      'cycle_gan/facades', string, f'one of: {", ".join(DATASETS)}'
    ),
    'data.preprocess': key(
      'resize_and_crop',
      one_of(*MODES),
      'how images are resized: resize_and_crop: to load_size, then a crop of '
      'crop_size; crop: without resizing; scale_width: to the width of '
      'load_size, height in proportion, with or without a crop; none',
      since=4,
    ),
    'data.load_size': key(
      286,
      size,
      'side to which images are resized, or (height, width), in pixels',
    ),
    'data.crop_size': key(
      256,
      size,
      'side of the random crop, or (height, width), in pixels',
    ),
    'data.num_test': key(
      0,
      optional(integer(0)),
      'test images to hold out from a folder without a test part; None: a '
      'tenth',
      since=4,
      was=None,
    ),
    'data.on_bad_file': ON_BAD_FILE,
    'data.flip': key(
      True, boolean, 'whether to mirror images with probability 1/2'
    ),
    'data.memory_gb': key(
      2.0,
      real(0.0),
      'keep decoded images in memory if they take at most this, in GB',
      free=True,
    ),
  }
  SMOKE: ClassVar = {
    'data.batch_size': 2,
    'data.num_validation': 2,
    'data.load_size': 18,
    'data.crop_size': 16,
    'log.grid': (1, 2),
  }
  SPEC = DomainSpec

  def __init__(
    self,
    config: ConfigDict,
    dataset: DomainDataset | None = None,
    *,
    epoch_rows: int | None = None,
  ):
    self._preprocess = make_preprocess(config)
    self.dataset = _load(config) if dataset is None else dataset
    self._flip = config.flip
    a, b = self.dataset.train
    self.num_train = max(len(a), len(b))
    sizes = (
      self._preprocess.crop if self._preprocess.crops else images.shape[1:3]
      for images in (a, b)
    )
    a_size, b_size = sizes
    self.spec = DomainSpec(
      a_shape=(*a_size, a.shape[-1]),
      b_shape=(*b_size, b.shape[-1]),
      aligned=self.dataset.aligned,
      steps_per_epoch=max(
        1, self.num_train // (epoch_rows or config.batch_size)
      ),
    )

  def sampler(
    self,
    batch_spec: Mapping[str, Stream],
    seed: int,
    part: tuple[int, int] = (0, 1),
  ) -> 'DomainSampler':
    """Maps a step to the batch of that step, or to one of its parts."""
    return DomainSampler(
      self.dataset.train,
      batch_spec,
      seed,
      part,
      crop=self._preprocess.crop if self._preprocess.crops else None,
      flip=self._flip,
    )

  def contents(self) -> dict[str, Any]:
    """Returns everything that results depend on, for a run to hash."""
    return {
      part: {
        domain: images
        if isinstance(images, np.ndarray)
        else images.source.sha256()
        for domain, images in getattr(self.dataset, part)._asdict().items()
      }
      for part in ('train', 'validation', 'test')
    }

  def __str__(self) -> str:
    sizes = ', '.join(
      f'{len(split.a)} + {len(split.b)} {part}'
      for part, split in zip(
        ('train', 'validation', 'test'), self.dataset[1:4], strict=True
      )
    )
    if self.dataset.num_skipped:
      sizes += f', {self.dataset.num_skipped} skipped'
    decodes = any(map(_decodes, self.dataset.train))
    return (
      f'{self.dataset.name}, {"pairs" if self.spec.aligned else "unaligned"}, '
      f'{sizes}, {self._preprocess}; '
      f'{"decoded on demand" if decodes else "kept in memory"}'
    )


class DomainSampler(Shuffles):
  """Maps a step to its batch of images of two domains.

  A stream 'ab' takes pairs, {'a': ..., 'b': ...}, both with the same crop and
  flip; a stream 'a' or 'b' takes {'image': ...} from one domain.

  Args:
    train: the training images.
    batch_spec: the streams that the system needs.
    seed: the seed of shuffles, crops and flips.
    part: index and number of equal parts of each batch; yields the part's rows.
    crop: height and width of the random crop; None: the whole image.
    flip: whether to mirror each image with probability 1/2.
  """

  def __init__(
    self,
    train: Domains,
    batch_spec: Mapping[str, Stream],
    seed: int,
    part: tuple[int, int] = (0, 1),
    *,
    crop: Size | None,
    flip: bool,
  ):
    self._images = {
      name: train._asdict()
      if stream.subset == 'ab'
      else {'image': getattr(train, stream.subset)}
      for name, stream in batch_spec.items()
    }
    self._seed, self._crop, self._flip = seed, crop, flip
    self.decodes = any(map(_decodes, train))
    streams = {}
    for name, stream in batch_spec.items():
      num = min(map(len, self._images[name].values()))
      check_rows(stream.rows, num)
      streams[name] = (np.arange(num), stream.rows)
    super().__init__(streams, seed, part)

  def __call__(self, step: int) -> dict[str, dict[str, np.ndarray]]:
    batch = {}
    for name, sources in self._images.items():
      rows, indices = [], self.indices(name, step)
      for i in self.places(name):
        rng = random_generator(self._seed, f'{name} jitter', i, step)
        jitter = make_jitter(rng, self._crop, self._flip)
        rows.append(
          {k: jitter(images[indices[i]]) for k, images in sources.items()}
        )
      batch[name] = {k: np.stack([row[k] for row in rows]) for k in sources}
    return batch


def _decodes(images: Images) -> bool:
  """Returns whether the images are decoded each time they are read."""
  return isinstance(images, StoredImages) and images.pixels is None


def make_jitter(
  rng: np.random.Generator, crop: Size | None, flip: bool
) -> Callable[[np.ndarray], np.ndarray]:
  """Draws a crop and flip; the result applies the same to every image."""
  top, left = rng.random(2)
  mirrored = rng.random() < 0.5 and flip

  def jitter(image):
    height, width = crop or image.shape[:2]
    y = int(top * (image.shape[0] - height + 1))
    x = int(left * (image.shape[1] - width + 1))
    image = image[y : y + height, x : x + width]
    return image[:, ::-1] if mirrored else image

  return jitter


def _load(config: ConfigDict) -> DomainDataset:
  if config.name not in DATASETS:
    raise choice('data set of two domains', config.name, DATASETS)
  load = made_up_domains_like if config.made_up else DATASETS[config.name]
  return load(config)
