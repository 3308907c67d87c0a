"""Weights of InceptionV3, converted once from a PyTorch file.

The converted file is a plain .npz: a format version, the variant, and a float32
array for each parameter and stored statistic, keyed by its path in the network.
"""

import functools
import hashlib
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from gan_jax.core import files
from gan_jax.core.errors import InputError
from gan_jax.core.types import Array, Params
from gan_jax.evaluation.inception import (
  IMAGE_SIZE,
  NUM_CLASSES,
  InceptionV3,
  preprocess,
)

VERSION = 1
_SOURCES = (
  'the usual file for FID is pt_inception-2015-12-05-6726825d.pth, from the '
  'release fid_weights of the public project mseitzer/pytorch-fid; '
  "torchvision's inception_v3_google-0cc3c7bd.pth can be read as well"
)
_CONVERT = (
  'create it with gan-jax convert_inception --input=FILE.pth '
  f'--output=FILE.npz ({_SOURCES})'
)
_TORCH_NAMES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}


class InceptionWeights(NamedTuple):
  """Weights of a variant, with their hash."""

  variant: str  # 'fid' or 'torchvision'
  variables: Params  # {'params': ..., 'batch_stats': ...}, float32
  sha256: str  # of the arrays and their names, not of the file


def convert(source: str, output: str) -> InceptionWeights:
  """Converts a PyTorch state dict of InceptionV3 to the file that `load` reads.

  Args:
    source: the .pth file of pytorch-fid, with 1008 classes, or torchvision's,
      with 1000. If it is named like NAME-0123abcd.pth, the file's sha256 must
      begin with these digits, which is PyTorch's convention.
    output: the .npz file to write, in one atomic step.

  Returns:
    The weights written. They lack the auxiliary head and, for 'fid', the bias
    of the logits; see `gan_jax.evaluation.inception`.

  Raises:
    InputError: torch is not installed, `source` is absent, broken or holds
      another network, or `output` is not named .npz.
  """
  target = files.expand(output)
  if target.suffix != '.npz':
    raise InputError(f'--output={output}: want a name that ends in .npz')
  path = files.expand(source)
  state = _read_state(path)
  variant = _variant_of(state, path)
  flat = _from_state(state, variant, path)
  with files.replacing(target) as file:
    np.savez(file, version=VERSION, variant=variant, **flat)
  return _weights(variant, flat)


def load(path: str) -> InceptionWeights:
  """Reads a file that `convert` wrote.

  Raises:
    InputError: the file is absent, broken, or of another kind.
  """
  where = files.expand(path)
  if not where.is_file():
    raise InputError(f'there is no file {path}; {_CONVERT}')
  try:
    # If np.load opens a file itself and cannot read it, it leaves it open.
    with where.open('rb') as raw, np.load(raw, allow_pickle=False) as file:
      flat = {name: np.asarray(file[name]) for name in file.files}
    version, variant = flat.pop('version').item(), flat.pop('variant').item()
  except Exception as error:  # a broken file can raise nearly anything
    raise InputError(f'cannot read {path}; {_CONVERT}') from error
  if version != VERSION or variant not in NUM_CLASSES:
    raise InputError(
      f'{path} is of version {version} and variant {variant!r}, not of '
      f'version {VERSION} and {" or ".join(NUM_CLASSES)}; {_CONVERT}'
    )
  found = {name: array.shape for name, array in flat.items()}
  _check_shapes(found, _shapes(variant), f'{path} ({variant})', _CONVERT)
  return _weights(variant, flat)


def make_extract(
  weights: InceptionWeights,
) -> Callable[[Array], tuple[Array, Array]]:
  """Returns the network as a compiled function.

  Returns:
    A function from uint8 images [B, H, W, 1 or 3] to features [B, 2048] and
    logits [B, num_classes], float32. It resizes images as for FID, and is
    recompiled for each shape. It raises ValueError for images of another type
    or shape, or without pixels.
  """
  network = InceptionV3(weights.variant)

  # Weights are an argument, because constants would slow down compilation.
  @jax.jit
  def extract(variables, images):
    return network.apply(variables, preprocess(images, weights.variant))

  return functools.partial(extract, jax.device_put(weights.variables))


