"""Multi-process training of one run, on one host or many.

All processes read the run's checkpoint and run the same steps on their own
devices. Only the first one checks the run directory, evaluates and writes.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gan_jax.core.errors import InputError

# A process without a heartbeat for this long is considered dead, and the others
# exit.
HEARTBEAT_SECONDS = 20
_PATIENCE_SECONDS = 10
CONNECT_SECONDS = 45  # until all processes have connected to the first one
_SHUTDOWN_SECONDS = 600  # the first one may compute scores at the end


def initialize(
  coordinator_address: str | None,
  num_processes: int | None,
  process_id: int | None,
) -> None:
  """Connects to the run's other processes; does nothing if there are none.

  Under Slurm and on TPU slices jax finds the others by itself, and all
  arguments may be None. Call it before any other use of jax.

  Args:
    coordinator_address: 'host:port' of the first process.
    num_processes: number of processes; 1 without the others never connects.
    process_id: index of this process, 0 to num_processes - 1.

  If the others do not connect in time, this process exits with a message: jax
  itself would abort in C++.

  Raises:
    InputError: the arguments are inconsistent, or the connection failed.
  """
  given = (coordinator_address, num_processes, process_id)
  if given == (None, 1, None):
    return
  if given == (None, None, None):
    if not _launched_together(os.environ):
      return
  else:
    _check(*given)
  # Its SIGTERM handler would replace ours.
  jax.config.update('jax_enable_preemption_service', False)
  where = f' at {coordinator_address}' if coordinator_address else ''
  local_device_ids = _slurm_devices(os.environ)
  with _timer(
    CONNECT_SECONDS,
    f'error: not all processes have connected{where} within {CONNECT_SECONDS} '
    's; start them at the same time, the one with --process_id=0 on the host '
    'of --coordinator_address; --num_processes=1 trains without others',
    end=True,
  ):
    try:
      jax.distributed.initialize(
        *given,
        local_device_ids=local_device_ids,
        initialization_timeout=CONNECT_SECONDS + 15,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
      )
    except (RuntimeError, ValueError, OSError) as error:
      first = str(error).strip().split('\n')[0]
      raise InputError(
        f'the processes cannot connect{where}: {first}; give '
        '--coordinator_address, --num_processes and --process_id, or '
        '--num_processes=1 to train without others'
      ) from error


@contextlib.contextmanager
def _timer(
  seconds: float, message: str, *, end: bool = False
) -> Iterator[None]:
  """Prints a message if its block takes too long, and may end the process."""

  def act():
    print(message, file=sys.stderr, flush=True)
    if end:
      os._exit(2)  # the main thread is blocked in C++ and cannot unwind

  timer = threading.Timer(seconds, act)
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()


def _launched_together(environment: Mapping[str, str]) -> bool:
  """Tells whether a launcher may have started several processes."""
  if int(environment.get('SLURM_STEP_NUM_TASKS') or 1) > 1:
    return True
  # jax sets it if there are TPUs, and queries the machine for the others.
  return environment.get('TPU_ML_PLATFORM') == 'JAX' and environment.get(
    'JAX_PLATFORMS', 'tpu'
  ).startswith('tpu')


def _slurm_devices(environment: Mapping[str, str]) -> list[int] | None:
  """Returns this process's share of the visible GPUs; None: jax decides.

  By default jax takes one GPU per Slurm task, hence one of eight on a host with
  one task.

  Raises:
    InputError: a host's GPUs cannot be split evenly among its tasks.
  """
  tasks = re.fullmatch(
    r'(\d+)(\(x\d+\))?', environment.get('SLURM_STEP_TASKS_PER_NODE', '')
  )
  visible = environment.get('CUDA_VISIBLE_DEVICES')
  if not tasks or not visible or 'JAX_LOCAL_DEVICE_IDS' in environment:
    return None
  num_visible, num_tasks = len(visible.split(',')), int(tasks[1])
  if 'SLURM_GPUS_PER_TASK' in environment or num_visible < num_tasks:
    return list(range(num_visible))  # each task sees only its own
  if num_visible % num_tasks:
    raise InputError(
      f'{num_visible} GPUs are not divisible by the {num_tasks} tasks of this '
      'host; change --ntasks-per-node or --gpus-per-node'
    )
  each = num_visible // num_tasks
  first = int(environment['SLURM_LOCALID']) * each
  return list(range(first, first + each))


def _check(
  address: str | None, num_processes: int | None, process_id: int | None
) -> None:
  if address is None or num_processes is None or process_id is None:
    raise InputError(
      'give --coordinator_address, --num_processes and --process_id together, '
      'or none of them, or --num_processes=1 alone'
    )
  if not re.fullmatch(
    r'[^:\s]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}', address
  ):
    raise InputError(
      f'--coordinator_address={address}: want HOST:PORT, such as 10.0.0.1:1234'
    )
  if not 0 <= process_id < num_processes:
    raise InputError(
      f'--process_id={process_id}: want 0 to {num_processes - 1}, since '
      f'--num_processes={num_processes}'
    )


def several() -> bool:
  """Tells whether this process is connected to others."""
  return jax.distributed.is_initialized()


def is_loss(error: Exception) -> bool:
  """Tells whether the death of another process can cause an error."""
  return isinstance(error, jax.errors.JaxRuntimeError)


def is_out_of_memory(error: Exception) -> bool:
  """Tells whether an error means that a device is out of memory."""
  return isinstance(error, jax.errors.JaxRuntimeError) and str(
    error
  ).startswith('RESOURCE_EXHAUSTED')


def end_alone(status: int) -> None:
  """Exits at once if there are other processes, without waiting for them.

  Otherwise jax would wait for them at exit, and they for this one's part of a
  step.
  """
  if several():
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def is_first() -> bool:
  """Tells whether this is the process that evaluates and writes."""
  return jax.process_index() == 0


def from_first(number: float = 0.0) -> float:
  """Broadcasts the first process's number; blocks until all have called."""
  if jax.process_count() == 1:
    return number
  # As bytes, since jax converts float64 to float32.
  sent = np.frombuffer(np.float64(number).tobytes(), np.uint8)
  with _patience():
    received = multihost_utils.broadcast_one_to_all(sent)
  return float(np.frombuffer(np.asarray(received).tobytes(), np.float64)[0])


