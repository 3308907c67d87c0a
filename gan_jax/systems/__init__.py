"""The systems, by the names that config files use."""

from gan_jax.data.spec import DataSpec, DomainSpec
from gan_jax.errors import choice
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
  """The system that `config.system` names, built from the rest of `config`."""
  if config.system not in SYSTEMS:
    raise choice('system', config.system, SYSTEMS)
  return SYSTEMS[config.system].make_system(config, data_spec, axis_name)
