"""Export of a trained network to a file that needs JAX, but not this package.

`jax.export` keeps a function as StableHLO, lowered for each requested platform,
and for batches of any size. On the CPU our convolutions choose their lowering
by their shapes, so every network is applied to a single example, whose shape is
known, and mapped over the batch. This gives the same lowerings as in
`samples.generate` and `gan-jax translate`.
"""

import importlib.util
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax import ShapeDtypeStruct

from gan_jax.core import trees
from gan_jax.core.errors import InputError, choice
from gan_jax.core.files import replacing
from gan_jax.core.rng import row_keys
from gan_jax.core.types import Array
from gan_jax.data.batches import to_uint8, to_unit_range
from gan_jax.data.dataset import crop_to_native
from gan_jax.evaluation import samples
from gan_jax.evaluation.classification import predicted_probabilities
from gan_jax.inference.translate import make_translator
from gan_jax.runs import restore
from gan_jax.systems import System
from gan_jax.systems.state import Player
from gan_jax.systems.system import Latents

PLATFORMS = ('cpu', 'cuda', 'tpu')
PARAMS = ('inside', 'beside')
EXAMPLE_ROWS = 4


class Input(NamedTuple):
  """An argument of an exported function."""

  spec: ShapeDtypeStruct  # [b, ...] with a symbolic b, or a scalar
  example: str  # NumPy expression for EXAMPLE_ROWS rows, from a generator rng


class Network(NamedTuple):
  """A network of a run, ready to be exported."""

  player: Player
  inputs: Mapping[str, Input]
  apply: Callable[..., Array]  # (weights, *inputs): the output of a batch
  # The output of the other commands for the same inputs, by name.
  own: Callable[[Mapping[str, np.ndarray]], np.ndarray]


class Artefact(NamedTuple):
  """An exported network: its files, and the step of its checkpoint."""

  path: pathlib.Path
  params: pathlib.Path | None  # the parameters' file, if they are not inside
  name: str  # one of NETWORKS
  network: Network
  exported: jax.export.Exported
  step: int


def export_network(
  workdir: str | os.PathLike,
  output: str | os.PathLike,
  *,
  network: str | None = None,
  direction: str | None = None,
  platforms: Sequence[str] = PLATFORMS,
  params: str = 'inside',
  checkpoint: str = 'latest',
) -> Artefact:
  """Writes a network of a run as a serialised `jax.export.Exported`.

  The weights are those that the other commands use: averaged ones if the run
  keeps them. The arguments and results, for any batch size b:

  - A generator takes z, float32 [b, z_dim], from the run's prior, and, if it is
    conditional, label, int32 [b]. It returns uint8 [b, H, W, C] without
    padding.
  - A translator takes images, uint8 [b, H, W, C] of the training size, and, if
    it uses dropout, a seed, uint32: the noise of row i depends on the seed and
    on i. It returns uint8 [b, H, W, C'].
  - A classifier takes images, uint8 [b, H, W, C] without padding. It returns
    class probabilities, float32 [b, K].

  Args:
    workdir: the run directory.
    output: the file; it is replaced if it exists, and its folder is created.
    network: one of NETWORKS; None: the generator or translator, or the
      classifier of a run that has neither.
    direction: direction of a translator, see `make_translator`.
    platforms: a subset of PLATFORMS.
    params: 'inside' the file; or 'beside' it, in a file of the same name that
      ends in .safetensors. Then they are the first argument: arrays by name.
    checkpoint: see `restore.load_run`.

  Raises:
    InputError: a bad argument, or a library is not installed. All but the
      checkpoint and the direction are checked before a checkpoint is read.
  """
  path = pathlib.Path(output)
  _check(path, platforms, params)
  name = _choose(workdir, network, direction)
  run = _open(workdir, name, checkpoint)
  found = NETWORKS[name](run, direction)
  beside, weights = None, {}
  if params == 'beside':
    beside = path.with_suffix('.safetensors')
    weights = _used_weights(found)
  function, specs = _as_function(found, weights)
  export = jax.export.export(jax.jit(function), platforms=platforms)
  exported = export(*specs)
  path.parent.mkdir(parents=True, exist_ok=True)
  if beside is not None:
    from safetensors.numpy import save

    _write(beside, save({key: np.asarray(x) for key, x in weights.items()}))
  _write(path, exported.serialize())
  return Artefact(path, beside, name, found, exported, run.step)


