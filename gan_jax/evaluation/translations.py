"""Evaluation of image-to-image translation: errors and pictures."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.core.types import Array, PRNGKey
from gan_jax.data.batches import to_uint8, to_unit_range
from gan_jax.data.domain_sets import Domains, Images
from gan_jax.metrics.artefacts import grid_artefact
from gan_jax.systems.state import Weights

_Translate = Mapping[str, Callable[[Weights, Array, PRNGKey], Array]]


class TranslationEvaluator:
  """Errors and pictures of a system's translations, which it compiles once.

  Args:
    translate: `Translator.ways`.
    aligned: whether each image of a has its counterpart in b.
    batch_size: images per call.
    key: the key of the noise, if the translator has any.
  """

  def __init__(
    self,
    translate: _Translate,
    *,
    aligned: bool,
    batch_size: int,
    key: PRNGKey,
  ):
    self._aligned, self._batch_size, self._key = aligned, batch_size, key
    self._ways = {
      way: jax.jit(self._panels_of(translate, way)) for way in translate
    }

  def _panels_of(self, translate: _Translate, way: str) -> Callable:
    source, target = way.split('2')
    back = translate.get(f'{target}2{source}')

    def panels(weights, image, key):
      """Returns the input, its translation, and the translation back."""
      forth_key, back_key = jax.random.split(key)
      image = to_unit_range(image)
      shown = {source: image, way: translate[way](weights, image, forth_key)}
      if back is not None:
        shown[f'{way}2{source}'] = back(weights, shown[way], back_key)
      return shown

    return panels

  def panels(
    self, weights: Weights, way: str, images: Domains, num: int
  ) -> dict[str, np.ndarray]:
    """Translates the first `num` images; returns the panels by name.

    Returns:
      Float images [num, H, W, C] in [-1, 1]: the source's, e.g. 'a'; the
      translations, 'a2b'; the translations back, 'a2b2a', if the system has
      both directions; and, if the data are aligned, the targets, 'b'.
    """
    parts = list(self._batches(weights, way, images, num))
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}

  def _batches(
    self, weights: Weights, way: str, images: Domains, num: int
  ) -> Iterator[dict[str, np.ndarray]]:
    """Yields the panels of the first `num` images, a batch at a time."""
    source, target = way.split('2')
    for start in range(0, num, self._batch_size):
      rows = range(start, min(num, start + self._batch_size))
      key = jax.random.fold_in(self._key, start)
      image = _stack(getattr(images, source), rows)
      part = self._ways[way](weights, image, key)
      if self._aligned:
        counterpart = _stack(getattr(images, target), rows)
        part |= {target: to_unit_range(jnp.asarray(counterpart))}
      # jit returns dicts in alphabetical order.
      order = (source, way, f'{way}2{source}', target)
      yield {name: np.asarray(part[name]) for name in order if name in part}

  def errors(self, weights: Weights, images: Domains) -> dict[str, float]:
    """Computes mean absolute errors over a split, for images in [-1, 1].

    Returns:
      By name: 'l1_a2b', translations against their targets, for each direction
      on aligned data; 'cycle_a', images translated forth and back against the
      originals, if the system has both directions; and 'grid_a2b', see
      `metrics.grid_artefact`, if the images are large enough.
    """
    differences = defaultdict(list)  # sum and count of each batch
    grids = {}
    for way in self._ways:
      source, target = way.split('2')
      num, translated = len(getattr(images, source)), []
      for shown in self._batches(weights, way, images, num):
        translated.append(shown[way])
        compared = {}
        if self._aligned:
          compared[f'l1_{way}'] = way, target
        if f'{way}2{source}' in shown:
          compared[f'cycle_{source}'] = f'{way}2{source}', source
        for name, (made, wanted) in compared.items():
          difference = np.abs(shown[made].astype(np.float64) - shown[wanted])
          differences[name].append((difference.sum(), difference.size))
      real = getattr(images, target)
      real = to_unit_range(_stack(real, range(len(real))))
      grid = grid_artefact(np.concatenate(translated), real)
      if grid is not None:
        grids[f'grid_{way}'] = grid
    return grids | {
      name: float(np.divide(*np.sum(parts, axis=0)))
      for name, parts in differences.items()
    }

  def names(self, split: str) -> list[str]:
    """Returns the names of the values of `errors` in a report on a split."""
    names = []
    for way in self._ways:
      if self._aligned:
        names.append(f'{split}_l1_{way}')
      if way[::-1] in self._ways:
        names.append(f'{split}_cycle_{way[0]}')
    return names

  def pictures(
    self, weights: Weights, images: Domains, num: int
  ) -> dict[str, tuple[np.ndarray, int]]:
    """Puts the panels of each image side by side, for each way.

    Returns:
      By way: uint8 [num * panels, H, W, C] and the number of panels.
    """
    pictures = {}
    for way in self._ways:
      source = getattr(images, way[0])
      shown = self.panels(weights, way, images, min(num, len(source)))
      channels = max(panel.shape[-1] for panel in shown.values())
      columns = [
        np.broadcast_to(panel, (*panel.shape[:-1], channels))
        for panel in shown.values()
      ]
      stacked = np.stack(columns, axis=1)
      flat = stacked.reshape(-1, *stacked.shape[2:])
      pictures[way] = np.asarray(to_uint8(flat)), len(columns)
    return pictures


def _stack(images: Images, rows: range) -> np.ndarray:
  return np.stack([images[i] for i in rows])
