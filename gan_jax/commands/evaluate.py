"""Prints scores of a run's checkpoint, or of two folders of images, as JSON.

Of a system that classifies, the error; of one that generates, how much samples
differ and how near they are to training images, beside the data's own figures,
and how much of a grid upsampling left in them: 1 is as much as in real images.
With --metrics also how near generated images are to real ones: fid (which
brings the kernel distance, kid, along), kid, prdc (precision, recall, density,
coverage), score (the Inception score of the extractor's classes), modes. Of a
generator that has classes also class_accuracy, the share of samples that the
extractor takes for the class they were asked for, and class_fid and class_kid,
of each class and their mean.

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
  cli.define_path(values, 'workdir', 'Run directory.')
  cli.define_path(
    values,
    'real',
    'Folder of real images, or FILE.npz with an array samples; with --fake.',
  )
  cli.define_path(values, 'fake', 'The same for generated ones; with --real.')
  flags.DEFINE_integer(
    'resize',
    None,
    'With --real: resize the central square of each image to this side.',
    lower_bound=8,
    upper_bound=4096,
    flag_values=values,
  )
  flags.DEFINE_string(
    'metrics',
    None,
    'Of fid,kid,prdc,score,modes,class_accuracy,class_fid,class_kid.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'extractor',
    None,
    'What --metrics sees images with: the run directory of a classifier '
    '(configs/digits_classifier.py), inception:FILE with weights from '
    'gan-jax convert_inception, or random, for smoke tests only.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'split',
    'test',
    ['test', 'validation'],
    'Which examples.',
    flag_values=values,
  )
  cli.define_checkpoint(values)
  flags.DEFINE_integer(
    'num_samples',
    500,
    'How many samples to score.',
    lower_bound=2,
    upper_bound=10**6,
    flag_values=values,
  )
  flags.DEFINE_string(
    'labels',
    None,
    'Of a generator that has classes, those of the samples in turn, e.g. 0-9; '
    'by default they are drawn as the training set has them.',
    flag_values=values,
  )
  cli.define_seed(values, 'Of the samples.')
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
    raise cli.InputError('--labels is of a run: leave it out with --real')
  if values.resize and not folders:
    raise cli.InputError('--resize is of folders: give --real and --fake')
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
