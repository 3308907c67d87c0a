"""A trained network as a file that needs JAX, but not this package.

`jax.export` keeps a function as StableHLO, with the forms of the convolutions
for every platform that is asked for. The file takes batches of any size; the
function is written for one example and mapped over the batch, so that what the
convolutions choose a form by is known.
"""

import importlib.util
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax import ShapeDtypeStruct
from ml_collections import ConfigDict

from gan_jax.data.batches import to_uint8, to_unit_range
from gan_jax.data.dataset import crop_to_native
from gan_jax.data.domains import DomainData
from gan_jax.errors import InputError, choice
from gan_jax.evaluation.classification import class_probabilities
from gan_jax.files import replacing
from gan_jax.rng import row_keys
from gan_jax.systems import SYSTEMS
from gan_jax.training import program
from gan_jax.training.restore import (
  TrainedRun,
  generate,
  load_generator,
  load_run,
)
from gan_jax.training.run_directory import RunDirectory
from gan_jax.training.state import Player, Weights
from gan_jax.training.translation import make_translator
from gan_jax.types import Array

PLATFORMS = ('cpu', 'cuda', 'tpu')
NETWORKS = ('generator', 'translator', 'classifier')


class Network(NamedTuple):
  """A network of a run, ready to be exported."""

  player: Player
  inputs: dict[str, ShapeDtypeStruct]  # all but scalars [b, ...], b symbolic
  # (weights, *inputs): the output for a batch
  apply: Callable[..., Array]
  # The same by what the other commands use, of inputs by name, as NumPy arrays.
  own: Callable[[dict[str, np.ndarray]], np.ndarray]
  result: str  # the output's name


class Artefact(NamedTuple):
  """What was written, and of what."""

  output: pathlib.Path
  params: pathlib.Path | None  # the file of the parameters, if not inside
  run: TrainedRun
  name: str  # one of NETWORKS
  network: Network  # with the inputs that the file takes
  exported: jax.export.Exported
  num_params: int


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

  Its arguments are, with any batch size b,

  - of a generator z, float32 [b, z_dim]; it gives uint8 [b, H, W, C], without
    padding;
  - of a translator images, uint8 [b, H, W, C] of the size that training saw,
    and where there is noise a seed, uint32; row i has the noise of the seed and
    i. It gives uint8 [b, H, W, C'];
  - of a classifier images, uint8 [b, H, W, C] without padding; it gives class
    probabilities, float32 [b, K].

  The weights are those that the other commands use, the averaged ones where
  there is an average.

  Args:
    workdir: the run directory.
    output: the file; it is replaced if it is there, and its folder is made.
    network: one of NETWORKS; None for the one that makes images, or a
      classifier that is alone.
    direction: of a translator, see `make_translator`.
    platforms: some of PLATFORMS.
    params: 'inside' the file, or 'beside' it, in a file of the same name that
      ends in .safetensors. Then they are the first argument, arrays by name.
    checkpoint: see `restore.load_run`.

  Raises:
    InputError: anything bad among these, or a missing library, before a
      checkpoint is read.
  """
  output = pathlib.Path(output)
  platforms = tuple(dict.fromkeys(platforms))
  _check(output, platforms, params)
  run, name = _open(workdir, network, checkpoint)
  if direction is not None and name != 'translator':
    raise InputError(f'a {name} has no direction; give no --direction')
  found = _NETWORKS[name](run, direction)
  weights = _by_name(found.player.averaged)
  exported = _export(found, weights, {}, platforms)
  used = {
    [*sorted(weights), *found.inputs][i] for i in exported.module_kept_var_idx
  }
  weights = {key: x for key, x in weights.items() if key in used}
  inputs = {key: spec for key, spec in found.inputs.items() if key in used}
  ...
