"""Environment of a run: versions, devices, processor, settings, code."""

import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

import jax

import gan_jax
from gan_jax.core import machine

_PACKAGES = (
  'jax',
  'jaxlib',
  'flax',
  'optax',
  'orbax-checkpoint',
  'tensorflow-datasets',
  'grain',
  'pillow',
  'numpy',
  'absl-py',
  'ml_collections',
  'scikit-learn',
)


_JAX_SETTINGS = (
  'JAX_DEFAULT_MATMUL_PRECISION',
  'JAX_DEFAULT_PRNG_IMPL',
  'JAX_ENABLE_X64',
  'JAX_NUMPY_DTYPE_PROMOTION',
  'JAX_THREEFRY_PARTITIONABLE',
  'XLA_FLAGS',
)


def environment(parallel: str) -> dict[str, Any]:
  """Describes package versions, devices, cores, settings and the code.

  Args:
    parallel: how the batch is split; see `devices.parallel.mode_in_use`.
  """
  return {
    'gan_jax': gan_jax.__version__,
    'parallel': parallel,
    'code_sha256': _code_sha256(),
    'python': platform.python_version(),
    'packages': {name: _version(name) for name in _PACKAGES},
    'backend': jax.default_backend(),
    'device_kind': jax.devices()[0].device_kind,
    'device_count': jax.device_count(),
    'machine': platform.machine(),
    'processor': machine.processor(),
    'instructions': machine.instructions(),
    'cores': len(os.sched_getaffinity(0))
    if hasattr(os, 'sched_getaffinity')
    else os.cpu_count(),
    'settings': {
      name: os.environ[name] for name in _JAX_SETTINGS if name in os.environ
    },
    'git_commit': _git_commit(),
    'command': sys.argv,
  }


# If these differ, results need not be bitwise equal.
DECISIVE = (
  'packages',
  'backend',
  'device_kind',
  'device_count',
  'machine',
  'processor',
  'instructions',
  'cores',
  'settings',
  'parallel',
  'code_sha256',
)


def environment_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
  """Lists the decisive differences, as 'name: old -> new'."""
  lines = []
  for name in DECISIVE:
    before = old.get(name, '(not recorded)')
    after = new.get(name, '(not recorded)')
    if name == 'packages':
      versions = [x.get(name, {}) for x in (old, new)]
      for package in sorted({*versions[0], *versions[1]}):
        before, after = (version.get(package) for version in versions)
        if before != after:
          lines.append(f'{package}: {before} -> {after}')
    elif before != after:
      lines.append(f'{name}: {before} -> {after}')
  return lines


def _code_sha256() -> str:
  """Hashes the package's source files, committed or not."""
  root = pathlib.Path(__file__).resolve().parents[1]
  digest = hashlib.sha256()
  for path in sorted(root.rglob('*.py')):
    digest.update(path.relative_to(root).as_posix().encode())
    digest.update(path.read_bytes())
  return digest.hexdigest()


def _version(package: str) -> str | None:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _git_commit() -> str | None:
  """Returns the commit of the source repository, with '+dirty' if modified."""
  root = pathlib.Path(__file__).resolve().parents[2]
  if not (root / '.git').exists():  # an installed package: no repository
    return None
  try:
    run = lambda *args: subprocess.run(  # noqa: E731
      ('git', '-C', str(root), *args),
      capture_output=True,
      text=True,
      check=True,
    ).stdout.strip()
    return run('rev-parse', 'HEAD') + ('+dirty' if run('status', '-s') else '')
  except (OSError, subprocess.CalledProcessError):
    return None
