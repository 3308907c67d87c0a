"""Samples of a trained generator, interpolations, nearest training images."""

import sys
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from gan_jax.core.errors import InputError
from gan_jax.core.rng import key_for
from gan_jax.data.batches import as_stored
from gan_jax.data.dataset import crop_to_native
from gan_jax.metrics.neighbours import nearest_neighbours
from gan_jax.runs.restore import TrainedRun, load_generator, load_run_data
from gan_jax.systems.system import Latents


def sample(workdir: str, *, num: int, seed: int) -> dict[str, np.ndarray]:
  """Draws `num` samples of a run's generator; see `generate`."""
  run = load_generator(workdir)
  return generate(run, latents(run, [seed], num))


def latents(run: TrainedRun, seeds: Sequence[int], num: int = 1) -> Latents:
  """Draws the first `num` latents of each seed, seed by seed.

  Returns:
    Latents of len(seeds) * num rows; those of a seed do not depend on others.

  Raises:
    InputError: the system generates no images from noise.
  """
  if run.system.sampler is None:
    raise InputError(
      f'system {run.config.system} generates no images from noise; if it '
      'translates images, use gan-jax translate'
    )
  keys = [key_for(jax.random.key(seed), 'samples') for seed in seeds]
  return joined([run.system.sampler.draw(key, num) for key in keys])


def of_classes(
  run: TrainedRun, rows: Latents, labels: Sequence[int]
) -> Latents:
  """Returns the latents with these labels, repeated in turn.

  Raises:
    InputError: the generator has no classes, or not these.
  """
  num_classes = run.system.sampler.num_classes
  if not num_classes:
    raise InputError(
      f'the generator of {run.directory.path} has no classes '
      '(config.model.conditioning is none): give no labels'
    )
  if not set(labels) <= set(range(num_classes)):
    raise InputError(
      f'labels {", ".join(map(str, labels))}: the classes of '
      f'{run.directory.path} are 0..{num_classes - 1}'
    )
  return with_labels(rows, labels)


def with_labels(rows: Latents, labels: Sequence[int]) -> Latents:
  """Returns the latents with these labels, repeated in turn, unchecked."""
  label = np.resize(np.array(labels, np.int32), len(rows.z))
  return rows._replace(label=jnp.asarray(label))


def labels_of_grid(num: int, columns: int, num_classes: int) -> np.ndarray:
  """Returns the labels [num] of a grid in which each column has a class."""
  return (np.arange(num) % columns % num_classes).astype(np.int32)


def joined(parts: Sequence[Latents]) -> Latents:
  """Concatenates latents."""
  return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def closed_tour(run: TrainedRun, ends: Latents, num_between: int) -> Latents:
  """Interpolates along a closed loop through N latents.

  Returns:
    Latents of N * (num_between + 1) rows: each given one, followed by
    `num_between` interpolations to the next.
  """
  steps = num_between + 1
  following = jax.tree.map(lambda x: jnp.roll(x, -1, axis=0), ends)
  on_the_way = [
    run.system.sampler.interpolate(ends, following, i / steps)
    for i in range(steps)
  ]
  # The given latents exactly, not up to rounding.
  on_the_way[0] = on_the_way[0]._replace(z=ends.z)
  return jax.tree.map(
    lambda *x: jnp.stack(x, axis=1).reshape(-1, *x[0].shape[1:]), *on_the_way
  )


def generate(
  run: TrainedRun, rows: Latents, batch_size: int = 1
) -> dict[str, np.ndarray]:
  """Generates images from N latents with a run's generator.

  Returns:
    Panels by name, each uint8 [N, H, W, C] without padding, or float32 points
    [N, 1, 1, 2]. An image does not
    depend on the other rows; with another `batch_size`, XLA may round it
    differently.
  """
  batches = list(generate_batches(run, rows, batch_size))
  return {
    name: np.concatenate([batch[name] for batch in batches])
    for name in batches[0]
  }


def generate_batches(
  run: TrainedRun, rows: Latents, batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
  """Yields the images of `generate`, at most `batch_size` at a time."""
  function, convert = jax.jit(run.system.sampler.generate), jax.jit(as_stored)
  weights = run.state.generator.averaged
  rows = jax.tree.map(np.asarray, rows)  # slicing it costs less
  num = len(rows.z)
  bar = tqdm(
    total=num, desc='generating', unit='image', disable=not sys.stderr.isatty()
  )
  with bar:
    for start in range(0, num, batch_size):
      # The last batch is padded, so that all batches share one program.
      index = np.minimum(np.arange(start, start + batch_size), num - 1)
      panels = function(weights, jax.tree.map(lambda x: x[index], rows))  # noqa: B023
      count = min(batch_size, num - start)
      yield {
        name: crop_to_native(
          np.asarray(convert(panel))[:count], run.spec.native_size
        )
        for name, panel in panels.items()
      }
      bar.update(count)


def beside_nearest(
  run: TrainedRun, panels: dict[str, np.ndarray], data_dir: str | None = None
) -> dict[str, np.ndarray]:
  """Interleaves samples [N, H, W, C] with their nearest training images.

  Args:
    run: an open run.
    panels: the result of `generate`.
    data_dir: the current folder of the data, if it is not the config's.

  Returns:
    Panels by name, each uint8 [2 N, H, W, C].
  """
  train = load_run_data(run, data_dir).dataset.train.image
  train = crop_to_native(train, run.spec.native_size)
  pairs = {}
  for name, panel in panels.items():
    index, _ = nearest_neighbours(panel, train)
    pairs[name] = np.stack([panel, train[index]], axis=1)
  return {
    name: pair.reshape(-1, *train.shape[1:]) for name, pair in pairs.items()
  }
