import pytest


@pytest.mark.parametrize(
  ('args', 'message'),
  [
    (('--workdir=configs',), 'is not a run directory'),
    (('configs',), 'is not a run directory'),
    (('a', 'b'), '--output=FILE.html'),
    ((), 'name a run directory'),
    (('--workdir=a,b',), '--output=FILE.html'),
    (('--workdir=a', '--output=x.txt'), 'ends in .html'),
    (('--workdir=a,b', '--output=x.html', '--data_dir=d'), 'one run only'),
    (('--workdir=a', '--noinsights', '--data_dir=d'), 'one run only'),
  ],
)
def test_bad_input_is_one_line(refused, args, message):
  refused(message, 'report', *args)
