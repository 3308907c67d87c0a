"""The systems, by the names that config files use."""

from gan_jax.data.spec import DataSpec
from gan_jax.errors import choice
from gan_jax.systems import gan, improved_gan, ssgan, supervised
from gan_jax.systems.system import System

SYSTEMS = {
  'gan': gan,
  'improved_gan': improved_gan,
  'ssgan': ssgan,
  'supervised': supervised,
}


def make_system(
  config, data_spec: DataSpec, axis_name: str | None = None
) -> System:
  """The system that `config.system` names, built from the rest of `config`."""
  if config.system not in SYSTEMS:
    raise choice('system', config.system, SYSTEMS)
  return SYSTEMS[config.system].make_system(config, data_spec, axis_name)
