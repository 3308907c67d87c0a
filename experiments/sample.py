"""Saves samples from a run's newest checkpoint: a grid, or an animation.

python -m experiments.sample --workdir=runs/a --num=64 --output=samples.png
python -m experiments.sample --workdir=runs/a --seeds=0-7 --interpolate=15 \
  --output=tour.gif
"""

import pathlib

from absl import flags

from gan_jax.commands import cli

_WORKDIR = cli.define_path('workdir', None, 'Run directory.', required=True)
_NUM = flags.DEFINE_integer(
  'num', 64, 'Number of samples.', lower_bound=1, upper_bound=10**6
)
_SEED = flags.DEFINE_integer(
  'seed', 0, 'Seed of all z.', lower_bound=0, upper_bound=2**32 - 1
)
_SEEDS = flags.DEFINE_string(
  'seeds', None, 'Instead of both: a sample of each seed, e.g. 0-15 or 3,7.'
)
_COLUMNS = flags.DEFINE_integer(
  'columns', 8, 'Samples in a row of the grid.', lower_bound=1, upper_bound=1000
)
_NEIGHBOURS = flags.DEFINE_bool(
  'neighbours', False, 'Put its nearest training image beside each sample.'
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where those are now, if not where the config says.'
)
_INTERPOLATE = flags.DEFINE_integer(
  'interpolate', None, 'Instead of a grid, an animation with so many frames '
  'between each of --seeds and the next, the first after the last.',
  lower_bound=1, upper_bound=1000,
)  # fmt: skip
_OUTPUT = cli.define_path(
  'output', None, 'PNG file, or GIF or WebP of an animation.', required=True
)


def main():
  output = pathlib.Path(_OUTPUT.value)
  seeds, num = [_SEED.value], _NUM.value
  if _SEEDS.present:
    seeds, num = cli.parse_range('seeds', _SEEDS.value), 1
  tour = _INTERPOLATE.present
  for wrong, message in (
    (output.suffix.lower() not in (('.gif', '.webp') if tour else ('.png',)),
     f'--output={output}: want a name that ends in .png, or in .gif or .webp '
     'with --interpolate'),
    (output.is_dir(), f'--output={output} is a folder; name a file'),
    (_SEEDS.present and (_NUM.present or _SEED.present),
     '--seeds names every sample: give no --num and no --seed beside it'),
    (max(seeds) >= 2**32, f'--seeds={_SEEDS.value}: want numbers below 2^32'),
    (tour and len(seeds) < 2,
     '--interpolate needs two seeds or more, e.g. --seeds=0-7'),
    (tour and (_NEIGHBOURS.value or _COLUMNS.present),
     '--interpolate shows single images: give no --neighbours, no --columns'),
    (_DATA_DIR.present and not _NEIGHBOURS.value,
     '--data_dir is of use with --neighbours only'),
  ):  # fmt: skip
    if wrong:
      raise cli.InputError(message)
  from gan_jax.runs import grids, restore

  run = restore.load_generator(_WORKDIR.value)
  z = restore.latents(run, seeds, num)
  if tour:
    z = restore.closed_tour(run, z, _INTERPOLATE.value)
  panels = restore.generate(run, z)
  if _NEIGHBOURS.value:
    panels = restore.beside_nearest(run, panels, _DATA_DIR.value)
  columns = _COLUMNS.value * (2 if _NEIGHBOURS.value else 1)
  print(*grids.save_panels(output, panels, columns), sep='\n')


if __name__ == '__main__':
  cli.run(main)
