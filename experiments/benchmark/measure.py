"""Timing of candidates in turn, each in its own process."""

import contextlib
import importlib.util
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from experiments.benchmark.workloads import WORKLOADS
from gan_jax.core import machine
from gan_jax.core.errors import InputError, choice

PEERS = {
  'torch': ('torch-eager', 'torch-channels_last', 'torch-compile'),
  'flax': ('flax',),
}
# By default glibc returns a block of the size of a step's memory to the system
# after each step, which has to map it again, page by page. Set for every
# candidate:
MALLOC = (
  'glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:'
  'glibc.malloc.hugetlb=1'
)


class Worker:
  """A candidate's process.

  Args:
    cache_dir: the folder of the compilation cache.
    checkout: the folder of the code that it runs; None: this one.
    **options: options of `experiments.benchmark.worker`.
  """

  def __init__(
    self, cache_dir: str, checkout: pathlib.Path | None = None, **options: Any
  ):
    environment = os.environ | {
      'JAX_PLATFORMS': 'cpu',
      'JAX_COMPILATION_CACHE_DIR': cache_dir,
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
      'GLIBC_TUNABLES': MALLOC,
    }
    if checkout is not None:
      environment['PYTHONPATH'] = str(checkout)
    self._name = options['candidate']
    self._process = subprocess.Popen(
      [
        sys.executable,
        '-m',
        'experiments.benchmark.worker',
        json.dumps(options),
      ],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      env=environment,
      cwd=checkout,
      text=True,
    )
    try:
      self.first_step = self._answer()['first_step']
    except BaseException:
      self.close()
      raise

  def _answer(self) -> Any:
    line = self._process.stdout.readline()
    if not line:
      raise InputError(f'{self._name} failed; see its error above')
    return json.loads(line)

  def ask(self, question: Any) -> Any:
    print(question, file=self._process.stdin, flush=True)
    return self._answer()

  def close(self) -> None:
    self._process.stdin.close()
    self._process.wait()
    self._process.stdout.close()


@contextlib.contextmanager
def start(*args: Any, **kwargs: Any) -> Iterator[Worker]:
  """Starts a worker, and closes it at the end."""
  worker = Worker(*args, **kwargs)
  try:
    yield worker
  finally:
    worker.close()


def check_peers(peers: Sequence[str]) -> None:
  """Raises InputError for a peer that is unknown or not installed."""
  for peer in peers:
    if peer not in PEERS:
      raise choice('peer', peer, PEERS)
  if 'torch' in peers and importlib.util.find_spec('torch') is None:
    raise InputError(
      'the peer torch is not installed; run pip install torch, or leave it out '
      'of --peers'
    )


def benchmark(
  systems: Sequence[str],
  peers: Sequence[str],
  *,
  rounds: int = 5,
  seconds: float = 2.0,
  against: str | None = None,
  **size: int,
) -> dict[str, Any]:
  """Times our step and its peers' in turn.

  Args:
    systems: names in `WORKLOADS`.
    peers: names in `PEERS`; a peer's fastest variant counts.
    rounds: number of rounds, each with a turn of every candidate.
    seconds: approximate duration of a turn.
    against: the folder of another checkout, whose step is one more candidate.
    **size: batch_size, image_size, width; see `make_program`.

  Returns:
    {'machine': ..., 'systems': {name: {candidate: figures}}}; in seconds and
    bytes.

  Raises:
    InputError: a system or peer is unknown, a peer is not installed, or the
      other checkout lacks this benchmark.
  """
  checkout = None if against is None else pathlib.Path(against).absolute()
  if checkout and not (checkout / 'experiments/benchmark/worker.py').is_file():
    raise InputError(
      f'{against} is no checkout with experiments/benchmark; create one, e.g. '
      'by git worktree add DIR COMMIT'
    )
  for name in systems:
    if name not in WORKLOADS:
      raise choice('system', name, WORKLOADS)
  check_peers(peers)
  candidates = [
    'jax',
    *(['against'] if checkout else []),
    *(v for peer in peers for v in PEERS[peer]),
  ]

  def of(name: str) -> list[str]:
    has_torch = WORKLOADS[name].torch_peer is not None
    return [c for c in candidates if has_torch or not c.startswith('torch')]

  results = {
    name: _benchmark_one(name, of(name), rounds, seconds, size, checkout)
    for name in systems
  }
  return {'machine': _machine(), 'rounds': rounds, 'systems': results}


def _machine() -> dict[str, Any]:
  return {
    'platform': platform.platform(),
    'processor': machine.processor(),
    'cores': len(os.sched_getaffinity(0)),
    'python': platform.python_version(),
    'jax': jax.__version__,
  }


