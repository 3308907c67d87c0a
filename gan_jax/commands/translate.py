"""Translates images by a run's newest checkpoint.

An image of any size is translated whole, to one of that size; the first ones of
a size take some seconds more, to compile. Sub-folders are kept. Exits with 1 if
a file could not be read, and names it at the end; the others are translated all
the same.

gan-jax translate --workdir=runs/a --input=photos --output=made
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
    'Image file, or folder of them, with sub-folders; hidden files '
    'are passed over.',
    required=True,
  )
  cli.define_path(
    values,
    'output',
    'Folder for the translations, NAME.png of each NAME.*.',
    required=True,
  )
  flags.DEFINE_enum(
    'direction',
    None,
    ['a2b', 'b2a'],
    "Default: the run's only one, or a2b.",
    flag_values=values,
  )
  cli.define_seed(values, 'Seed of the noise.')
  flags.DEFINE_bool(
    'overwrite', False, 'Replace files that are there.', flag_values=values
  )
  flags.DEFINE_float(
    'max_megapixels',
    4.0,
    'Larger images are skipped; each megapixel may take a gigabyte of memory.',
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_integer(
    'batch_size',
    8,
    'Images of one size that are translated at once; another number may round '
    'a pixel another way.',
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
