"""Compiles a step for TPUs that are not there, in a process of its own.

It prints one line of JSON; `gan_jax.benchmark.aot` starts it. libtpu takes a
lock on its process and may end it, so nothing else should live there.

  python -m gan_jax.benchmark.aot_worker '{"config": ..., "topology": "v5e:2x2",
    "batch_size": 128, "image_shape": [32, 32, 3]}'
"""

import json
import re
import sys
import time
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from gan_jax.benchmark.flops import count_flops
from gan_jax.benchmark.workloads import made_up_program
from gan_jax.config import flatten, from_json
from gan_jax.data.batches import to_unit_range
from gan_jax.systems import System, make_system
from gan_jax.training import parallel
from gan_jax.training.program import Program, state_shapes
from gan_jax.training.state import TrainState

_COLLECTIVES = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all')


def compile_for(
  config: ConfigDict, topology: str, image_shape: tuple[int, int, int]
) -> dict[str, Any]:
  """What the compiler says of a step on all chips of a slice.

  Returns:
    Per device and step: `flops`, `bytes`, and bytes of memory by kind; the
    number of `devices`, of `collectives` by kind, the `model_flops` of all
    devices, `compile_seconds`; or `error`, what the compiler refused.
  """
  # A v4 machine shows the two cores of a chip as one device; libtpu would not.
  options = {'chip_config_name': 'megacore'} if topology[:3] == 'v4:' else {}
  devices = topologies.get_topology_desc(
    platform='tpu', topology_name=topology, **options
  ).devices
  config.parallel = 'jit'
  program = made_up_program(config, image_shape)
  if config.data.batch_size % (len(devices) * config.train.num_microbatches):
    return {'devices': len(devices), 'error': 'indivisible'}
  mesh = Mesh(np.array(devices), (parallel.AXIS_NAME,))
  system = make_system(config, program.data.spec, parallel.AXIS_NAME)
  step = parallel.shard(parallel.several_steps(system.train_step), mesh)
  state, batch, key = _shapes(program)

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
  kinds = re.findall(
    rf' ({"|".join(_COLLECTIVES)})(?:-start)?\(', compiled.as_text()
  )
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
    'collectives': Counter(kinds),
    'model_flops': count_flops(
      _without_remat(config, program).train_step, state, _as_float(batch), key
    ),
  }


def _without_remat(config: ConfigDict, program: Program) -> System:
  """The system that computes nothing twice: what is useful of a step."""
  keys = [key for key, _ in flatten(config) if key.endswith('.remat')]
  plain = config.copy_and_resolve_references()
  plain.update_from_flattened_dict(dict.fromkeys(keys, False))
  return make_system(plain, program.data.spec)


def _parts(state: TrainState) -> dict[str, int]:
  """Bytes of each part of each player, and of what is beside them."""
  sizes = Counter()
  for path, leaf in jax.tree_util.tree_leaves_with_path(state):
    name = '.'.join(key.name for key in path[:2] if hasattr(key, 'name'))
    sizes[name] += leaf.size * leaf.dtype.itemsize
  return dict(sizes.most_common())


def _shapes(program: Program) -> tuple[Any, Any, Any]:
  batch = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), program.sampler()(0)
  )
  key = jax.eval_shape(lambda: jax.random.key(0))
  return state_shapes(program.system, program.data.spec), batch, key


def _as_float(batch: Any) -> Any:
  return jax.eval_shape(
    lambda batch: jax.tree.map(
      lambda x: to_unit_range(x) if x.dtype == jnp.uint8 else x, batch
    ),
    batch,
  )


def main(argv: list[str]) -> None:
  """Prints what `compile_for` returns for the JSON of argv[1]."""
  order = json.loads(argv[1])
  config = from_json(order['config'])
  config.data.batch_size = order['batch_size']
  found = compile_for(config, order['topology'], tuple(order['image_shape']))
  print(json.dumps(found))


if __name__ == '__main__':
  main(sys.argv)
