"""sha256 fingerprints of states, data and configs."""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import jax
import numpy as np

from gan_jax.data.domains import DomainData
from gan_jax.data.labelled import LabelledData
from gan_jax.systems.state import Player, TrainState


def sha256_of_tree(tree: Any) -> str:
  """Hashes a pytree's paths, dtypes, shapes and bytes."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    array = np.asarray(leaf)
    head = f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n'
    digest.update(head.encode())
    digest.update(np.ascontiguousarray(array).tobytes())
  return digest.hexdigest()


def sha256_of_file(path: pathlib.Path) -> str:
  """Computes a file's sha256, as `sha256sum` does."""
  return hashlib.sha256(path.read_bytes()).hexdigest()


def sha256_of_json(value: Any) -> str:
  """Hashes a JSON value, independent of the order of its keys."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def part_fingerprints(state: TrainState) -> dict[str, str]:
  """Hashes each part, e.g. 'generator.params'; skips fields that are None."""
  parts = {}
  for field in dataclasses.fields(state):
    value = getattr(state, field.name)
    if value is None:
      continue
    if isinstance(value, Player):
      for part in dataclasses.fields(value):
        hash_of_part = sha256_of_tree(getattr(value, part.name))
        parts[f'{field.name}.{part.name}'] = hash_of_part
    else:
      parts[field.name] = sha256_of_tree(value)
  return parts


def fingerprints(state: TrainState) -> dict[str, str]:
  """Hashes each part of the state by name, and the whole as 'state'."""
  parts = part_fingerprints(state)
  return {'state': sha256_of_json(parts), **parts}


def data_fingerprints(data: LabelledData | DomainData) -> dict[str, str]:
  """Hashes each split, and any other contents that results depend on."""
  return {name: sha256_of_tree(x) for name, x in data.contents().items()}
