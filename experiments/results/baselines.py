"""Scores two translations that need no network, for comparison with a run's.

One returns its input, the other the mean of the training targets, whatever the
input. Both are compared with the targets of the test split at the run's size,
like the run's own translations by gan-jax evaluate: l1, the mean absolute
difference of images in [-1, 1], and kid, by the run's config.eval.extractor.

  python -m experiments.results.baselines --workdir=runs/pix2pix \
    --output=baselines/

The run's data must be pairs. --output names a folder for copy.json and
mean.json.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from gan_jax.commands import cli
from gan_jax.core.files import write_json


def main(argv: Sequence[str] | None = None) -> int:
  return cli.call(
    'python -m experiments.results.baselines', __doc__, define, run, argv
  )


def define(values: cli.Flags) -> None:
  cli.define_path(values, 'workdir', 'A run on pairs.', required=True)
  cli.define_path(values, 'output', 'Folder for the scores.')
  flags.DEFINE_enum(
    'direction',
    'b2a',
    ['a2b', 'b2a'],
    'Which domain is translated to which.',
    flag_values=values,
  )


def run(values: cli.Flags) -> int | None:
  for name, found in baselines(values.workdir, values.direction).items():
    print(name, json.dumps(found))
    if values.output is not None:
      folder = pathlib.Path(values.output)
      folder.mkdir(parents=True, exist_ok=True)
      write_json(folder / f'{name}.json', {'scores': found})


def baselines(workdir: str, direction: str) -> dict[str, dict[str, Any]]:
  """Returns the scores of both baselines on the test split, by name.

  Raises:
    InputError: the run's data are no pairs, have no test images or different
      numbers of channels, or the run has no extractor.
  """
  from gan_jax.evaluation.extractors import open_extractor
  from gan_jax.evaluation.quality import Quality
  from gan_jax.runs import restore

  opened = restore.load_run(workdir)
  data = restore.load_run_data(opened)
  dataset = data.dataset
  if not getattr(dataset, 'aligned', False) or not len(dataset.test.a):
    raise cli.InputError(
      f'{workdir}: the baselines need test images in pairs, but its data are '
      f'{data}'
    )
  source, target = (
    _stack(getattr(dataset.test, domain)) for domain in direction.split('2')
  )
  if source.shape != target.shape:
    raise cli.InputError(
      f'{workdir}: images of {source.shape[1:]} cannot be copied to '
      f'{target.shape[1:]}'
    )
  mean = _stack(getattr(dataset.train, direction[-1])).mean(axis=0)
  mean = Image.fromarray(np.round(mean).astype(np.uint8))
  mean = np.asarray(mean.resize(target.shape[2:0:-1], Image.Resampling.BOX))
  made = {'copy': source, 'mean': np.broadcast_to(mean, target.shape)}
  settings = opened.config.eval
  quality = Quality(
    ['kid'], open_extractor(settings.extractor), batch_size=settings.batch_size
  )
  real = quality.features(target, 'targets')
  found = {}
  for name, fake in made.items():
    difference = fake.astype(np.float64) - target
    scores = quality.compare(real, quality.features(fake, name))
    scores[f'l1_{direction}'] = float(np.abs(difference).mean() / 127.5)
    found[name] = {f'test_{key}': value for key, value in scores.items()}
  return found


def _stack(images: Sequence[np.ndarray]) -> np.ndarray:
  return np.stack([images[i] for i in range(len(images))])


if __name__ == '__main__':
  cli.launch(main)
