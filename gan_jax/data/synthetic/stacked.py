"""Stacked digits: three gray images as the channels of a colour image.

With ten classes of digits there are 1,000 modes, as many as there are triples.
"""

import numpy as np

from gan_jax.core.errors import InputError
from gan_jax.data.dataset import Dataset, Examples

NUM_CHANNELS = 3


def stack(dataset: Dataset) -> Dataset:
  """Stacks the images of each split at random, always in the same way.

  Each split has as many stacks as images, and each image is in one stack per
  channel. The label of digits a, b, c is 100 a + 10 b + c. Training draws new
  stacks in each pass; see `data.batches.Sampler`.

  References:
    Metz et al. 2016, https://arxiv.org/abs/1611.02163, section 3.3.1.
  """
  if dataset.train.image.shape[-1] != 1:
    raise InputError(
      f'{dataset.name} has colour images, which cannot be stacked as channels'
    )
  num_digits = dataset.num_classes
  parts = {}
  for seed, part in enumerate(('train', 'validation', 'test')):
    image, label = getattr(dataset, part)
    rng = np.random.Generator(np.random.Philox(seed))
    orders = [rng.permutation(len(label)) for _ in range(NUM_CHANNELS)]
    ones = sum(num_digits**place for place in range(NUM_CHANNELS))
    same = Examples(image.repeat(NUM_CHANNELS, -1), label * ones)
    parts[part] = restacked(same, orders, num_digits)
  return dataset._replace(
    name=f'stacked_{dataset.name}',
    num_classes=num_digits**NUM_CHANNELS,
    num_stacked=num_digits,
    **parts,
  )


def restacked(
  examples: Examples, orders: list[np.ndarray], num_digits: int
) -> Examples:
  """Builds stacks whose channels come from different examples.

  Args:
    examples: stacked images [N, H, W, 3], with their labels.
    orders: for each channel, the examples [M] to take it from.
    num_digits: number of classes of a channel.

  Returns:
    The M new stacks, and their labels.
  """
  image, label = [], 0
  for channel, order in enumerate(orders):
    image.append(examples.image[order, :, :, channel])
    place = num_digits ** (NUM_CHANNELS - 1 - channel)
    label = label + examples.label[order] // place % num_digits * place
  return Examples(np.stack(image, -1), label.astype(np.int32))
