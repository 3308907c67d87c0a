"""Translates images with a run's newest checkpoint.

Images of any size are translated whole, and keep their size; the first batch of
each size takes some seconds longer, to compile. Sub-folders are kept. Files
that cannot be read are listed at the end, and the exit status is then 1; all
others are translated.

gan-jax translate --workdir=runs/a --input=photos --output=translated
"""

import sys
from collections.abc import Sequence

from absl import flags

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax translate', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  cli.define_path(values, 'workdir', 'Run directory.', required=True)
  cli.define_path(
    values,
    'input',
    'Image file, or a folder of images, searched with its sub-folders; hidden '
    'files are ignored.',
    required=True,
  )
  cli.define_path(
    values,
    'output',
    'Folder for the translations; NAME.jpg becomes NAME.png.',
    required=True,
  )
  flags.DEFINE_enum(
    'direction',
    None,
    ['a2b', 'b2a'],
    "Direction of translation; default: the run's only one, or a2b.",
    flag_values=values,
  )
  cli.define_seed(values, 'Seed of the noise, if the translator has any.')
  flags.DEFINE_bool(
    'overwrite', False, 'Replace existing files.', flag_values=values
  )
  flags.DEFINE_float(
    'max_megapixels',
    4.0,
    'Skip images with more megapixels than this; each may take a gigabyte of '
    'memory.',
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_integer(
    'batch_size',
    8,
    'Images of equal size that are translated at once; another number may '
    'round pixels differently.',
    lower_bound=1,
    flag_values=values,
  )


def run(values: cli.Flags) -> int | None:
  from gan_jax.inference import translate

  num, skipped = translate.translate_files(
    values.workdir,
    values.input,
    values.output,
    direction=values.direction,
    seed=values.seed,
    overwrite=values.overwrite,
    max_megapixels=values.max_megapixels,
    batch_size=values.batch_size,
  )
  for message in skipped:
    print(f'skipped: {message}', file=sys.stderr)
  print(f'{num} images in {values.output}')
  return 1 if skipped else 0