def _benchmark_one(
  name, candidates, rounds, seconds, size, checkout
) -> dict[str, Any]:
  with contextlib.ExitStack() as stack:
    workers, figures = {}, {}
    for candidate in candidates:
      cache = stack.enter_context(tempfile.TemporaryDirectory())
      options = {'candidate': candidate, 'system': name} | size
      if candidate == 'against':
        options |= {'candidate': 'jax', 'checkout': checkout}
      print(f'{name}: starting {candidate}', file=sys.stderr, flush=True)
      with start(cache, **options) as worker:
        figures[candidate] = {'first_step_cold': worker.first_step}
      worker = stack.enter_context(start(cache, **options))
      figures[candidate]['first_step_warm'] = worker.first_step
      workers[candidate] = worker
    turns = {}
    for candidate, worker in workers.items():
      warm_up = float(np.median(worker.ask(3)))
      turns[candidate] = max(3, round(seconds / warm_up))
    times = {candidate: [] for candidate in candidates}
    for i in range(rounds):
      print(f'{name}: round {i + 1} of {rounds}', file=sys.stderr, flush=True)
      for candidate, worker in workers.items():
        steps = worker.ask(turns[candidate])
        times[candidate].append(float(np.median(steps)))
    for candidate, worker in workers.items():
      figures[candidate] |= worker.ask('memory') | {
        'step_per_round': times[candidate],
        'step': float(np.median(times[candidate])),
      }
  return figures


def ratios(figures: dict[str, Any], candidate: str) -> np.ndarray:
  """Returns a candidate's step time over ours, by round; above 1 ours wins."""
  ours = np.array(figures['jax']['step_per_round'])
  return np.array(figures[candidate]['step_per_round']) / ours


def to_markdown(result: dict[str, Any]) -> str:
  """Formats a row per system and candidate, with PyTorch's fastest variant."""
  lines = [
    '| system | step by | ms a step | its time / ours (min to max) | '
    'first step, cold / cached, s | live MB | peak resident MB |',
    '| --- | --- | --- | --- | --- | --- | --- |',
  ]
  for name, figures in result['systems'].items():
    for candidate in _shown(figures):
      f = figures[candidate]
      ratio = ''
      if candidate != 'jax':
        r = ratios(figures, candidate)
        ratio = f'{np.median(r):.2f} ({r.min():.2f} to {r.max():.2f})'
      lines.append(
        f'| {name} | {candidate} | {1e3 * f["step"]:.1f} | {ratio} | '
        f'{f["first_step_cold"]:.1f} / {f["first_step_warm"]:.1f} | '
        f'{f["live_bytes"] / 1e6:.0f} | {f["peak_resident_bytes"] / 1e6:.0f} |'
      )
    ours = figures['jax']
    for label, flops in (
      ('plain products', ours['flops']),
      ('our products', ours['cpu_flops']),
    ):
      floor = flops / ours['peak_flops']
      lines.append(
        f'| {name} | floor, {label} | {1e3 * floor:.1f} | {flops / 1e9:.1f} '
        f'GFLOP at {ours["peak_flops"] / 1e9:.0f} GFLOP/s, '
        f'{floor / ours["step"]:.0%} of our step | | | |'
      )
  return '\n'.join(lines) + '\n'


def _shown(figures: dict[str, Any]) -> list[str]:
  torch = [c for c in figures if c.startswith('torch')]
  best = min(torch, key=lambda c: figures[c]['step'], default=None)
  return [c for c in figures if c not in torch or c == best]


def scaling(name: str, **options: Any) -> Iterator[str]:
  """Yields table rows of the step's scaling with batch, image and width.

  Args:
    name: a name in `WORKLOADS`.
    **options: options of `benchmark`.
  """
  if name not in WORKLOADS:
    raise choice('system', name, WORKLOADS)
  workload = WORKLOADS[name]
  pixels = workload.image_shape[0]
  for axis, sizes in (
    ('batch_size', workload.batch_sizes),
    ('image_size', [pixels, 2 * pixels, 4 * pixels]),
    ('width', [1, 2, 4]),
  ):
    steps = []
    for size in sizes:
      result = benchmark([name], [], **{axis: size}, **options)
      steps.append(result['systems'][name]['jax']['step'])
    exponent = np.polyfit(np.log(sizes), np.log(steps), 1)[0]
    cells = ', '.join(
      f'{size}: {1e3 * step:.0f} ms'
      for size, step in zip(sizes, steps, strict=True)
    )
    yield f'| {name} | {axis} | {cells} | {exponent:.2f} |'