def check_same(**parts: Any) -> None:
  """Checks that all processes train the same run; blocks until all have called.

  Args:
    **parts: JSON values, by the name for messages.

  Raises:
    InputError: on all processes, if one differs from the first.
  """
  if jax.process_count() == 1:
    return
  own = [
    np.frombuffer(hashlib.sha256(json.dumps(part).encode()).digest(), np.uint8)
    for part in parts.values()
  ]
  with _patience():
    found = multihost_utils.process_allgather(np.stack(own))  # [n, parts, 32]
  other = (found != found[:1]).any(axis=-1)
  for process_id in other.any(axis=-1).nonzero()[0]:
    names = ', '.join(
      name.replace('_', ' ')
      for name, differs in zip(parts, other[process_id], strict=True)
      if differs
    )
    raise InputError(
      f'process {process_id} does not have the same {names} as process 0; all '
      'need the same command, the same data, and the run directory on a file '
      'system that they share'
    )


def own_copy(tree: Any) -> Any:
  """Copies replicated arrays to this process's first device."""
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(lambda x: x.addressable_data(0), tree)


def _patience() -> contextlib.AbstractContextManager:
  return _timer(
    _PATIENCE_SECONDS,
    f'note: waiting for the other processes for {_PATIENCE_SECONDS} s; the '
    'first one may be evaluating. If one of them has died, this one exits '
    f'within {HEARTBEAT_SECONDS} s, and the same commands resume from the last '
    'checkpoint',
  )


class Agreement:
  """Maximum over processes, delayed by one call.

  The delay spares the host from waiting for the step that it just dispatched.
  """

  def __init__(self):
    mesh = Mesh(np.array(jax.devices()), ('processes',))
    self._rows = NamedSharding(mesh, PartitionSpec('processes'))
    self._max = jax.jit(
      jnp.max, out_shardings=NamedSharding(mesh, PartitionSpec())
    )
    self._pending: Any = 0

  def __call__(self, number: int) -> int:
    """Returns the last call's maximum; with one process, `number` itself."""
    if jax.process_count() == 1:
      return number
    own = np.full(jax.local_device_count(), number, np.int32)
    rows = jax.make_array_from_process_local_data(self._rows, own)
    agreed, self._pending = self._pending, self._max(rows)
    with _patience():
      return int(agreed)
