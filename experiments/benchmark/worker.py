"""Worker process of one candidate, started by `measure`.

It prints a line of JSON after its first step. Then it reads lines: a number of
steps to run, which it answers with their seconds; or 'memory', which it answers
with the step's memory. In its own process it shares no threads and no memory.

  python -m experiments.benchmark.worker \
    '{"candidate": "jax", "system": "ssgan"}'
"""

import importlib
import itertools
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.workloads import WORKLOADS, make_program
from gan_jax.data.batches import to_unit_range
from gan_jax.models import classifier, dcgan, patchgan, resnet, sngan, unet
from gan_jax.runs.program import Program, compile_step, init_state
from gan_jax.tpu.flops import count_flops

_NUM_BATCHES = 8  # sampled in advance and cycled, so that the data change


class Candidate(NamedTuple):
  """A training step to time, with its memory."""

  step: Callable[[int], None]  # runs a step, and blocks until it is finished
  memory: Callable[[], dict[str, Any]]


def plain_flax_layers() -> None:
  """Replaces our convolutions by flax's."""
  for module in (classifier, dcgan, patchgan, resnet, sngan, unet):
    for name in ('Conv', 'ConvTranspose'):
      if hasattr(module, name):
        setattr(module, name, getattr(nn, name))


def jax_candidate(program: Program) -> Candidate:
  """Returns our step, as the training loop runs it."""
  sampler = program.sampler()
  batches = [sampler(i) for i in range(_NUM_BATCHES)]
  compiled = compile_step(program)
  key = program.key('train')
  state = init_state(program)

  def step(i):
    nonlocal state
    state, metrics = compiled.run(state, [batches[i % _NUM_BATCHES]], key)
    jax.block_until_ready((state, metrics))

  def memory():
    stats = compiled.lower(state, batches[:1], key).compile().memory_analysis()
    live = (
      stats.argument_size_in_bytes
      + stats.output_size_in_bytes
      + stats.temp_size_in_bytes
      - stats.alias_size_in_bytes
    )
    float_batch = jax.tree.map(
      lambda x: to_unit_range(jnp.asarray(x)) if x.dtype == np.uint8 else x,
      batches[0],
    )
    counted = program.system.train_step, state, float_batch, key
    return {
      'live_bytes': live,
      'flops': count_flops(*counted),
      'cpu_flops': count_flops(*counted, cpu=True),
      'peak_flops': _peak_flops(),
    }

  return Candidate(step, memory)


def _peak_flops() -> float:
  """Measures the FLOP/s of a product of two 2048 x 2048 matrices."""
  n = 2048
  x = jnp.ones((n, n))
  product = jax.jit(jnp.matmul)
  product(x, x).block_until_ready()
  seconds = []
  for _ in range(5):
    start = time.perf_counter()
    product(x, x).block_until_ready()
    seconds.append(time.perf_counter() - start)
  return 2 * n**3 / float(np.median(seconds))


def torch_candidate(program: Program, module: str, variant: str) -> Candidate:
  """Returns the same system's step in PyTorch, from our initial parameters."""
  peers = importlib.import_module(f'experiments.benchmark.{module}')
  sampler = program.sampler()
  batches = [sampler(i) for i in range(_NUM_BATCHES)]
  state = jax.device_get(init_state(program))
  weights = {
    'generator': state.generator.weights,
    'discriminator': state.discriminator.weights,
  }
  peer = peers.Peer(program.config, program.data.spec, weights, variant)

  def step(i):
    peer.step(batches[i % _NUM_BATCHES])

  def memory():
    import torch

    cpu = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=cpu, profile_memory=True) as profile:
      step(0)
    events = profile.profiler.kineto_results.events()
    changes = [e for e in events if e.name() == '[memory]']
    changes.sort(key=lambda e: e.start_ns())
    running = np.cumsum([e.nbytes() for e in changes])
    held = [
      x
      for optimizer in peer.optimizers.values()
      for group in (*optimizer.param_groups, *optimizer.state.values())
      for x in group.get('params', group.values())
    ]
    for average in peer.averages.values():
      held += average.parameters()
    tensors = [x for x in held if isinstance(x, torch.Tensor)]
    held_bytes = sum(x.numel() * x.element_size() for x in tensors)
    return {'live_bytes': held_bytes + int(running.max())}

  return Candidate(step, memory)


def main(argv: list[str]) -> None:
  """Runs the candidate that the JSON of argv[1] describes."""
  options = json.loads(argv[1])
  candidate, system = options.pop('candidate'), options.pop('system')
  framework, _, variant = candidate.partition('-')
  if framework == 'flax':
    plain_flax_layers()
  program = make_program(system, **options)
  if framework == 'torch':
    peer = WORKLOADS[system].torch_peer
    candidate = torch_candidate(program, peer, variant)
  else:
    candidate = jax_candidate(program)
  steps = itertools.count()
  start = time.perf_counter()
  candidate.step(next(steps))
  print(json.dumps({'first_step': time.perf_counter() - start}), flush=True)
  for line in sys.stdin:
    if line.strip() == 'memory':
      kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
      answer = candidate.memory() | {'peak_resident_bytes': 1024 * kilobytes}
    else:
      answer = []
      for _ in range(int(line)):
        start = time.perf_counter()
        candidate.step(next(steps))
        answer.append(time.perf_counter() - start)
    print(json.dumps(answer), flush=True)


if __name__ == '__main__':
  main(sys.argv)
