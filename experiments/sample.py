"""Saves a grid of samples from a run's newest checkpoint.

python -m experiments.sample --workdir=runs/a --num=64 --output=samples.png
"""

import pathlib

from absl import flags

from gan_jax import cli

_WORKDIR = flags.DEFINE_string('workdir', None, 'Run directory.', required=True)
_NUM = flags.DEFINE_integer('num', 64, 'Number of samples.', lower_bound=1)
_SEED = flags.DEFINE_integer(
  'seed', 0, 'Seed of z.', lower_bound=0, upper_bound=2**32 - 1
)
_COLUMNS = flags.DEFINE_integer(
  'columns', 8, 'Samples in a row of the grid.', lower_bound=1
)
_OUTPUT = flags.DEFINE_string('output', None, 'PNG file.', required=True)


def main():
  output = pathlib.Path(_OUTPUT.value)
  if output.suffix.lower() != '.png':
    raise cli.InputError(f'--output={output}: want a name that ends in .png')
  from gan_jax.reporting import images
  from gan_jax.training import restore

  samples = restore.sample(_WORKDIR.value, num=_NUM.value, seed=_SEED.value)
  for name, panel in samples.items():
    path = output
    if len(samples) > 1:
      path = output.with_stem(f'{output.stem}_{name}')
    images.save_png(path, images.grid(panel, _COLUMNS.value))
    print(path)


if __name__ == '__main__':
  cli.run(main)
