import pytest

from gan_jax.core.errors import InputError
from gan_jax.sweep.comparison import Row, compare, to_markdown
from tests.conftest import ROOT


def test_the_table_pairs_the_seeds_that_both_have():
  rows = [
    Row('ours', {0: 0.1, 1: 0.2, 2: 0.3}),
    Row('theirs', {2: 0.5, 1: 0.2}),
    Row('none', {7: 0.25}),
  ]
  rows += [Row('failed', {}), Row('better', {0: 0.08})]
  first, second, third, failed, better = to_markdown(rows).splitlines()[2:]
  assert failed == '| failed | 0 |  |  |  |'
  assert '-2.00% (the first is 25% higher)' in better
  assert first == '| ours | 3 | 20.00% ± 10.00% |  | 10.0 20.0 30.0 |'
  # Differences 0.2 and 0.0: the error of their mean is 0.1.
  assert second == (
    '| theirs | 2 | 35.00% ± 21.21% | +10.00% ± 10.00% (the first is 29% '
    'lower) | 50.0 20.0 |'
  )
  assert third == '| none | 1 | 25.00% |  | 25.0 |'


@pytest.fixture
def configs(tmp_path):
  """Two config files of the toy; the second diverges from seed 1 on."""
  paths = []
  for name, rate in (('good', 1e-3), ('bad', 1e30)):
    path = tmp_path / f'{name}.py'
    path.write_text(
      'from gan_jax.systems import base, sized\n'
      'def get_config(arg):\n'
      "  config = base('toy')\n"
      "  config.parallel = 'jit'\n"
      f'  config.optimizer.discriminator.learning_rate = {rate}\n'
      "  return sized(config, 'smoke')\n"
    )
    paths.append(str(path))
  return paths


@pytest.mark.systems
def test_a_run_that_fails_loses_no_other(configs, tmp_path, capsys):
  result = compare(configs[::-1], [0, 1], tmp_path / 'out')
  assert set(result.failed) == {'bad-labels0', 'bad-labels1'}
  assert '| good | 2 |' in result.table
  assert 'Failed:\n\n- bad-labels0: ' in result.table
  assert (tmp_path / 'out/table.md').read_text() == result.table
  out = capsys.readouterr().out
  assert '4/4 good-labels1: test error' in out
  again = compare(configs[:1], [0, 1], tmp_path / 'out')
  assert 'is finished: 8 steps' in capsys.readouterr().out
  assert again.failed == {}


def test_what_cannot_be_compared(configs, tmp_path):
  with pytest.raises(InputError, match='two configs are called good'):
    compare([configs[0], configs[0]], [0], tmp_path / 'out')
  gan = str(ROOT / 'configs/mnist_gan.py:smoke')
  with pytest.raises(InputError, match='mnist_gan: system gan does not class'):
    compare([configs[0], gan], [0], tmp_path / 'out')
  supervised = str(ROOT / 'configs/digits_supervised.py:smoke')
  svhn = str(ROOT / 'configs/svhn_ssgan.py:smoke')
  with pytest.raises(InputError, match='different data, digits, svhn_cropped'):
    compare([supervised, svhn], [0], tmp_path / 'out')
  assert not (tmp_path / 'out').exists()