def _check(path: pathlib.Path, platforms: Sequence[str], params: str) -> None:
  for platform in platforms:
    if platform not in PLATFORMS:
      raise choice('platform', platform, PLATFORMS)
  if not platforms or len(set(platforms)) < len(platforms):
    raise InputError(
      f'platforms {",".join(platforms)!r}: name each platform once, out of '
      f'{", ".join(PLATFORMS)}'
    )
  if params not in PARAMS:
    raise choice('place of the parameters', params, PARAMS)
  if path.is_dir():
    raise InputError(f'{path} is a folder; name a file')
  if path.suffix == '.safetensors':
    raise InputError(
      f'{path} is a name for parameters alone; choose another extension, such '
      'as .jax'
    )
  needed = ['flatbuffers'] + ['safetensors'] * (params == 'beside')
  for library in needed:
    if importlib.util.find_spec(library) is None:
      raise InputError(
        f"{library} is not installed; pip install '.[export]', or {library} "
        'itself'
      )


def _write(path: pathlib.Path, content: bytes) -> None:
  with replacing(path) as file:
    file.write(content)


def networks_of(system: System) -> list[str]:
  """Returns the names of the NETWORKS that a system has."""
  has = {
    'generator': system.sampler,
    'translator': system.translator,
    'classifier': system.classifier,
  }
  return [name for name in NETWORKS if has[name] is not None]


def _choose(
  workdir: str | os.PathLike, name: str | None, direction: str | None
) -> str:
  """Returns the name of the network to export; reads no checkpoint."""
  if name is not None and name not in NETWORKS:
    raise choice('network', name, NETWORKS)
  _, config, _, system = restore.open_system(workdir)
  has = networks_of(system)
  name = name or has[0]
  if name not in has:
    raise InputError(
      f'a run of system {config.system} has no {name}; choose '
      f'{" or ".join(has)}'
    )
  if direction is not None and name != 'translator':
    raise InputError(f'a {name} has no direction; give none')
  return name


def _open(
  workdir: str | os.PathLike, name: str, checkpoint: str
) -> restore.TrainedRun:
  if name != 'classifier' and checkpoint == 'latest':
    return restore.load_generator(workdir)
  return restore.load_run(workdir, checkpoint)


def _used_weights(network: Network) -> dict[str, Array]:
  """Returns the weights that the network uses, i.e. of one direction only."""
  weights = trees.by_path(network.player.averaged)
  function, specs = _as_function(network, weights)
  jaxpr = jax.make_jaxpr(function)(*specs).jaxpr
  read = {id(x) for equation in jaxpr.eqns for x in equation.invars}
  named = zip(sorted(weights), jaxpr.invars, strict=False)  # inputs follow
  return {name: weights[name] for name, x in named if id(x) in read}


def _as_function(
  network: Network, weights: Mapping[str, Array]
) -> tuple[Callable[..., Array], list]:
  """Returns the network as a function of `weights`, if any, and the inputs.

  All other weights are constants.

  Returns:
    The function, and the shapes and dtypes of its arguments.
  """
  averaged = network.player.averaged
  structure = jax.tree.structure(averaged)
  constants = trees.by_path(averaged)

  def of_weights(given, *inputs):
    leaves = (constants | given).values()
    return network.apply(structure.unflatten(leaves), *inputs)

  def of_inputs(*inputs):
    return of_weights({}, *inputs)

  specs = [given.spec for given in network.inputs.values()]
  if not weights:
    return of_inputs, specs
  named = {k: ShapeDtypeStruct(x.shape, x.dtype) for k, x in weights.items()}
  return of_weights, [named, *specs]


