"""Translates images by a run's newest checkpoint.

An image of any size is translated whole, to one of that size; the first one of
a size takes some seconds more, to compile. Exits with 1 if a file could not be
read; the others are translated all the same.

python -m experiments.translate --workdir=runs/a --input=photos --output=made
"""

import sys

from absl import flags

from gan_jax.commands import cli

_WORKDIR = cli.define_path('workdir', None, 'Run directory.', required=True)
_INPUT = cli.define_path(
  'input', None, 'Image file, or folder of them; hidden files and subfolders '
  'are passed over.', required=True,
)  # fmt: skip
_OUTPUT = cli.define_path(
  'output', None, 'Folder for the translations, NAME.png of each NAME.*.',
  required=True,
)  # fmt: skip
_DIRECTION = flags.DEFINE_enum(
  'direction', None, ['a2b', 'b2a'], "Default: the run's only one, or a2b."
)
_SEED = flags.DEFINE_integer(
  'seed', 0, 'Seed of the noise.', lower_bound=0, upper_bound=2**32 - 1
)
_OVERWRITE = flags.DEFINE_bool(
  'overwrite', False, 'Replace files that are there.'
)
_MAX_MEGAPIXELS = flags.DEFINE_float(
  'max_megapixels', 4.0, 'Larger images are skipped; each megapixel may take a '
  'gigabyte of memory.', lower_bound=0.0,
)  # fmt: skip


def main():
  from gan_jax.inference import translate

  num, skipped = translate.translate_files(
    _WORKDIR.value,
    _INPUT.value,
    _OUTPUT.value,
    direction=_DIRECTION.value,
    seed=_SEED.value,
    overwrite=_OVERWRITE.value,
    max_megapixels=_MAX_MEGAPIXELS.value,
  )
  for message in skipped:
    print(f'skipped: {message}', file=sys.stderr)
  print(f'{num} images in {_OUTPUT.value}')
  return 1 if skipped else 0


if __name__ == '__main__':
  cli.run(main)
