import pytest


@pytest.fixture
def refused(command):
  """Calls a command with bad input: one line with the message, and status 2."""

  def run(message, name, *args):
    done = command(name, *args, status=2)
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1
    assert message in done.stderr
    return done

  return run
