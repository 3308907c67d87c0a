"""The systems, by the names that config files use."""

import functools
import json
from collections.abc import Callable

from gan_jax import config as cfg
from gan_jax.core.errors import choice
from gan_jax.data.spec import DataSpec, DomainSpec
from gan_jax.systems import (
  cyclegan,
  gan,
  improved_gan,
  pix2pix,
  ssgan,
  supervised,
)
from gan_jax.systems.system import System

SYSTEMS = {
  'cyclegan': cyclegan,
  'gan': gan,
  'improved_gan': improved_gan,
  'pix2pix': pix2pix,
  'ssgan': ssgan,
  'supervised': supervised,
}


def make_system(
  config, data_spec: DataSpec | DomainSpec, axis_name: str | None = None
) -> System:
  """The system that `config.system` names, built from the rest of `config`.

  The same values give the same functions, so that whoever compiles them again,
  such as the next run of a sweep over seeds, finds them compiled.
  """
  if config.system not in SYSTEMS:
    raise choice('system', config.system, SYSTEMS)
  values = config.to_dict()
  for key in ('seed', 'log', 'checkpoint', 'eval'):  # no system knows them
    values.pop(key, None)
  values['data'].pop('label_seed', None)
  make = SYSTEMS[config.system].make_system
  return _made(make, json.dumps(values), data_spec, axis_name)


@functools.lru_cache(maxsize=8)
def _made(
  make: Callable[..., System],
  config: str,
  data_spec: DataSpec | DomainSpec,
  axis_name: str | None,
) -> System:
  # A copy of its own: whoever changes the config later changes no system.
  return make(cfg.from_json(config), data_spec, axis_name)
