"""Call of a command: turns its exceptions into one line and an exit status.

0            success
1            failure: training diverged, a verification failed
2            bad input, explained in one line on stderr
128 + n      stopped by signal n; training saves its state first
"""

import contextlib
import faulthandler
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence

from absl import flags
from absl import logging as absl_logging

from gan_jax.commands.cli.flags import Flags
from gan_jax.core import os_errors
from gan_jax.core.errors import InputError

_OUT_OF_MEMORY = (
  "the device's memory is full; in training a smaller config.data.batch_size "
  'takes less, and, where the system allows it, config.train.num_microbatches, '
  'config.model.generator.remat=True or config.dtype=bfloat16, each in a new '
  '--workdir (docs/scaling.md)'
)

PROGRAM = 'gan-jax'


def call(
  name: str,
  doc: str,
  define: Callable[[Flags], None],
  run: Callable[..., int | None],
  argv: Sequence[str] | None,
  *,
  positional: bool = False,
) -> int:
  """Calls a command.

  Args:
    name: the command's name in the usage line.
    doc: the text of --help before the list of flags.
    define: defines the command's flags.
    run: takes the flags and, one by one, the positional arguments.
    argv: the arguments after the command; None: those of this process.
    positional: whether the command takes positional arguments.

  Returns:
    The exit status.
  """
  argv = sys.argv[1:] if argv is None else argv
  values = Flags(argv)
  flags.DEFINE_integer(
    'verbosity', None, "Verbosity of the libraries' own messages: 1 shows all "
    'of them, -1 warnings; by default they are silent.', flag_values=values,
  )  # fmt: skip
  define(values)
  if {'-h', '-help', '--help', '-?'} & {*argv}:
    print(_help(name, doc, values, positional))
    return 0
  if not flags.FLAGS.is_parsed():  # libraries read it; it holds none of ours
    flags.FLAGS.mark_as_parsed()
  try:
    rest = _parse(values, positional=positional)
  except InputError as error:
    return _fail(f'{error} (--help lists the flags)', 2)
  with _messages(values.verbosity):
    return _guarded(run, values, rest)


def launch(main: Callable[[], int]) -> None:
  """Runs a command and ends this process with its exit status."""
  faulthandler.enable()
  status = main()
  _silence()  # orbax's threads may outlive the command
  sys.exit(status)


def _help(name: str, doc: str, values: Flags, positional: bool) -> str:
  rest = ' [RUN_DIR ...]' if positional else ''
  listed = values.get_help(include_special_flags=False).splitlines()
  return '\n'.join([
    f'usage: {name} [--FLAG=VALUE ...]{rest}\n\n{doc.strip()}\n',
    *(line for line in listed if line.startswith('  ')),  # without headings
  ])  # fmt: skip


def _guarded(
  run: Callable[..., int | None], values: Flags, rest: Sequence[str]
) -> int:
  """Returns the status of `run`; turns exceptions into a line and a status."""
  # Imported late: --help should not wait for them.
  from gan_jax.devices import compile_cache, hosts
  from gan_jax.training.meter import Diverged
  from gan_jax.training.signals import Stopped

  compile_cache.enable()
  try:
    with compile_cache.mended():
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
        f'{error}; if another process has ended, the same commands resume '
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
  """Silences the libraries' messages unless `verbosity` asks for them.

  These are orbax's commentary, its logged tracebacks of errors that it also
  raises, and the complaints of abandoned readers of a damaged checkpoint.
  """
  logger, hook = logging.getLogger('asyncio'), sys.unraisablehook
  before = absl_logging.get_verbosity(), logger.level
  with warnings.catch_warnings():
    # Such images are rejected with a message of our own.
    warnings.filterwarnings('ignore', 'Image size .* exceeds limit')
    if verbosity is None:
      _silence()
    else:
      absl_logging.set_verbosity(verbosity)
    try:
      yield
    finally:
      absl_logging.set_verbosity(before[0])
      logger.setLevel(before[1])
      sys.unraisablehook = hook


def _silence() -> None:
  """Drops orbax's logs, and those of its abandoned threads and event loops."""
  absl_logging.set_verbosity(absl_logging.FATAL)
  logging.getLogger('asyncio').setLevel(logging.CRITICAL)
  hook = sys.unraisablehook

  def quiet(event):
    loop = 'EventLoop' in getattr(event.object, '__qualname__', '')
    if not loop and str(event.exc_value) != 'Event loop is closed':
      hook(event)

  sys.unraisablehook = quiet
  warnings.filterwarnings('ignore', 'coroutine .* was never awaited')


def _parse(values: Flags, *, positional: bool) -> Sequence[str]:
  """Parses the flags and returns the positional arguments.

  Raises:
    InputError: a flag cannot be parsed, or an argument is unexpected.
  """
  try:
    _, *rest = values(values.take_overrides())
  except flags.Error as error:
    raise InputError(str(error)) from error
  if rest and not positional:
    raise InputError(f'unexpected argument {rest[0]!r}; flags start with --')
  return rest
