"""The export command: its file and its output."""

import subprocess
import sys

import pytest

for library in ('flatbuffers', 'safetensors'):
  pytest.importorskip(library, reason=f'{library} is not installed')


@pytest.mark.systems
def test_the_program_that_is_printed_uses_the_file(command, trained, tmp_path):
  path = tmp_path / 'made' / 'generator.jax'
  args = f'--workdir={trained}', f'--output={path}', '--params=beside'
  done = command('export', *args)
  assert done.stderr == ''
  head, program, tail = (part.strip() for part in done.stdout.split('\n\n', 2))
  assert head.splitlines()[:3] == [
    'generator of step 8, raw weights',
    'platforms: cpu, cuda, tpu',
    'z float32[b,100] -> uint8[b,8,8,1]',
  ]
  rest, _, difference = tail.rpartition('\n\n')
  name, value = difference.rsplit(' ', 1)
  assert name == "largest difference from the run's own output:"
  assert float(value) <= 1
  code = '\n'.join(
    [
      program,
      rest,
      'import sys',
      'assert "gan_jax" not in sys.modules',
      'print(made.shape, made.dtype, len(np.unique(made, axis=0)))',
    ]
  )
  out = subprocess.run(
    [sys.executable, '-c', code],
    cwd=tmp_path,
    check=True,
    capture_output=True,
    text=True,
  ).stdout
  assert out == '(4, 8, 8, 1) uint8 4\n'


@pytest.mark.systems
def test_a_classifier_for_another_machine(command, trained, tmp_path):
  path = tmp_path / 'c.jax'
  done = command(
    'export', f'--workdir={trained}', f'--output={path}',
    '--network=classifier', '--platforms=tpu', '--checkpoint=6',
  )  # fmt: skip
  lines = done.stdout.splitlines()
  assert lines[:3] == [
    'classifier of step 6, averaged weights',
    'platforms: tpu',
    'images uint8[b,8,8,1] -> float32[b,10]',
  ]
  assert lines[-1].startswith('not compared: this machine cannot run the file')
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
  ('args', 'message'),
  [
    (
      ('--platforms=cpu,gpu',),
      "unknown platform 'gpu'; choose one of: cpu, cu",
    ),
    (('--params=nowhere',), '--params'),
    (('--direction=a2c',), '--direction'),
    ((), 'nowhere is not a run directory: no config.json'),
  ],
)
def test_bad_input_is_said_in_a_line(refused, tmp_path, args, message):
  path = tmp_path / 'x.jax'
  refused(message, 'export', '--workdir=nowhere', f'--output={path}', *args)
  assert not path.exists()
