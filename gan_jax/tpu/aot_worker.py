"""Worker process that compiles a step for absent TPUs.

`gan_jax.tpu.aot` starts it, and it prints one line of JSON. libtpu takes a
lock on its process and may kill it, so that the process does nothing else.

  python -m gan_jax.tpu.aot_worker '{"config": ..., "topology": "v5e:2x2",
    "batch_size": 128, "image_shape": [32, 32, 3]}'
"""

import json
import math
import re
import sys
import time
from collections import Counter
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from gan_jax.config import from_json
from gan_jax.core.errors import InputError
from gan_jax.data.batches import to_unit_range
from gan_jax.devices import parallel
from gan_jax.runs.program import Program, made_up_program, state_shapes
from gan_jax.systems import make_system
from gan_jax.systems.state import TrainState
from gan_jax.tpu.flops import count_flops

_COLLECTIVES = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all')


def compile_for(
  config: ConfigDict, topology: str, image_shape: tuple[int, int, int]
) -> dict[str, Any]:
  """Compiles a step for all chips of a slice, and returns its analysis.

  Returns:
    Per device and step: `flops`, `bytes`, and bytes of memory by kind; the
    number of `devices`, of `collectives` by kind, the `model_flops` of all
    devices, `compile_seconds`; or the compiler's `error`.
  """
  # A v4 machine exposes a chip's two cores as one device; libtpu's default is
  # two.
  options = {'chip_config_name': 'megacore'} if topology[:3] == 'v4:' else {}
  if math.prod(map(int, topology.partition(':')[2].split('x'))) == 1:
    options['chips_per_host_bounds'] = (1, 1, 1)  # by default a host has four
  devices = topologies.get_topology_desc(
    platform='tpu', topology_name=topology, **options
  ).devices
  rows, pieces = config.data.batch_size, config.train.num_microbatches
  if rows % (len(devices) * pieces):
    return {'devices': len(devices), 'error': 'indivisible'}
  config.parallel = 'jit'
  # As few images as possible: a batch for a slice may not fit on this host.
  config.data.batch_size = pieces
  program = made_up_program(config, image_shape)
  config.data.batch_size = rows
  mesh = Mesh(np.array(devices), (parallel.AXIS_NAME,))
  system = make_system(config, program.data.spec, parallel.AXIS_NAME)
  step = parallel.shard(parallel.several_steps(system.train_step), mesh)
  state, batch, key = _shapes(program, rows // pieces)

  def placed(tree, *axes):
    sharding = NamedSharding(mesh, PartitionSpec(*axes))
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
    )

  batches = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), batch
  )
  started = time.perf_counter()
  lowered = step.lower(
    placed(state), placed(batches, None, parallel.AXIS_NAME), placed(key)
  )
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if not str(error).startswith('RESOURCE_EXHAUSTED'):
      raise
    return {'devices': len(devices), 'error': str(error).strip()[:400]}
  memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
  return {
    'devices': len(devices),
    'compile_seconds': time.perf_counter() - started,
    'flops': cost['flops'],
    'bytes': cost['bytes accessed'],
    'memory': {
      'state and batch': memory.argument_size_in_bytes,
      'activations and gradients': memory.temp_size_in_bytes,
      'results not in place of the state': memory.output_size_in_bytes
      - memory.alias_size_in_bytes,
      'program': memory.generated_code_size_in_bytes,
    },
    'state': _parts(state),
    'collectives': count_collectives(compiled.as_text()),
    'model_flops': count_flops(
      program.system.train_step, state, _as_float(batch), key
    ),
  }


def count_collectives(program: str) -> Counter[str]:
  """Counts the collectives by kind in a compiled program's text.

  A TPU may split a collective into fusions with other work, of which only the
  first one counts.
  """
  found = Counter()
  kind = rf' ({"|".join(_COLLECTIVES)})(?:-start)?\('
  bodies = dict(
    re.findall(r'^(?:ENTRY )?%(\S+) .*\{\n((?:  .*\n)*)', program, re.MULTILINE)
  )
  for name, body in bodies.items():
    if 'fus' in name:
      continue
    found.update(re.findall(kind, body))
    for first in re.findall(r'%async-collective-start.*calls=%([^\s,]+)', body):
      found.update(re.findall(kind, bodies[first]))
  return found


def _parts(state: TrainState) -> dict[str, int]:
  """Returns the bytes of each part of each player, and of the other fields."""
  sizes = Counter()
  for path, leaf in jax.tree_util.tree_leaves_with_path(state):
    name = '.'.join(key.name for key in path[:2] if hasattr(key, 'name'))
    sizes[name] += leaf.size * leaf.dtype.itemsize
  return dict(sizes.most_common())


def _shapes(program: Program, factor: int) -> tuple[Any, Any, Any]:
  """Returns the shapes of a step's arguments, with `factor` times the batch."""
  batch = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((factor * len(x), *x.shape[1:]), x.dtype),
    program.sampler()(0),
  )
  key = jax.eval_shape(lambda: jax.random.key(0))
  return state_shapes(program.system, program.data.spec), batch, key


def _as_float(batch: Any) -> Any:
  return jax.eval_shape(lambda batch: jax.tree.map(to_unit_range, batch), batch)


def main(argv: list[str]) -> None:
  """Prints what `compile_for` returns for the JSON of argv[1]."""
  order = json.loads(argv[1])
  config = from_json(order['config'])
  config.data.batch_size = order['batch_size']
  try:
    found = compile_for(config, order['topology'], tuple(order['image_shape']))
  except InputError as error:
    found = {'refused': str(error)}
  print(json.dumps(found))


if __name__ == '__main__':
  main(sys.argv)
