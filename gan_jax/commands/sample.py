"""Saves samples of a run as a grid, single images, arrays or an animation.

gan-jax sample --workdir=runs/a --num=64 --output=samples.png
gan-jax sample --workdir=runs/a --num=50000 --output=samples.npz
gan-jax sample --workdir=runs/a --num=1000 --output=images/
gan-jax sample --workdir=runs/a --seeds=0-7 --interpolate=15 \
  --output=tour.gif
gan-jax sample --workdir=runs/c --labels=0-9 --num=50 --output=classes.png
"""

import os
import pathlib
from collections.abc import Sequence

from absl import flags

from gan_jax.commands import cli
from gan_jax.evaluation import samples

_BATCH_SIZE = 64  # for single images and arrays


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax sample', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  cli.define_path(values, 'workdir', 'Run directory.', required=True)
  flags.DEFINE_integer(
    'num', 64, 'Number of samples.', lower_bound=1, upper_bound=10**6,
    flag_values=values,
  )  # fmt: skip
  cli.define_seed(values, 'Seed of the latents z of all samples.')
  flags.DEFINE_string(
    'seeds',
    None,
    'One sample from each seed, e.g. 0-15 or 3,7, instead of --num and --seed.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'label',
    None,
    'Class of all samples; by default drawn from the training labels.',
    lower_bound=0,
    flag_values=values,
  )
  flags.DEFINE_string(
    'labels',
    None,
    'Classes of the samples, repeated in turn, e.g. 0-9: one class per column.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'columns',
    8,
    'Samples per row of the grid; default: the number of --labels, or 8.',
    lower_bound=1,
    upper_bound=1000,
    flag_values=values,
  )
  flags.DEFINE_bool(
    'neighbours',
    False,
    'Show the nearest training image next to each sample.',
    flag_values=values,
  )
  cli.define_data_dir(values)
  flags.DEFINE_integer(
    'interpolate',
    None,
    'Write an animation instead of a grid: a closed loop through --seeds with '
    'this many frames between each seed and the next.',
    lower_bound=1,
    upper_bound=1000,
    flag_values=values,
  )
  cli.define_checkpoint(values)
  flags.DEFINE_integer(
    'batch_size',
    None,
    'Images generated at once; default: 1 for grids and animations, 64 for '
    'folders and arrays. Another batch size may round pixels differently.',
    lower_bound=1,
    flag_values=values,
  )
  cli.define_path(
    values,
    'output',
    'What to write: NAME.png, a grid; NAME/, a folder with a PNG file for each '
    'sample; NAME.npz, an array of all; NAME.gif or NAME.webp, an animation.',
    required=True,
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
  kind = _kind(values.output, values['interpolate'].present)
  _check(values, kind, seeds)
  from gan_jax.data.spec import POINT
  from gan_jax.evaluation import sample_files
  from gan_jax.runs import grids, restore

  if kind == 'folder':
    sample_files.check_folder(output)
  run = restore.load_generator(values.workdir, values.checkpoint)
  for_images = kind in ('folder', 'animation') or values.neighbours
  if run.spec.image_shape == POINT and for_images:
    raise cli.InputError(
      'the samples are points: give --output=NAME.png for a plot or NAME.npz '
      'for an array, without --neighbours'
    )
  rows = samples.latents(run, seeds, num)
  if labels is not None:
    rows = samples.of_classes(run, rows, labels)
  if kind in ('arrays', 'folder'):
    write = sample_files.write_arrays
    if kind == 'folder':
      write = sample_files.write_images
    write(run, rows, output, values.batch_size or _BATCH_SIZE)
    print(f'{len(rows.z)} images in {output}')
    return
  if kind == 'animation':
    rows = samples.closed_tour(run, rows, values.interpolate)
  panels = samples.generate(run, rows, values.batch_size or 1)
  if values.neighbours:
    panels = samples.beside_nearest(run, panels, values.data_dir)
  columns *= 2 if values.neighbours else 1
  print(*grids.save_panels(output, panels, columns), sep='\n')


def _kind(output: str, tour: bool) -> str:
  """Returns the kind of output that --output asks for."""
  kinds = {'.gif': 'animation', '.webp': 'animation'}
  if not tour:
    kinds = {'.png': 'grid', '.npz': 'arrays'}
    if output.endswith(os.sep) or pathlib.Path(output).is_dir():
      return 'folder'
  kind = kinds.get(pathlib.Path(output).suffix.lower())
  if kind is None or pathlib.Path(output).is_dir():
    raise cli.InputError(
      f'--output={output}: want a name that ends in .png, .npz or, for a '
      'folder of images, /; with --interpolate in .gif or .webp'
    )
  return kind


def _check(values: cli.Flags, kind: str, seeds: Sequence[int]) -> None:
  """Raises InputError for flags that exclude each other."""
  given = {flag for flag in ('num', 'seed', 'columns') if values[flag].present}
  for wrong, message in (
    (values['seeds'].present and given & {'num', 'seed'},
     '--seeds determines every sample: give no --num and no --seed with it'),
    (values.label is not None and values['labels'].present,
     'give either --label or --labels'),
    (max(seeds) >= 2**32, f'--seeds={values.seeds}: want numbers below 2^32'),
    (kind == 'animation' and len(seeds) < 2,
     '--interpolate needs two seeds or more, e.g. --seeds=0-7'),
    (kind != 'grid' and (values.neighbours or 'columns' in given),
     '--neighbours and --columns are for grids: give --output=NAME.png'),
    (values['data_dir'].present and not values.neighbours,
     '--data_dir goes with --neighbours only'),
  ):  # fmt: skip
    if wrong:
      raise cli.InputError(message)