def _read_state(path: pathlib.Path) -> Mapping[str, Any]:
  """Reads a state dict: arrays by name."""
  try:
    import torch
  except ImportError:
    raise InputError(
      'reading a .pth file needs PyTorch, once: pip install torch'
    ) from None
  if not path.is_file():
    raise InputError(f'there is no file {path}; {_SOURCES}')
  _check_digest(path)
  try:
    state = torch.load(path, map_location='cpu', weights_only=True)
    state = {name: tensor.numpy() for name, tensor in state.items()}
  except Exception as error:  # a broken file can raise nearly anything
    raise InputError(
      f'{path} is not an intact file of PyTorch weights; {_SOURCES}'
    ) from error
  return state


def _check_digest(path: pathlib.Path) -> None:
  """Checks a file against the sha256 in its name, PyTorch's convention."""
  named = re.search(r'-([0-9a-f]{8,64})\.pth$', path.name)
  if named is None:
    return
  with path.open('rb') as file:
    found = hashlib.file_digest(file, 'sha256').hexdigest()
  if not found.startswith(named[1]):
    raise InputError(
      f'{path} is damaged: its sha256 is {found}, but should begin with '
      f'{named[1]}, by its name; download it again ({_SOURCES})'
    )


def _variant_of(state: Mapping[str, np.ndarray], path: pathlib.Path) -> str:
  """Returns the variant, which the number of classes determines."""
  if 'fc.weight' not in state:
    raise InputError(f'{path} has no fc.weight; {_SOURCES}')
  num_classes = len(state['fc.weight'])
  for variant, known in NUM_CLASSES.items():
    if num_classes == known:
      return variant
  raise InputError(
    f'{path} has {num_classes} classes, not '
    f'{" or ".join(map(str, NUM_CLASSES.values()))}; {_SOURCES}'
  )


def _from_state(
  state: Mapping[str, np.ndarray], variant: str, path: pathlib.Path
) -> dict[str, np.ndarray]:
  """Returns the arrays by their paths in the network, with shapes checked."""
  shapes = _shapes(variant)
  wanted = {_torch_name(p): _to_torch(s) for p, s in shapes.items()}
  found = {name: x.shape for name, x in state.items() if not _unused(name)}
  if variant == 'fid':  # the score does not use it
    wanted['fc.bias'] = (NUM_CLASSES['fid'],)
  _check_shapes(found, wanted, f'{path} ({variant})', _SOURCES)
  return {
    p: _from_torch(state[_torch_name(p)]).astype('<f4', order='C')
    for p in shapes
  }


def _unused(name: str) -> bool:
  return name.startswith('AuxLogits.') or name.endswith('.num_batches_tracked')


def _torch_name(path: str) -> str:
  """Converts a path such as 'params/fc/kernel' to 'fc.weight'."""
  _, *modules, leaf = path.split('/')
  return '.'.join([*modules, _TORCH_NAMES[leaf]])


def _to_torch(shape: tuple[int, ...]) -> tuple[int, ...]:
  """Converts a shape [h, w, in, out] or [in, out] to PyTorch's order."""
  return (*shape[:-3:-1], *shape[:-2])


def _from_torch(array: np.ndarray) -> np.ndarray:
  """Transposes an array from PyTorch's axes, the inverse of `_to_torch`."""
  axes = range(array.ndim)
  return array.transpose(*axes[2:], *axes[1::-1])


def _check_shapes(
  found: Mapping[str, tuple],
  wanted: Mapping[str, tuple],
  where: str,
  remedy: str,
) -> None:
  """Raises InputError for the first difference between shapes."""
  for name in [*wanted, *found]:
    if name not in found:
      raise InputError(f'{where} lacks {name}; {remedy}')
    if name not in wanted:
      raise InputError(f'{where} holds an unexpected {name}; {remedy}')
    if found[name] != wanted[name]:
      raise InputError(
        f'{where}: {name} is {list(found[name])}, not {list(wanted[name])}; '
        f'{remedy}'
      )


@functools.cache
def _shapes(variant: str) -> dict[str, tuple[int, ...]]:
  """Returns the shapes of the network's arrays, by their paths."""
  image = jax.ShapeDtypeStruct((1, IMAGE_SIZE, IMAGE_SIZE, 3), np.float32)
  init = InceptionV3(variant).init
  tree = jax.eval_shape(init, jax.random.key(0), image)
  return {p: x.shape for p, x in flatten_dict(tree, sep='/').items()}


def _weights(variant: str, flat: Mapping[str, np.ndarray]) -> InceptionWeights:
  digest = hashlib.sha256()
  for name, array in sorted(flat.items()):
    digest.update(f'{name} {array.dtype.str} {array.shape}\n'.encode())
    digest.update(array.tobytes())
  return InceptionWeights(
    variant, unflatten_dict(flat, sep='/'), digest.hexdigest()
  )
