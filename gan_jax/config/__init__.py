"""Configs: tables of config keys, and config files.

A config file defines `get_config(arg)`; see `gan_jax.systems.base`.
"""

from gan_jax.config.common import COMMON, optimizer
from gan_jax.config.ranges import (
  Check,
  boolean,
  integer,
  integers,
  one_of,
  optional,
  pattern,
  real,
  size,
  some_of,
  string,
)
from gan_jax.config.schedules import (
  Schedule,
  Units,
  changes,
  make_schedule,
  schedule,
)
from gan_jax.config.table import Key, Table, Variants, key
from gan_jax.config.values import (
  differences,
  flatten,
  from_json,
  from_values,
  load_config,
  to_json,
)

__all__ = [
  'COMMON',
  'Check',
  'Key',
  'Schedule',
  'Table',
  'Units',
  'Variants',
  'boolean',
  'changes',
  'differences',
  'flatten',
  'from_json',
  'from_values',
  'integer',
  'integers',
  'key',
  'load_config',
  'make_schedule',
  'one_of',
  'optimizer',
  'optional',
  'pattern',
  'real',
  'schedule',
  'size',
  'some_of',
  'string',
  'to_json',
]
