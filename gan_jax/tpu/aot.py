"""Ahead-of-time (AOT) analysis of a training step on a TPU slice.

It needs libtpu's compiler, but no TPU.
"""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict
from tqdm import tqdm

from gan_jax import config as cfg
from gan_jax.core.errors import InputError
from gan_jax.data.preprocess import pair
from gan_jax.data.synthetic.random_images import SHAPES
from gan_jax.systems import check
from gan_jax.tpu.chips import chip_of

_TIMEOUT = 7200  # seconds for one compilation


def analyse(
  config: ConfigDict,
  topology: str,
  image_shape: tuple[int, int, int] | None = None,
  *,
  find_largest: bool = False,
) -> dict[str, Any]:
  """Compiles a config's step for a TPU slice; see `aot_worker.compile_for`.

  Args:
    config: the config; random images replace its data.
    topology: a slice such as 'v5e:2x2'.
    image_shape: H, W, C, if the data set's name does not determine it.
    find_largest: search for the largest batch that fits even if this one does.

  Returns:
    The compiler's analysis, and lower bounds on a step's time in seconds:
    `compute_seconds` and `memory_seconds`. If the step does not fit: `error`.
    After a search: `largest_batch` (0 if none fits).

  Raises:
    InputError: the config or topology is invalid, the batch is not divisible,
      or there is no libtpu.
  """
  check(config)
  chip = chip_of(topology)
  if importlib.util.find_spec('libtpu') is None:
    raise InputError(
      'there is no libtpu, the compiler; create an environment for it: python '
      "-m venv .venv-tpu && .venv-tpu/bin/pip install -e '.[experiments,"
      "tpu-aot]'"
    )
  shape = image_shape or _image_shape(config)

  def compile_batch(batch_size: int) -> dict[str, Any]:
    return _run(config, topology, batch_size, shape)

  print(
    f'compiling for {topology}; large networks take many minutes',
    file=sys.stderr,
  )
  found = compile_batch(config.data.batch_size)
  if found.get('error') == 'indivisible':
    raise _indivisible(config, topology, found['devices'])
  # Some generations expose a chip's two cores as separate devices.
  chips = math.prod(map(int, topology.partition(':')[2].split('x')))
  cores = found['devices'] / chips
  found['hbm'] = chip.hbm / cores

  def need(batch_size: int) -> float:
    try:
      return _share(compile_batch(batch_size), found['hbm'])
    except InputError:  # a crash of the compiler counts as not fitting
      return math.inf

  if 'error' in found or find_largest:
    found['largest_batch'] = largest(
      need,
      config.data.batch_size,
      _share(found, found['hbm']),
      found['devices'] * config.train.num_microbatches,
    )
  if 'error' not in found:
    found |= _bounds(config, found, chip.flops / cores, chip.bytes / cores)
  return found


def _indivisible(config: ConfigDict, topology: str, devices: int) -> InputError:
  pieces = config.train.num_microbatches
  return InputError(
    f'a batch of {config.data.batch_size} rows is not divisible by the '
    f'{devices} devices of {topology}'
    + (f' and {pieces} microbatches' if pieces > 1 else '')
    + '; change --batch'
  )


def _bounds(
  config: ConfigDict,
  found: dict[str, Any],
  flops_per_second: float,
  bytes_per_second: float,
) -> dict[str, float]:
  """Computes lower bounds on a step's time from peak rates, in seconds."""
  flops = found['flops']
  if config.train.num_microbatches > 1:
    # The compiler counts a loop's body once, that is one microbatch.
    flops = max(flops, found['model_flops'] / found['devices'])
  return {
    'flops': flops,
    'compute_seconds': flops / flops_per_second,
    'memory_seconds': found['bytes'] / bytes_per_second,
    'useful_share': found['model_flops'] / (flops * found['devices']),
  }


def _image_shape(config: ConfigDict) -> tuple[int, int, int]:
  if 'crop_size' in config.data:
    return (*pair(config.data.crop_size), 3)
  if config.data.name not in SHAPES:
    raise InputError(
      f'the image size of {config.data.name} is not known; give '
      '--image_shape=HEIGHT,WIDTH,CHANNELS'
    )
  return SHAPES[config.data.name]


