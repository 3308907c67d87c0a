"""Output and exit statuses of the sweep command."""

import pytest

CONFIG = '--config=configs/digits_supervised.py:smoke'


def test_help_names_the_flags_and_the_reason(command):
  out = command('sweep', '--help').stdout
  for flag in ('--seeds', '--vary', '--sweep', '--mode', '--workdir'):
    assert flag in out
  assert 'grouped' in out


@pytest.mark.parametrize(
  ('args', 'message'),
  [
    (('--seeds=2-1',), 'runs backwards'),
    (
      ('--vary=data.num_labels=20,x',),
      "must be None or an integer >= 1, not 'x'",
    ),
    (('--vary=data.num_lables=20',), 'did you mean config.data.num_labels'),
    (('--sweep=nothing.toml',), 'cannot read nothing.toml'),
    (('--sweep=README.md',), 'describes no sweep'),
    (('--mode=both',), '--mode'),
    (('--mode=vmap', '--config.parallel=pmap'), 'need one device'),
  ],
)
def test_bad_input_is_one_line_and_makes_nothing(
  refused, tmp_path, args, message
):
  workdir = tmp_path / 'x'
  refused(message, 'sweep', CONFIG, f'--workdir={workdir}', *args)
  assert not workdir.exists()


def test_a_sweep_that_writes_needs_a_folder(refused):
  refused('--workdir is missing: name a folder', 'sweep', CONFIG)
  refused('goes with --plan', 'sweep', CONFIG, '--budget_hours=3')


@pytest.mark.systems
def test_a_plan_prints_hours_and_trains_nothing(command):
  out = command(
    'sweep', '--config=configs/grid_gan.py:smoke',
    '--sweep=configs/grid_sweep.toml', '--seeds=0,1', '--plan',
    '--budget_hours=0',
  ).stdout.splitlines()  # fmt: skip
  assert out[0] == '| arm | steps | s/step | hours/run | runs | hours |'
  assert [line.split(' | ')[0] for line in out[2:5]] == [
    '| GAN', '| Pac2', '| RpGAN+R1+R2',
  ]  # fmt: skip
  assert all(line.endswith('| 0, 2 cut | 0.00 |') for line in out[2:5])
  assert out[-1] == '0.0 hours, without reports and checkpoints'


@pytest.mark.systems
def test_a_sweep_with_a_run_that_diverges_exits_with_1(command, tmp_path):
  args = (
    CONFIG,
    '--config.parallel=jit',
    '--config.train.num_steps=4',
    '--vary=optimizer.discriminator.learning_rate=1e-3,1e30',
    f'--workdir={tmp_path}',
  )
  out = command('sweep', *args, status=1).stdout
  table = (tmp_path / 'table.md').read_text()
  assert table in out
  assert 'learning_rate=1e+30-seed=0: d_loss is' in table
  again = command('sweep', *args, status=1).stdout
  assert again.count('is finished') == 1
  assert (tmp_path / 'table.md').read_text() == table
