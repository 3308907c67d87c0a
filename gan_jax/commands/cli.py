"""What the commands share: flags that fail in one line, and exit codes.

0            done
1            the answer is no: training diverged, a verification failed
2            bad input, in one line on stderr
128 + n      stopped by signal n; training saves its state first
"""

import difflib
import functools
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import ConfigDict, config_flags

from gan_jax.config import flatten, load_config
from gan_jax.core import os_errors
from gan_jax.core.errors import InputError
from gan_jax.core.files import expand

_OUT_OF_MEMORY = (
  "the device's memory is full; in training a smaller config.data.batch_size "
  'takes less, and, where the system allows it, config.train.num_microbatches, '
  'config.model.generator.remat=True or config.dtype=bfloat16, each in a new '
  '--workdir (docs/scaling.md)'
)

flags.disclaim_key_flags()  # flags belong to the module that calls define_path


def run(main: Callable[..., int | None], *, positional: bool = False) -> None:
  """Parses the flags, runs `main` and exits with its status.

  Args:
    main: takes nothing, or the arguments that are no flags, one by one.
    positional: whether there may be such arguments.
  """

  def guarded(argv: Sequence[str]) -> int:
    if not flags.FLAGS['verbosity'].present:
      _quieten_orbax()
    # Such images are refused, with a message of our own.
    warnings.filterwarnings('ignore', 'Image size .* exceeds limit')
    # Imported late: --help should not wait for them.
    from gan_jax.devices import hosts
    from gan_jax.training.meter import Diverged
    from gan_jax.training.signals import Stopped

    try:
      return main(*argv[1:]) or 0
    except Diverged as error:
      return _fail(str(error), 1)
    except Stopped as stop:
      print(stop, file=sys.stderr)
      return 128 + stop.signum
    except InputError as error:
      status = _fail(str(error), 2)
    except OSError as error:
      status = _fail(os_errors.explain(error), 2)
    except MemoryError as error:
      status = _fail(f"the machine's memory is full: {error}", 1)
    except KeyboardInterrupt:
      status = _fail('interrupted', 130)
    except Exception as error:
      if hosts.is_out_of_memory(error):
        status = _fail(f'{_OUT_OF_MEMORY}. {str(error)[:1000]}', 1)
      elif not hosts.several():
        raise
      else:
        if not hosts.is_loss(error):
          traceback.print_exc()
        status = _fail(
          f'{error}; if another process has ended, the same commands go on '
          'from the last checkpoint',
          1,
        )
    hosts.end_alone(status)
    return status

  app.run(
    guarded, flags_parser=functools.partial(_parse, positional=positional)
  )


def _fail(message: str, status: int) -> int:
  print(f'error: {" ".join(message.split())}', file=sys.stderr)
  return status


def _quieten_orbax() -> None:
  """Drops its commentary, the tracebacks that it logs of errors that it raises
  too, and what the abandoned readers of a damaged checkpoint still say.
  """
  absl_logging.set_verbosity(absl_logging.FATAL)
  logging.getLogger('asyncio').setLevel(logging.CRITICAL)
  warnings.filterwarnings('ignore', 'coroutine .* was never awaited')

  def hook(event):
    loop = 'EventLoop' in getattr(event.object, '__qualname__', '')
    if not loop and str(event.exc_value) != 'Event loop is closed':
      sys.__unraisablehook__(event)

  sys.unraisablehook = hook


def _parse(argv: Sequence[str], *, positional: bool) -> Sequence[str]:
  try:
    rest = flags.FLAGS(argv)
    if len(rest) > 1 and not positional:
      raise flags.Error(f'unexpected argument {rest[1]!r}; flags start with --')
  except Exception as error:  # a flag's, or whatever a config file raises
    try:
      message = _explain_config(argv) or str(error)
    except InputError as bad_config:
      message = str(bad_config)
    sys.exit(_fail(f'{message} (--help lists the flags)', 2))
  return rest


def _explain_config(argv: Sequence[str]) -> str | None:
  """The first --config.key that the config file does not have, if any.

  Raises:
    InputError: the config file itself is at fault.
  """
  specs = re.findall(r'--config[= ](\S+)', ' '.join(argv))
  if not specs:
    return None
  keys = dict(flatten(load_config(specs[-1])))
  for argument in argv:
    match = re.match(r'--(?:no)?config\.([^=]+)', argument)
    if match and match[1] not in keys:
      near = difflib.get_close_matches(match[1], keys, n=1)
      hint = f'; did you mean config.{near[0]}?' if near else ''
      return f'unknown config key config.{match[1]}{hint}'
  return None


class _Path(flags.ArgumentParser):
  """A path in which a leading ~ is replaced, as few shells do after --x=."""

  syntactic_help = 'a path'

  def parse(self, argument: str) -> str:
    # Kept as it is otherwise: pathlib would spoil what gs:// says.
    return str(expand(argument)) if argument.startswith('~') else argument


def define_path(
  name: str, default: str | None, help: str, *, required: bool = False
) -> flags.FlagHolder:
  """A flag whose value is a path; a leading ~ is replaced."""
  return flags.DEFINE(_Path(), name, default, help, required=required)


def define_config() -> flags.FlagHolder:
  """The flag --config=FILE[:arg], with overrides --config.key=value."""
  holder = config_flags.DEFINE_config_file(
    'config',
    None,
    'Config file, e.g. configs/digits_ssgan.py, or configs/digits_ssgan.py:'
    'smoke for a tiny run; --config.train.num_steps=500 overrides a key.',
  )
  # --help shows the main module's flags only; this one is another module's.
  flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS['config'])
  return holder


def config_of(flag: flags.FlagHolder) -> ConfigDict:
  """The value of --config; InputError if it is absent or could not be read."""
  if flag.value is None:
    raise InputError('give --config=FILE, e.g. configs/digits_ssgan.py')
  if not isinstance(flag.value, ConfigDict):  # it could not be read
    load_config(config_flags.get_config_filename(flags.FLAGS[flag.name]))
  return flag.value


def parse_range(name: str, text: str) -> list[int]:
  """'0-2,7' as [0, 1, 2, 7]."""
  numbers: list[int] = []
  for part in text.split(','):
    match = re.fullmatch(r'([0-9]+)(?:-([0-9]+))?', part.strip())
    if not match:
      raise InputError(f'--{name}={text}: want numbers such as 0-9 or 1,2,5')
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
      raise InputError(f'--{name}={text}: {part} runs backwards')
    if last - first >= 10**6:
      raise InputError(f'--{name}={text}: {part} are more than a million')
    numbers += range(first, last + 1)
  if len(set(numbers)) < len(numbers):
    raise InputError(f'--{name}={text} names a number twice')
  return numbers