def _run(
  config: ConfigDict,
  topology: str,
  batch_size: int,
  image_shape: tuple[int, int, int],
) -> dict[str, Any]:
  order = {
    'config': cfg.to_json(config),
    'topology': topology,
    'batch_size': batch_size,
    'image_shape': image_shape,
  }
  environment = os.environ | {
    'JAX_PLATFORMS': 'cpu',
    # No query of a metadata server for the machine's type.
    'TPU_SKIP_MDS_QUERY': '1',
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',  # there is no TPU to lock
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_ACCELERATOR_TYPE': topology.partition(':')[0],
    # Then the last line of a traceback is the error's.
    'JAX_TRACEBACK_FILTERING': 'off',
    # A cache hit would make `compile_seconds` the time to read it.
    'JAX_ENABLE_COMPILATION_CACHE': 'false',
  }
  try:
    done = subprocess.run(
      [sys.executable, '-m', 'gan_jax.tpu.aot_worker', json.dumps(order)],
      env=environment,
      capture_output=True,
      text=True,
      timeout=_TIMEOUT,
    )
  except subprocess.TimeoutExpired:
    raise InputError(
      f'compiling for {topology} takes longer than {_TIMEOUT} s'
    ) from None
  if done.returncode:
    reason = done.stderr.strip().split('\n')[-1]
    if done.returncode < 0:
      reason = f'signal {-done.returncode} ended it. {reason}'
    raise InputError(f'the compiler refuses {topology}: {reason}')
  found = json.loads(done.stdout.strip().split('\n')[-1])
  if 'refused' in found:
    raise InputError(found['refused'])
  return found


def _share(found: dict[str, Any], hbm: float) -> float:
  """Returns the fraction of a device's memory that a step needs.

  It is inf if the compiler does not report it.
  """
  if 'error' not in found:
    return sum(found['memory'].values()) / hbm
  said = re.search(r'\(([\d.]+)G\) exceeds .* \(([\d.]+)G\)', found['error'])
  return float(said[1]) / float(said[2]) if said else math.inf


def largest(
  need: Callable[[int], float], batch_size: int, share: float, devices: int
) -> int:
  """Searches for the largest batch that fits, to an eighth; 0 if none does.

  Memory grows about linearly with the batch, so the next guess is where the
  line through the last two guesses reaches the limit (secant method).

  Args:
    need: returns the fraction of the memory that a batch needs; up to 1 fits.
    batch_size: the first guess.
    share: its `need`.
    devices: batches are multiples of this.
  """
  points = [(0, 0.0), (batch_size // devices, share)]
  best, high = (points[1][0], math.inf) if share <= 1 else (0, points[1][0])
  with tqdm(
    desc='looking for the largest batch', disable=not sys.stderr.isatty()
  ) as bar:
    while high - best > max(1, best // 8):
      (x0, y0), (x1, y1) = points[-2:]
      rows = (best + high) / 2 if high < math.inf else 2 * best
      if y0 < y1 < math.inf or y1 < y0 < math.inf:
        rows = x0 + (0.97 - y0) * (x1 - x0) / (y1 - y0)
      # Keep off the interval's ends, so that the search makes progress.
      rows = max(int(rows), best + max(1, best // 8))
      if high < math.inf:
        rows = min(rows, high - max(1, (high - best) // 8))
      bar.set_postfix_str(f'{rows * devices} rows')
      points.append((rows, need(rows * devices)))
      best, high = (rows, high) if points[-1][1] <= 1 else (best, rows)
      bar.update()
  return best * devices


def to_text(found: dict[str, Any], config: ConfigDict, topology: str) -> str:
  """Formats the result of `analyse` as text."""
  devices, batch_size = found['devices'], config.data.batch_size
  head = f'{config.system} on {topology}, {devices} devices'
  most = found.get('largest_batch')
  fitting = f'{most} rows fit (found to an eighth)' if most else 'none fits'
  if 'error' in found:
    reason = ' '.join(found['error'].split())
    return f'{head}: a batch of {batch_size} does not fit; {fitting}. {reason}'
  total = sum(found['memory'].values())
  compute, memory = found['compute_seconds'], found['memory_seconds']
  bound = 'compute' if compute > memory else 'memory'
  kinds = found['collectives'].items()
  collectives = ', '.join(f'{n} {kind}' for kind, n in kinds) or 'none'
  return '\n'.join(
    [
      f'{head}, batch {batch_size} ({batch_size // devices} a device)',
      f'memory        {total / 2**30:.3f} GiB of {found["hbm"] / 2**30:.2f} a '
      f'device ({total / found["hbm"]:.1%})',
      *(
        f'  {size / 2**30:10.3f} GiB {kind}'
        for kind, size in sorted(
          found['memory'].items(), key=lambda item: -item[1]
        )
      ),
      *(
        f'  {size / 2**30:10.3f} GiB of the state is {part}'
        for part, size in list(found['state'].items())[:3]
      ),
      *([f'largest batch {fitting}'] if most else []),
      f'work          {found["flops"]:.3g} operations and {found["bytes"]:.3g} '
      'bytes a step and device',
      f'useful work   {found["useful_share"]:.1%} of these operations are '
      'products that the layers need'
      if config.train.num_microbatches == 1
      else 'useful work   not known: the compiler counts one microbatch, and '
      'the operations are those of the products that the layers need',
      f'a step takes  about {1e3 * max(compute, memory):.3g} ms by these '
      f'counts, bound by {bound} (compute {1e3 * compute:.3g}, memory '
      f'{1e3 * memory:.3g}; what stays on the chip is counted, too)',
      f'collectives   {collectives}',
      f'compile time  {found["compile_seconds"]:.0f} s here',
    ]
  )
