"""Usage of an exported network, and the check that it matches the run's."""

import os
import pathlib
import subprocess
import sys
import tempfile

import jax.export
import numpy as np

from gan_jax.core.errors import InputError
from gan_jax.inference.export import Artefact

# Appended to the recipe; saves its inputs and output.
_KEEP = """
import sys
foreign = {'flax', 'gan_jax'} & {name.split('.')[0] for name in sys.modules}
if foreign:
  sys.exit(f'it imported {foreign}')
np.savez(sys.argv[1], made=made, **{name: globals()[name] for name in NAMES})
"""


def describe(artefact: Artefact) -> str:
  """Describes the exported files in a few lines."""
  exported = artefact.exported
  names = artefact.network.inputs
  avals = exported.in_avals[-len(names) :]  # weights may come first
  takes = [
    f'{name} {aval.str_short()}'
    for name, aval in zip(names, avals, strict=True)
  ]
  (out,) = exported.out_avals
  files = [path for path in (artefact.path, artefact.params) if path]
  which = artefact.network.player.which
  lines = [
    f'{artefact.name} of step {artefact.step}, {which} weights',
    f'platforms: {", ".join(exported.platforms)}',
    f'{", ".join(takes)} -> {out.str_short()}',
    *(f'{path}: {path.stat().st_size:,} bytes' for path in files),
  ]
  return '\n'.join(lines)


def recipe(artefact: Artefact) -> str:
  """Returns a program that uses the file.

  It needs jax, numpy, flatbuffers and, if the parameters are in a file of their
  own, safetensors.
  """
  inputs = artefact.network.inputs
  names = list(inputs)
  lines = ['import pathlib', '', 'import numpy as np', 'from jax import export']
  if artefact.params is not None:
    lines.append('from safetensors.numpy import load_file')
    names.insert(0, 'weights')
  lines += [
    '',
    f'file = pathlib.Path({str(artefact.path)!r})',
    'exported = export.deserialize(bytearray(file.read_bytes()))',
  ]
  if artefact.params is not None:
    lines.append(f'weights = load_file({str(artefact.params)!r})')
  lines.append('rng = np.random.default_rng(0)')
  lines += [f'{name} = {given.example}' for name, given in inputs.items()]
  (out,) = artefact.exported.out_avals
  lines.append(
    f'made = np.asarray(exported.call({", ".join(names)}))  # {out.str_short()}'
  )
  return '\n'.join(lines) + '\n'


def difference(artefact: Artefact) -> float | None:
  """Returns the largest difference of the recipe's output from the run's own.

  The recipe runs in a separate process that does not import this package. Both
  outputs are computed on this machine's device.

  Returns:
    The difference, of pixels in 0..255 or of probabilities. None if the file is
    not for this machine's device, or if the device is a TPU, which only one
    process can use.

  Raises:
    InputError: the recipe fails on this machine.
  """
  platform = jax.export.default_export_platform()
  if platform == 'tpu' or platform not in artefact.exported.platforms:
    return None
  names = tuple(artefact.network.inputs)
  code = recipe(artefact) + _KEEP.replace('NAMES', repr(names))
  with tempfile.TemporaryDirectory() as folder:
    kept = pathlib.Path(folder) / 'kept.npz'
    done = subprocess.run(
      [sys.executable, '-c', code, str(kept)],
      # This process has most of a GPU's memory already.
      env=os.environ | {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'},
      capture_output=True,
      text=True,
    )
    if done.returncode:
      reason = done.stderr.strip().split('\n')[-1]
      raise InputError(
        f'{artefact.path} is written, but was not checked, because the program '
        f'above fails here: {reason}'
      )
    with np.load(kept) as arrays:
      found = dict(arrays)
  made = found.pop('made').astype(np.float64)
  return float(np.abs(made - artefact.network.own(found)).max())
