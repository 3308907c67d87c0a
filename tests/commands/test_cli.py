"""Flags, error handling and exit statuses that the commands share."""

import jax
import pytest
from absl import flags

from gan_jax.commands import cli
from gan_jax.core.errors import InputError
from gan_jax.devices import hosts
from gan_jax.training.meter import Diverged
from gan_jax.training.signals import Stopped
from tests.core.test_os_errors import FULL


def define(values):
  cli.define_path(values, 'output', 'Where to.')
  flags.DEFINE_integer('num', 3, 'How many.', flag_values=values)


def call(run, *argv, **options):
  return cli.call('a command', 'Does nothing.', define, run, argv, **options)


def test_a_path_flag_knows_the_home_folder(monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  parse = cli.flags._Path().parse
  assert parse('~/runs/a') == '/home/me/runs/a'
  assert parse('runs/~a') == 'runs/~a'
  assert parse('gs://bucket/a') == 'gs://bucket/a'
  with pytest.raises(InputError, match='home folder that does not exist'):
    parse('~nobody-of-this-name/a')


def test_a_call_knows_nothing_of_another():
  seen = []

  def run(values):
    seen.append((values.num, values['num'].present, values.output))

  assert call(run, '--num=5', '--output=a') == call(run) == 0
  assert seen == [(5, 1, 'a'), (3, 0, None)]


def test_arguments_are_taken_where_they_are_meant(capsys):
  seen = []
  take = lambda _, *rest: seen.extend(rest)  # noqa: E731
  assert call(take, 'a', 'b', positional=True) == 0
  assert seen == ['a', 'b']
  assert call(None, 'a') == 2
  assert capsys.readouterr().err == (
    "error: unexpected argument 'a'; flags start with -- (--help lists the "
    'flags)\n'
  )


def test_help_ends_before_anything_is_done(capsys):
  assert call(None, '--num=x', '--help') == 0
  out = capsys.readouterr().out
  assert out.startswith('usage: a command [--FLAG=VALUE ...]\n\nDoes nothing.')
  assert '  --num: How many.\n' in out
  assert '  --output: Where to.\n' in out


def raising(error):
  def run(_):
    raise error

  return run


FULL_DEVICE = jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory')


@pytest.mark.parametrize(
  ('error', 'status', 'line'),
  [
    (InputError('no such\nthing'), 2, 'error: no such thing'),
    (OSError(28, 'No space left', 'a'), 2, 'error: a: No space left; free'),
    (Diverged('d_loss is nan'), 1, 'error: d_loss is nan'),
    (MemoryError('9 GiB'), 1, "error: the machine's memory is full: 9 GiB"),
    (KeyboardInterrupt(), 130, 'error: interrupted'),
    (Stopped(15, 7), 143, 'stopped by SIGTERM at step 7, which is saved'),
    (FULL_DEVICE, 1, "error: the device's memory is full; in training a small"),
  ],
)
def test_an_error_is_a_line_and_a_status(capsys, error, status, line):
  assert call(raising(error)) == status
  err = capsys.readouterr().err
  assert err.startswith(line)
  assert err.count('\n') == 1


def test_a_mistake_of_ours_is_shown_whole():
  with pytest.raises(ZeroDivisionError):
    call(raising(ZeroDivisionError()))


def test_only_a_device_is_out_of_memory():
  assert not hosts.is_out_of_memory(ValueError(FULL))
  assert hosts.is_out_of_memory(FULL_DEVICE)
  assert not hosts.is_out_of_memory(jax.errors.JaxRuntimeError('INTERNAL: x'))