def _rows(shape: Sequence[int], dtype, rows=None) -> ShapeDtypeStruct:
  """Returns a spec with a symbolic number of rows, `rows` if it is given."""
  if rows is None:
    (rows,) = jax.export.symbolic_shape('b')
  return ShapeDtypeStruct((rows, *shape), dtype)


def _images(shape: Sequence[int]) -> Input:
  example = f'rng.integers(0, 256, {(EXAMPLE_ROWS, *shape)}, np.uint8)'
  return Input(_rows(shape, jnp.uint8), example)


def _generator(run: restore.TrainedRun, direction: None) -> Network:
  del direction  # there is none
  sampler, native_size = run.system.sampler, run.spec.native_size
  like = jax.eval_shape(lambda: sampler.draw(jax.random.key(0), EXAMPLE_ROWS))
  examples = sampler.in_numpy(EXAMPLE_ROWS)
  (rows,) = jax.export.symbolic_shape('b')  # the same for all fields

  def apply(weights, *fields):
    def one(*row):
      latents = Latents(**dict(zip(examples, row, strict=True)))
      latents = jax.tree.map(lambda x: x[None], latents)
      made = sampler.generate(weights, latents)['samples']
      return crop_to_native(to_uint8(made[0]), native_size)

    return jax.vmap(one)(*fields)

  def input_of(name):
    leaf = getattr(like, name)
    return Input(_rows(leaf.shape[1:], leaf.dtype, rows), examples[name])

  return Network(
    run.state.generator,
    {name: input_of(name) for name in examples},
    apply,
    lambda inputs: samples.generate(run, Latents(**inputs))['samples'],
  )


def _translator(run: restore.TrainedRun, direction: str | None) -> Network:
  own, _ = make_translator(run, direction)
  translator = run.system.translator
  direction = direction or min(translator.ways)
  translate = translator.ways[direction]

  def apply(weights, images, seed=0):
    def one(image, key):
      made = translate(weights, to_unit_range(image[None]), key)
      return to_uint8(made[0])

    keys = row_keys(jax.random.key(seed), images.shape[0])
    return jax.vmap(one)(images, keys)

  def own_rows(inputs):
    images = inputs['images']
    keys = row_keys(jax.random.key(inputs.get('seed', 0)), len(images))
    return own(images, keys)

  inputs = {'images': _images(getattr(run.spec, f'{direction[0]}_shape'))}
  if translator.has_noise:
    seed = ShapeDtypeStruct((), jnp.uint32)
    inputs['seed'] = Input(seed, 'np.uint32(0)')
  return Network(run.state.generator, inputs, apply, own_rows)


def _classifier(run: restore.TrainedRun, direction: None) -> Network:
  del direction  # there is none
  predict, player = run.system.classifier.predict, run.state.discriminator
  *size, channels = run.spec.image_shape
  margins = [(0, 0)]
  for padded, native in zip(size, run.spec.native_size, strict=True):
    before = (padded - native) // 2
    margins.append((before, padded - native - before))
  margins.append((0, 0))

  def apply(weights, images):
    def one(image):
      padded = jnp.pad(image[None], margins)
      return jax.nn.softmax(predict(weights, to_unit_range(padded))[0])

    return jax.vmap(one)(images)

  def own(inputs):
    images = np.pad(inputs['images'], margins)
    return predicted_probabilities(
      predict, player.averaged, images, len(images)
    )

  images = _images((*run.spec.native_size, channels))
  return Network(player, {'images': images}, apply, own)


NETWORKS = {
  'generator': _generator,
  'translator': _translator,
  'classifier': _classifier,
}
