"""sha256 of states, data and configs: what two runs are compared by."""

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
  """The hash of a pytree's paths, dtypes, shapes and bytes."""
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
  """The hash of a JSON value, whatever the order of its keys."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def part_fingerprints(state: TrainState) -> dict[str, str]:
  """The hash of each part, e.g. 'generator.params'; none for a None field."""
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
  """The hash of each part of the state by name, and 'state' for the whole."""
  parts = part_fingerprints(state)
  return {'state': sha256_of_json(parts), **parts}


def data_fingerprints(data: LabelledData | DomainData) -> dict[str, str]:
  """The hash of each split, and of whatever else results depend on."""
  return {name: sha256_of_tree(x) for name, x in data.contents().items()}
