"""Leaves of pytrees by their paths."""

from typing import Any

import jax


def name(path: Any) -> str:
  """A leaf's path as text, e.g. 'generator/params/Conv_0/kernel'."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def by_path(tree: Any) -> dict[str, Any]:
  """The leaves by their paths, in order."""
  return {
    name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }
