"""Compiles a training step for an absent TPU slice: memory, FLOPs, time.

  gan-jax compile --config=configs/svhn_ssgan.py \
    --topology=v5e:2x2 --batch=512

It compiles a single step, whatever config.train.steps_per_dispatch is; for a
large network this takes many minutes. The TPU compiler needs an environment of
its own:

  python -m venv .venv-tpu
  .venv-tpu/bin/pip install -e '.[experiments,tpu-aot]'
"""

import json
import pathlib
from collections.abc import Sequence

from absl import flags

from gan_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """See `cli.call`."""
  return cli.call('gan-jax compile', __doc__, define, run, argv)


def define(values: cli.Flags) -> None:
  cli.define_config(values)
  flags.DEFINE_string(
    'topology',
    'v5e:2x2',
    'TPU generation and arrangement of chips, e.g. v4:2x2x1.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'batch',
    None,
    'Global batch size; default: config.data.batch_size.',
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_list(
    'image_shape',
    None,
    'HEIGHT,WIDTH,CHANNELS of the images; needed only where the name of the '
    'data set does not determine them.',
    flag_values=values,
  )
  flags.DEFINE_bool(
    'largest',
    False,
    'Search for the largest batch size that fits, even if --batch fits; this '
    'takes about three more compilations.',
    flag_values=values,
  )
  cli.define_path(values, 'output', 'JSON file for all the figures.')


def run(values: cli.Flags) -> int | None:
  config = cli.config_of(values)
  shape = None
  if values.image_shape is not None:
    if len(values.image_shape) != 3 or not all(
      side.isdigit() and int(side) for side in values.image_shape
    ):
      raise cli.InputError(
        f'--image_shape={",".join(values.image_shape)}: want three numbers'
      )
    shape = tuple(map(int, values.image_shape))
    if shape[0] != shape[1]:
      raise cli.InputError(
        f'--image_shape={",".join(values.image_shape)}: the networks generate '
        'square images'
      )
  if (
    values.output and not pathlib.Path(values.output).absolute().parent.is_dir()
  ):
    raise cli.InputError(f'--output={values.output}: there is no such folder')
  if values.batch is not None:
    config.data.batch_size = values.batch
  from gan_jax.tpu import aot

  found = aot.analyse(
    config, values.topology, shape, find_largest=values.largest
  )
  print(aot.to_text(found, config, values.topology))
  if values.output:
    pathlib.Path(values.output).write_text(json.dumps(found, indent=2) + '\n')
  return 1 if 'error' in found else 0
