import pytest


@pytest.fixture
def refused(command):
  """Asserts that a command rejects bad input in one line, with status 2."""

  def run(message, name, *args):
    done = command(name, *args, status=2)
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1
    assert message in done.stderr
    return done

  return run
