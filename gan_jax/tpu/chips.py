"""Peak rates of TPU chips, for bounds on the time of a step."""

import re
from typing import NamedTuple

from gan_jax.core.errors import InputError


class Chip(NamedTuple):
  """A chip; https://docs.cloud.google.com/tpu/docs/system-architecture-tpu-vm."""

  flops: float  # per second, in bfloat16, the default precision of float32
  bytes: float  # per second, memory bandwidth
  hbm: float  # bytes of memory available to a program
  topologies: tuple[str, ...]  # examples of its slices


_GIB = 2**30
_FLAT = ('1x1', '2x2', '2x4', '4x4', '4x8', '8x8')
_DEEP = ('2x2x1', '2x2x2', '2x2x4', '4x4x4')
CHIPS = {
  'v4': Chip(275e12, 1.228e12, 30.75 * _GIB, _DEEP),
  'v5e': Chip(197e12, 0.819e12, 15.75 * _GIB, _FLAT),
  'v5p': Chip(459e12, 2.765e12, 95.74 * _GIB, _DEEP),
  'v6e': Chip(918e12, 1.640e12, 31.25 * _GIB, _FLAT),
}


def chip_of(topology: str) -> Chip:
  """Returns the chip of a slice such as 'v5e:2x2'.

  Raises:
    InputError: the slice is unknown; the message lists known ones.
  """
  name, _, shape = topology.partition(':')
  sides = CHIPS[name].topologies[0].count('x') if name in CHIPS else 0
  if not sides or not re.fullmatch(rf'[1-9]\d*(x[1-9]\d*){{{sides}}}', shape):
    known = ', '.join(
      f'{name}:{shape}'
      for name, chip in CHIPS.items()
      for shape in chip.topologies
    )
    raise InputError(f'unknown topology {topology!r}; known are: {known}')
  return CHIPS[name]
