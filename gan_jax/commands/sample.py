"""Saves samples from a run's newest checkpoint: a grid, or an animation.

gan-jax sample --workdir=runs/a --num=64 --output=samples.png
gan-jax sample --workdir=runs/a --seeds=0-7 --interpolate=15 \
  --output=tour.gif
gan-jax sample --workdir=runs/c --labels=0-9 --num=50 --output=classes.png
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from gan_jax.commands import cli
from gan_jax.evaluation import samples


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax sample', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  cli.define_path(values, 'workdir', 'Run directory.', required=True)
  flags.DEFINE_integer(
    'num',
    64,
    'Number of samples.',
    lower_bound=1,
    upper_bound=10**6,
    flag_values=values,
  )
  cli.define_seed(values, 'Seed of all z.')
  flags.DEFINE_string(
    'seeds',
    None,
    'Instead of both: a sample of each seed, e.g. 0-15 or 3,7.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'label',
    None,
    'Of a generator that has classes, that of all samples; by default labels '
    'are drawn as the training set has them.',
    lower_bound=0,
    flag_values=values,
  )
  flags.DEFINE_string(
    'labels',
    None,
    'Those of the samples in turn, e.g. 0-9: a class in each column.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'columns',
    8,
    'Samples in a row of the grid; by default as many as --labels, or 8.',
    lower_bound=1,
    upper_bound=1000,
    flag_values=values,
  )
  flags.DEFINE_bool(
    'neighbours',
    False,
    'Put its nearest training image beside each sample.',
    flag_values=values,
  )
  cli.define_data_dir(values)
  flags.DEFINE_integer(
    'interpolate',
    None,
    'Instead of a grid, an animation with so many frames '
    'between each of --seeds and the next, the first after the last.',
    lower_bound=1,
    upper_bound=1000,
    flag_values=values,
  )
  cli.define_path(
    values, 'output', 'PNG file, or GIF or WebP of an animation.', required=True
  )


def run(values: cli.Flags) -> int | None:
  output = pathlib.Path(values.output)
  seeds, num = [values.seed], values.num
  if values['seeds'].present:
    seeds, num = cli.parse_range('seeds', values.seeds), 1
  labels = None if values.label is None else [values.label]
  if values['labels'].present:
    labels = cli.parse_range('labels', values.labels)
  columns = values.columns
  if labels and len(labels) > 1 and not values['columns'].present:
    columns = len(labels)
  given = {flag for flag in ('num', 'seed', 'columns') if values[flag].present}
  tour = values['interpolate'].present
  for wrong, message in (
    (output.suffix.lower() not in (('.gif', '.webp') if tour else ('.png',)),
     f'--output={output}: want a name that ends in .png, or in .gif or .webp '
     'with --interpolate'),
    (output.is_dir(), f'--output={output} is a folder; name a file'),
    (values['seeds'].present and given & {'num', 'seed'},
     '--seeds names every sample: give no --num and no --seed beside it'),
    (values.label is not None and values['labels'].present,
     'give either --label or --labels'),
    (max(seeds) >= 2**32, f'--seeds={values.seeds}: want numbers below 2^32'),
    (tour and len(seeds) < 2,
     '--interpolate needs two seeds or more, e.g. --seeds=0-7'),
    (tour and (values.neighbours or 'columns' in given),
     '--interpolate shows single images: give no --neighbours, no --columns'),
    (values['data_dir'].present and not values.neighbours,
     '--data_dir is of use with --neighbours only'),
  ):  # fmt: skip
    if wrong:
      raise cli.InputError(message)
  from gan_jax.runs import grids, restore

  run = restore.load_generator(values.workdir)
  z = samples.latents(run, seeds, num)
  if labels is not None:
    z = samples.of_classes(run, z, labels)
  if tour:
    z = samples.closed_tour(run, z, values.interpolate)
  panels = samples.generate(run, z)
  if values.neighbours:
    panels = samples.beside_nearest(run, panels, values.data_dir)
  columns *= 2 if values.neighbours else 1
  print(*grids.save_panels(output, panels, columns), sep='\n')
