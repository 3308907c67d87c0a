"""Prints scores of a run's checkpoint, or of two folders of images, as JSON.

Of a system that classifies, the error; of one that generates, how much samples
differ and how near they are to training images, beside the data's own figures.
With --metrics also how near made images are to real ones: fid (which brings the
kernel distance, kid, along), kid, prdc (precision, recall, density, coverage),
score (the Inception score of the extractor's classes), modes.

  python -m experiments.evaluate --workdir=runs/a
  python -m experiments.evaluate --workdir=runs/a --metrics=fid,prdc \\
    --extractor=runs/digits_classifier --num_samples=5000
  python -m experiments.evaluate --real=photos --fake=made --metrics=fid \\
    --extractor=inception:inception.npz
"""

import json

from absl import flags

from gan_jax.commands import cli

_WORKDIR = cli.define_path('workdir', None, 'Run directory.')
_REAL = cli.define_path('real', None, 'Folder of real images; with --fake.')
_FAKE = cli.define_path('fake', None, 'Folder of made ones; with --real.')
_METRICS = flags.DEFINE_string('metrics', None, 'Of fid,kid,prdc,score,modes.')
_EXTRACTOR = flags.DEFINE_string(
  'extractor',
  None,
  'What --metrics sees images with: the run directory of a classifier '
  '(configs/digits_classifier.py), inception:FILE with weights from '
  'experiments.convert_inception, or random, for smoke tests only.',
)
_SPLIT = flags.DEFINE_enum(
  'split', 'test', ['test', 'validation'], 'Which examples.'
)
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', 'latest', 'latest, best (by the config), or a step.'
)
_NUM_SAMPLES = flags.DEFINE_integer(
  'num_samples',
  500,
  'How many samples to score.',
  lower_bound=2,
  upper_bound=10**6,
)
_SEED = flags.DEFINE_integer(
  'seed', 0, 'Of the samples.', lower_bound=0, upper_bound=2**32 - 1
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where the data are now, if not where the config says.'
)


def main():
  folders = [x for x in (_REAL.value, _FAKE.value) if x is not None]
  if len(folders) == 1 or bool(folders) == bool(_WORKDIR.value):
    raise cli.InputError('give either --workdir, or both --real and --fake')
  if folders and _METRICS.value is None:
    raise cli.InputError('give --metrics, such as fid,prdc')
  from gan_jax.evaluation import scoring

  options = {'metrics': _METRICS.value, 'extractor': _EXTRACTOR.value}
  if folders:
    result = scoring.compare_folders(*folders, **options)
  else:
    result = scoring.evaluate(
      _WORKDIR.value,
      split=_SPLIT.value,
      checkpoint=_CHECKPOINT.value,
      num_samples=_NUM_SAMPLES.value,
      seed=_SEED.value,
      data_dir=_DATA_DIR.value,
      **options,
    )
  print(json.dumps(result))


if __name__ == '__main__':
  cli.run(main)
