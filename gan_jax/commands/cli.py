"""What the commands share: flags that fail in one line, and exit codes.

0            done
1            the answer is no: training diverged, a verification failed
2            bad input, in one line on stderr
128 + n      stopped by signal n; training saves its state first
"""

import contextlib
import difflib
import faulthandler
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence

from absl import flags
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

PROGRAM = 'gan-jax'

flags.disclaim_key_flags()  # a flag belongs to the module that asks for it


class Flags(flags.FlagValues):
  """The flags of one call, so that one process can make several.

  A value is an attribute, `values.workdir`; `values['seeds'].present` says
  whether it was given.
  """

  def __init__(self, argv: Sequence[str]):
    super().__init__()
    self.__dict__['argv'] = ['', *argv]  # as sys.argv, which names the program


def call(
  name: str,
  doc: str,
  define: Callable[[Flags], None],
  run: Callable[..., int | None],
  argv: Sequence[str] | None,
  *,
  positional: bool = False,
) -> int:
  """One call of a command.

  Args:
    name: how it is called.
    doc: what --help says before it lists the flags.
    define: gives the flags to their values.
    run: takes the values and, one by one, the arguments that are no flags.
    argv: what stands after the command; None: what this process was given.
    positional: whether there may be arguments that are no flags.

  Returns:
    The exit status.
  """
  argv = sys.argv[1:] if argv is None else argv
  values = Flags(argv)
  flags.DEFINE_integer(
    'verbosity', None, "Of the libraries' own messages: 1 shows all of them, "
    '-1 warnings; by default they are silent.', flag_values=values,
  )  # fmt: skip
  define(values)
  if {'-h', '-help', '--help', '-?'} & {*argv}:
    print(_help(name, doc, values, positional))
    return 0
  if not flags.FLAGS.is_parsed():  # libraries read it; ours are not in it
    flags.FLAGS.mark_as_parsed()
  try:
    rest = _parse(values, positional=positional)
  except InputError as error:
    return _fail(f'{error} (--help lists the flags)', 2)
  with _messages(values.verbosity):
    return _guarded(run, values, rest)


def launch(main: Callable[[], int]) -> None:
  """Runs a command as this process, and ends the process with its status."""
  faulthandler.enable()
  status = main()
  _silence_abandoned()  # as Python ends
  sys.exit(status)


def _help(name: str, doc: str, values: Flags, positional: bool) -> str:
  rest = ' [RUN_DIR ...]' if positional else ''
  listed = values.get_help(include_special_flags=False).splitlines()
  return '\n'.join([
    f'usage: {name} [--FLAG=VALUE ...]{rest}\n\n{doc.strip()}\n',
    *(line for line in listed if line.startswith('  ')),  # but for headings
  ])  # fmt: skip


def _guarded(
  run: Callable[..., int | None], values: Flags, rest: Sequence[str]
) -> int:
  """The status of `run`; what it raises becomes a line and a status."""
  # Imported late: --help should not wait for them.
  from gan_jax.devices import hosts
  from gan_jax.training.meter import Diverged
  from gan_jax.training.signals import Stopped

  try:
    return run(values, *rest) or 0
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


def _fail(message: str, status: int) -> int:
  print(f'error: {" ".join(message.split())}', file=sys.stderr)
  return status


@contextlib.contextmanager
def _messages(verbosity: int | None) -> Iterator[None]:
  """Unless they are asked for, drops orbax's commentary, the tracebacks that it
  logs of errors that it raises too, and what the abandoned readers of a damaged
  checkpoint still say.
  """
  logger, hook = logging.getLogger('asyncio'), sys.unraisablehook
  before = absl_logging.get_verbosity(), logger.level
  with warnings.catch_warnings():
    # Such images are refused, with a message of our own.
    warnings.filterwarnings('ignore', 'Image size .* exceeds limit')
    if verbosity is None:
      absl_logging.set_verbosity(absl_logging.FATAL)
      logger.setLevel(logging.CRITICAL)
      _silence_abandoned()
    else:
      absl_logging.set_verbosity(verbosity)
    try:
      yield
    finally:
      absl_logging.set_verbosity(before[0])
      logger.setLevel(before[1])
      sys.unraisablehook = hook


def _silence_abandoned() -> None:
  """Drops what orbax's abandoned event loops say when they are collected."""
  hook = sys.unraisablehook

  def quiet(event):
    loop = 'EventLoop' in getattr(event.object, '__qualname__', '')
    if not loop and str(event.exc_value) != 'Event loop is closed':
      hook(event)

  sys.unraisablehook = quiet
  warnings.filterwarnings('ignore', 'coroutine .* was never awaited')


def _parse(values: Flags, *, positional: bool) -> Sequence[str]:
  """The arguments that are no flags; InputError for what cannot be parsed."""
  argv = values.argv
  try:
    _, *rest = values(argv)
  except InputError:
    raise
  except Exception as error:  # a flag's, or whatever a config file raises
    raise InputError(_explain_config(argv) or str(error)) from error
  if rest and not positional:
    raise InputError(f'unexpected argument {rest[0]!r}; flags start with --')
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
  values: Flags,
  name: str,
  help: str,
  *,
  required: bool = False,
) -> None:
  """A flag whose value is a path; a leading ~ is replaced."""
  flags.DEFINE(_Path(), name, None, help, flag_values=values, required=required)


def define_data_dir(values: Flags) -> None:
  """The flag --data_dir of the commands that look at a run's data."""
  define_path(
    values, 'data_dir', 'Where the data are now, if not where the config says.'
  )


def define_checkpoint(values: Flags) -> None:
  """The flag --checkpoint of the commands that open a run."""
  flags.DEFINE_string(
    'checkpoint', 'latest', 'latest, best (by the config), or a step.',
    flag_values=values,
  )  # fmt: skip


def define_seed(values: Flags, help: str) -> None:
  """The flag --seed, 32 bits."""
  flags.DEFINE_integer(
    'seed', 0, help, lower_bound=0, upper_bound=2**32 - 1, flag_values=values
  )


def define_config(values: Flags) -> None:
  """The flag --config=FILE[:arg], with overrides --config.key=value."""
  config_flags.DEFINE_config_file(
    'config',
    None,
    'Config file, e.g. configs/digits_ssgan.py, or configs/digits_ssgan.py:'
    'smoke for a tiny run; --config.train.num_steps=500 overrides a key.',
    flag_values=values,
    sys_argv=values.argv,
  )


def config_of(values: Flags) -> ConfigDict:
  """The value of --config; InputError if it is absent or could not be read."""
  if values.config is None:
    raise InputError('give --config=FILE, e.g. configs/digits_ssgan.py')
  if not isinstance(values.config, ConfigDict):  # it could not be read
    load_config(config_flags.get_config_filename(values['config']))
  return values.config


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
