"""What a training step needs on a TPU slice, without one: memory, work, time.

  python -m experiments.compile --config=configs/svhn_ssgan.py \
    --topology=v5e:2x2 --batch=512

One step is compiled, whatever config.train.steps_per_dispatch says; large
networks take many minutes. The compiler wants an environment of its own:

  python -m venv .venv-tpu
  .venv-tpu/bin/pip install -e '.[experiments,tpu-aot]'
"""

import json
import pathlib

from absl import flags

from gan_jax.commands import cli

_CONFIG = cli.define_config()
_TOPOLOGY = flags.DEFINE_string(
  'topology', 'v5e:2x2', 'TPU generation and chips, such as v4:2x2x1.'
)
_BATCH = flags.DEFINE_integer(
  'batch', None, 'Rows of all devices, instead of config.data.batch_size.',
  lower_bound=1,
)  # fmt: skip
_IMAGE_SHAPE = flags.DEFINE_list(
  'image_shape', None, "HEIGHT,WIDTH,CHANNELS, if the data set's are not known."
)
_LARGEST = flags.DEFINE_bool(
  'largest', False,
  'Look for the largest batch that fits, even where --batch does: about three '
  'more compilations.',
)  # fmt: skip
_OUTPUT = cli.define_path('output', None, 'Where all figures go, as JSON.')


def main() -> int:
  config = cli.config_of(_CONFIG)
  shape = None
  if _IMAGE_SHAPE.value is not None:
    if len(_IMAGE_SHAPE.value) != 3 or not all(
      side.isdigit() and int(side) for side in _IMAGE_SHAPE.value
    ):
      raise cli.InputError(
        f'--image_shape={",".join(_IMAGE_SHAPE.value)}: want three numbers'
      )
    shape = tuple(map(int, _IMAGE_SHAPE.value))
    if shape[0] != shape[1]:
      raise cli.InputError(
        f'--image_shape={",".join(_IMAGE_SHAPE.value)}: the networks make '
        'square images'
      )
  if (
    _OUTPUT.value and not pathlib.Path(_OUTPUT.value).absolute().parent.is_dir()
  ):
    raise cli.InputError(f'--output={_OUTPUT.value}: there is no such folder')
  if _BATCH.value is not None:
    config.data.batch_size = _BATCH.value
  from gan_jax.tpu import aot

  found = aot.analyse(
    config, _TOPOLOGY.value, shape, find_largest=_LARGEST.value
  )
  print(aot.to_text(found, config, _TOPOLOGY.value))
  if _OUTPUT.value:
    pathlib.Path(_OUTPUT.value).write_text(json.dumps(found, indent=2) + '\n')
  return 1 if 'error' in found else 0


if __name__ == '__main__':
  cli.run(main)
