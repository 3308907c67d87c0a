"""Pytree leaves by path."""

from typing import Any

import jax


def name(path: Any) -> str:
  """Formats a leaf's path, e.g. 'generator/params/Conv_0/kernel'."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def by_path(tree: Any) -> dict[str, Any]:
  """Returns the leaves by path, in order."""
  return {
    name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }
