"""Two real processes, with two devices each, train one run together."""

import os
import signal
import socket
import subprocess
import sys
import time

import jax
import pytest
from numpy.testing import assert_allclose

from gan_jax.core.errors import InputError
from gan_jax.devices import hosts
from gan_jax.runs import restore
from tests.conftest import ROOT
from tests.themes.test_kill import committed, wait_for

CONFIG = (
  '--config=configs/mnist_gan.py:smoke',
  '--config.data.name=digits',
  '--config.data.num_validation=20',
  '--config.data.batch_size=12',
  '--config.train.num_epochs=0',
  '--config.checkpoint.save_every_steps=20',
  '--config.log.report_every_steps=20',
  '--config.optimizer.generator.name=sgd',
  '--config.optimizer.discriminator.name=sgd',
)  # fmt: skip


def launch(workdir, *args, num_devices=2):
  return subprocess.Popen(
    [sys.executable, '-m', 'experiments.train', f'--workdir={workdir}',
     *CONFIG, *args],
    cwd=ROOT,
    env=os.environ | {'JAX_NUM_CPU_DEVICES': str(num_devices)},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )  # fmt: skip


def free_port():
  with socket.socket() as found:
    found.bind(('127.0.0.1', 0))
    return found.getsockname()[1]


@pytest.fixture
def pair():
  """Starts both processes of a run; none outlives the test."""
  running = []

  def start(workdir, *args, second=()):
    address = f'--coordinator_address=127.0.0.1:{free_port()}'
    both = [
      launch(
        workdir, address, '--num_processes=2', f'--process_id={i}', *args,
        *(second if i else ()),
      )
      for i in range(2)
    ]  # fmt: skip
    running.extend(both)
    return both

  yield start
  for process in running:
    process.kill()
    process.communicate()


def finish(process, status, seconds=150):
  output, _ = process.communicate(timeout=seconds)
  assert process.returncode == status, output
  return output


def params(workdir, checkpoint='latest'):
  state = restore.load_run(workdir, checkpoint).state
  return jax.device_get((state.generator.params, state.discriminator.params))


@pytest.mark.slow
def test_a_process_is_killed_and_the_run_goes_on(pair, tmp_path):
  """Its result equals that of one process with four devices, up to rounding.

  The contributions of four devices are summed in another order.
  """
  workdir = tmp_path / 'run'
  first, second = pair(workdir, '--config.train.num_steps=100000')
  wait_for(lambda: len(committed(workdir)) > 1, first)
  second.send_signal(signal.SIGKILL)
  started = time.monotonic()
  output, _ = first.communicate(timeout=hosts.HEARTBEAT_SECONDS + 40)
  assert first.returncode not in (0, None)
  assert time.monotonic() - started < hosts.HEARTBEAT_SECONDS + 30
  # The broken connection or the missing heartbeat, whichever comes first.
  assert 'the same commands resume from the last checkpoint' in ' '.join(
    output.split()
  )
  reached = max(committed(workdir))
  length = f'--config.train.num_steps={reached + 20}'
  both = pair(workdir, length)
  outputs = [finish(process, 0) for process in both]
  assert f'resuming {workdir} from step {reached}' in outputs[0]
  assert f'step {reached + 20}/{reached + 20}  ' in outputs[0]
  assert 'step ' not in outputs[1].replace('\n', ' ')  # one of them reports
  alone = tmp_path / 'alone'
  finish(launch(alone, length, num_devices=4), 0)
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    params(workdir),
    params(alone),
  )


@pytest.mark.slow
def test_both_keep_the_best_checkpoint_of_steps_sent_in_chunks(pair, tmp_path):
  """Only the first one evaluates; all keep the checkpoint it found best."""
  options = (
    '--config.train.num_steps=80',
    '--config.train.steps_per_dispatch=5',
    '--config.checkpoint.keep=1',
    '--config.checkpoint.best_metric=validation_kid',
    '--config.eval.metrics=kid',
    '--config.eval.extractor=random',
    '--config.eval.num_samples=50',
    '--config.eval.eval_every_steps=20',
  )
  together, alone = tmp_path / 'together', tmp_path / 'alone'
  for process in pair(together, *options):
    finish(process, 0)
  finish(launch(alone, *options, num_devices=4), 0)
  kept = committed(together)
  assert set(kept) == set(committed(alone)) == {20, 80}
  assert list(together.rglob('*process_0'))
  assert not list(together.rglob('*process_1'))  # only the first one writes
  for checkpoint in ('best', 'latest'):
    jax.tree.map(
      lambda a, b: assert_allclose(a, b, rtol=1e-4, atol=1e-5),
      params(together, checkpoint),
      params(alone, checkpoint),
    )


@pytest.mark.slow
def test_a_checkpoint_moves_between_1_2_and_8_devices(tmp_path):
  """It also moves between modes; results equal one device's up to rounding."""
  moves = ((1, 'jit', 20), (8, 'shard_map', 40), (2, 'pmap', 60))
  for num_devices, mode, num_steps in moves:
    output = finish(
      launch(
        tmp_path / 'moved',
        '--config.data.batch_size=8',
        f'--config.parallel={mode}',
        f'--config.train.num_steps={num_steps}',
        num_devices=num_devices,
      ),
      0,
    )
    if num_steps > 20:
      assert 'results may differ in the last bits' in output
  alone = ('--config.data.batch_size=8', '--config.train.num_steps=60')
  finish(launch(tmp_path / 'alone', *alone, num_devices=1), 0)
  jax.tree.map(
    lambda a, b: assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    params(tmp_path / 'moved'),
    params(tmp_path / 'alone'),
  )


@pytest.mark.slow
def test_sigterm_to_either_saves_for_both(pair, tmp_path):
  for i in range(2):
    workdir = tmp_path / str(i)
    both = pair(workdir, '--config.train.num_steps=100000')
    wait_for(lambda: committed(workdir), both[0])  # noqa: B023
    both[i].send_signal(signal.SIGTERM)
    outputs = [finish(process, 128 + signal.SIGTERM) for process in both]
    step = max(committed(workdir))
    said = f'stopped by SIGTERM at step {step}, which is saved'
    assert all(said in output for output in outputs)


@pytest.mark.slow
def test_the_first_ones_refusal_ends_both(pair, tmp_path):
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run/thesis.txt').write_text('mine')
  both = pair(tmp_path / 'run', '--config.train.num_steps=10')
  assert 'neither empty nor a run directory' in finish(both[0], 2)
  both[1].communicate(timeout=60)
  assert both[1].returncode not in (0, None)


@pytest.mark.slow
@pytest.mark.parametrize('process_id', [0, 1])
def test_who_waits_alone_is_told_within_a_minute(tmp_path, process_id):
  address = f'127.0.0.1:{free_port()}'
  process = launch(
    tmp_path / 'run',
    f'--coordinator_address={address}',
    '--num_processes=2',
    f'--process_id={process_id}',
  )
  output = finish(process, 2, seconds=90)
  assert f'error: not all processes have connected at {address} within' in (
    output
  )
  assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_slurm_needs_no_flags(tmp_path):
  """It suffices to set srun's variables for two tasks on this host."""
  slurm = {
    'SLURM_JOB_ID': str(free_port()),
    'SLURM_STEP_NODELIST': 'localhost',
    'SLURM_NTASKS': '2',
    'SLURM_STEP_NUM_TASKS': '2',
  }
  both = []
  for i in range(2):
    ids = {'SLURM_PROCID': str(i), 'SLURM_LOCALID': str(i)}
    with pytest.MonkeyPatch.context() as patch:
      for name, value in (slurm | ids).items():
        patch.setenv(name, value)
      both.append(launch(tmp_path / 'run', '--config.train.num_steps=20'))
  outputs = [finish(process, 0) for process in both]
  assert 'step 20/20  ' in outputs[0]


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    (('host:1', 2, None), 'together'),
    ((None, 2, 0), 'together'),
    (('host', 2, 0), 'want HOST:PORT'),
    (('host:port', 2, 0), 'want HOST:PORT'),
    (('host:123', 2, 2), 'want 0 to 1'),
  ],
)
def test_arguments_that_do_not_fit(given, message):
  with pytest.raises(ValueError, match=message):
    hosts.initialize(*given)


def test_an_agreement_comes_a_call_later(monkeypatch):
  """This one fakes two processes; real ones show that they agree."""
  agree = hosts.Agreement()
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  assert [agree(number) for number in (3, 0, 7, 0)] == [0, 3, 0, 7]


def test_one_process_joins_nobody():
  hosts.initialize(None, None, None)
  assert not hosts.several()
  assert hosts.from_first(0.1) == 0.1
  assert hosts.Agreement()(15) == 15


@pytest.mark.slow
@pytest.mark.parametrize(
  ('different', 'named'),
  [
    ('--config.seed=7', 'config'),
    ('--workdir={}/elsewhere', 'run directory'),
  ],
)
def test_processes_that_would_not_train_the_same_are_told(
  pair, tmp_path, different, named
):
  (tmp_path / 'elsewhere').mkdir()
  (tmp_path / 'elsewhere/.lock').write_text('of an earlier start')
  both = pair(tmp_path / 'run', second=(different.format(tmp_path),))
  for process in both:
    said = f'error: process 1 does not have the same {named} as process 0'
    assert said in finish(process, 2)
  assert not (tmp_path / 'run/config.json').exists()


SLURM = {'SLURM_LOCALID': '1', 'SLURM_STEP_NUM_TASKS': '16'}


@pytest.mark.parametrize(
  ('tasks', 'local', 'visible', 'more', 'own'),
  [
    ('1(x2)', '0', '0,1,2,3', {}, [0, 1, 2, 3]),  # one on each of two hosts
    ('4', '1', '0,1,2,3', {}, [1]),
    ('2(x2)', '1', '0,1,2,3', {}, [2, 3]),
    ('4(x2)', '1', '3', {}, [0]),  # --gpu-bind=single:1
    ('2', '1', '2,3', {'SLURM_GPUS_PER_TASK': '2'}, [0, 1]),
    ('1(x2)', '0', '0,1', {'JAX_LOCAL_DEVICE_IDS': '1'}, None),
    ('4,2', '1', '0,1,2,3', {}, None),
    ('4(x2)', '1', '', {}, None),
  ],
)
def test_a_slurm_task_takes_its_share_of_the_gpus(
  tasks, local, visible, more, own
):
  environment = {
    'SLURM_STEP_TASKS_PER_NODE': tasks,
    'SLURM_LOCALID': local,
    'CUDA_VISIBLE_DEVICES': visible,
  }
  assert hosts._slurm_devices(environment | more) == own


def test_gpus_that_do_not_divide_by_the_tasks():
  environment = {
    'SLURM_STEP_TASKS_PER_NODE': '3',
    'SLURM_LOCALID': '0',
    'CUDA_VISIBLE_DEVICES': '0,1,2,3,4,5,6,7',
  }
  with pytest.raises(InputError, match='8 GPUs are not divisible by the 3 t'):
    hosts._slurm_devices(environment)
  assert hosts._slurm_devices({'CUDA_VISIBLE_DEVICES': '0,1'}) is None


@pytest.mark.parametrize(
  ('environment', 'together'),
  [
    ({}, False),
    ({'SLURM_STEP_NUM_TASKS': '1'}, False),
    (SLURM, True),
    ({'TPU_ML_PLATFORM': 'JAX'}, True),
    ({'TPU_ML_PLATFORM': 'JAX', 'JAX_PLATFORMS': 'cpu'}, False),
  ],
)
def test_launchers_are_recognised(environment, together):
  assert hosts._launched_together(environment) is together


def test_one_process_of_one_joins_nobody_under_slurm(monkeypatch):
  for name, value in SLURM.items():
    monkeypatch.setenv(name, value)
  monkeypatch.setattr(jax.distributed, 'initialize', None)  # not called
  hosts.initialize(None, 1, None)
  assert not hosts.several()
