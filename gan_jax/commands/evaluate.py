"""Prints scores of a run's checkpoint, or of two folders of images, as JSON.

For a system that classifies, this is the error. For one that generates, it is
the diversity of the samples, their distance to the nearest training images, the
same two figures for real images, and the strength of the grid artefact that
upsampling leaves (1: as in real images).

--metrics compares generated with real images: fid (which also reports kid), kid
(the kernel distance), prdc (precision, recall, density, coverage), score (the
Inception score, by the extractor's classes) and modes. For a conditional
generator there are also class_accuracy, the fraction of samples that the
extractor assigns to the requested class, and class_fid and class_kid, for each
class and on average.

  gan-jax evaluate --workdir=runs/a
  gan-jax evaluate --workdir=runs/a --metrics=fid,prdc \\
    --extractor=runs/digits_classifier --num_samples=5000
  gan-jax evaluate --workdir=runs/classes --labels=0-9 \\
    --metrics=class_accuracy,class_kid --extractor=runs/digits_classifier
  gan-jax evaluate --real=photos --fake=samples.npz --resize=64 \\
    --metrics=fid --extractor=inception:inception.npz
"""

import json
from collections.abc import Sequence

from absl import flags

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax evaluate', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  cli.define_path(values, 'workdir', 'Run directory to evaluate.')
  cli.define_path(
    values,
    'real',
    'Folder of real images, or FILE.npz with an array named samples; needs '
    '--fake.',
  )
  cli.define_path(
    values, 'fake', 'Folder or FILE.npz of generated images; needs --real.'
  )
  flags.DEFINE_integer(
    'resize',
    None,
    'With --real and --fake: crop each image to its central square and resize '
    'that to this many pixels a side.',
    lower_bound=8,
    upper_bound=4096,
    flag_values=values,
  )
  flags.DEFINE_string(
    'metrics',
    None,
    'Comma-separated metrics, out of fid,kid,prdc,score,modes,class_accuracy,'
    'class_fid,class_kid; default: none.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'extractor',
    None,
    'Feature extractor of --metrics: the run directory of a classifier '
    '(configs/digits_classifier.py), inception:FILE with weights from '
    'gan-jax convert_inception, or random, an untrained network, for tests '
    'and for comparing runs on one data set.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'split',
    'test',
    ['test', 'validation'],
    'Split of the data to evaluate on.',
    flag_values=values,
  )
  cli.define_checkpoint(values)
  flags.DEFINE_integer(
    'num_samples',
    500,
    'Number of samples to generate and score.',
    lower_bound=2,
    upper_bound=10**6,
    flag_values=values,
  )
  flags.DEFINE_string(
    'labels',
    None,
    'Classes of the samples, repeated in turn, e.g. 0-9, for a conditional '
    'generator; by default they are drawn from the training labels.',
    flag_values=values,
  )
  cli.define_seed(values, 'Seed of the samples.')
  cli.define_data_dir(values)


def run(values: cli.Flags) -> int | None:
  folders = [x for x in (values.real, values.fake) if x is not None]
  if len(folders) == 1 or bool(folders) == bool(values.workdir):
    raise cli.InputError('give either --workdir, or both --real and --fake')
  if folders and values.metrics is None:
    raise cli.InputError('give --metrics, such as fid,prdc')
  from gan_jax.evaluation import image_sets, scoring

  options = {'metrics': values.metrics, 'extractor': values.extractor}
  if folders and values.labels:
    raise cli.InputError('--labels needs --workdir: leave it out with --real')
  if values.resize and not folders:
    raise cli.InputError('--resize is for folders: give --real and --fake')
  if folders:
    result = image_sets.compare_folders(*folders, size=values.resize, **options)
  else:
    result = scoring.evaluate(
      values.workdir,
      split=values.split,
      checkpoint=values.checkpoint,
      num_samples=values.num_samples,
      seed=values.seed,
      data_dir=values.data_dir,
      labels=values.labels and cli.parse_range('labels', values.labels),
      **options,
    )
  print(json.dumps(result))
