"""Flags, error handling and exit statuses that the commands share."""

from gan_jax.commands.cli.call import PROGRAM, call, launch
from gan_jax.commands.cli.closing import closing_lines
from gan_jax.commands.cli.flags import (
  Flags,
  config_of,
  define_checkpoint,
  define_config,
  define_data_dir,
  define_path,
  define_seed,
  parse_range,
)
from gan_jax.core.errors import InputError

__all__ = [
  'PROGRAM',
  'Flags',
  'InputError',
  'call',
  'closing_lines',
  'config_of',
  'define_checkpoint',
  'define_config',
  'define_data_dir',
  'define_path',
  'define_seed',
  'launch',
  'parse_range',
]
