"""Initialisation of a run from another run's parameters (fine-tuning).

The arrays taken are kept in the new run's directory, in `init.npz` and
`init.json`, so that it can be resumed and verified without the other run:

    gan-jax train --config=CONFIG --init_from=runs/a@best:generator,ema ...
"""

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import config as cfg
from gan_jax.core import trees
from gan_jax.core.errors import InputError, enumeration
from gan_jax.core.files import replacing, write_json
from gan_jax.runs import restore
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.fingerprint import fingerprints, sha256_of_tree
from gan_jax.runs.program import Program, new_state, state_shapes
from gan_jax.systems.state import Player, TrainState

_SOURCE = re.compile(
  r'(?P<run>.+?)(@(?P<checkpoint>latest|best|\d+))?'
  r'(:(?P<player>generator|discriminator|all))?'
  r'(?P<average>,ema)?(?P<optimizer>,optimizer)?'
)
_PLAYERS = ('generator', 'discriminator')


class Origin(NamedTuple):
  """Arrays that a run starts with instead of freshly drawn parameters."""

  arrays: Mapping[str, np.ndarray]  # by their paths in the new run's state
  about: Mapping[str, Any]  # contents of init.json, see `take`

  def apply(self, state: TrainState) -> TrainState:
    """Returns a state at step 0 with these arrays; averages start from them."""

    def taken(path, leaf):
      array = self.arrays.get(trees.name(path))
      return leaf if array is None else jax.device_put(array, leaf.sharding)

    state = jax.tree_util.tree_map_with_path(taken, state)
    return state.replace(**{
      name: _average_anew(getattr(state, name)) for name in _PLAYERS
    })  # fmt: skip

  def __str__(self) -> str:
    fresh = self.about['fresh']
    lines = [
      f'starting from {self.about["source"]}: {len(self.arrays)} arrays taken'
      + (f', {len(fresh)} initialised afresh:' if fresh else ''),
      *(f'  {path} {reason}' for path, reason in fresh.items()),
      *(f'  note: {note}' for note in self.about['notes']),
    ]
    return '\n'.join(lines)


def _average_anew(player: Player) -> Player:
  if player.ema is None:
    return player
  # A copy: one buffer cannot be donated twice.
  return player.replace(ema=jax.tree.map(jnp.copy, player.weights))


def bind(program: Program, directory: RunDirectory | None = None) -> Program:
  """Returns the program with the initialisation that its config asks for.

  Args:
    program: its `config.init.source` may name a run.
    directory: that of the program's run; arrays kept there take precedence over
      the source.

  Raises:
    InputError: the source is no run or lacks the checkpoint, nothing in it
      fits, or its hash is not config.init.sha256.
  """
  group = program.config.init
  if group.source is None:
    for key in ('rename', 'sha256'):
      if group[key] is not None:
        raise InputError(
          f'config.init.{key} = {group[key]!r}, but config.init.source is '
          'None; give --init_from=RUN, or set both to None'
        )
    return program
  is_run = directory is not None and directory.config.exists()
  origin = _read(directory) if is_run else None
  taken = origin is None
  if not taken:
    about = origin.about
    same = group.source in (about['asked'], about['source'])
    if not same or group.rename != about['rename']:
      return program  # its config differs from the run's, and is rejected later
  else:
    origin = take(program, group.source, group.rename)
  sha256 = sha256_of_tree(dict(origin.arrays))
  if group.sha256 not in (None, sha256):
    where = group.source if taken else directory.init.with_suffix('.npz')
    raise InputError(
      f'{where} is not what the run started from: the sha256 of the arrays '
      f'that fit is {sha256}, and config.init.sha256 is {group.sha256}. If the '
      'config was changed on purpose, set config.init.sha256 to None'
    )
  config = program.config.copy_and_resolve_references()
  with config.ignore_type():
    config.init.update(source=origin.about['source'], sha256=sha256)
  return program._replace(config=config, origin=origin)


def keep(program: Program, directory: RunDirectory) -> None:
  """Writes the arrays that a run starts from into its directory."""
  if program.origin is None:
    return
  with replacing(directory.init.with_suffix('.npz')) as file:
    np.savez(file, **program.origin.arrays)
  write_json(directory.init, dict(program.origin.about))


def _read(directory: RunDirectory) -> Origin | None:
  """Reads the arrays that a run started from; None if none are kept."""
  if not directory.init.is_file():
    return None
  about = directory.read_json(directory.init)
  keys = ('asked', 'source', 'rename', 'fresh', 'notes')
  if not all(key in about for key in keys):
    raise InputError(f'{directory.init} is not the file that a run writes')
  path = directory.init.with_suffix('.npz')
  try:
    with np.load(path, allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
  except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
    raise InputError(
      f'{path}, from which the run started, cannot be read: {error}'
    ) from error
  return Origin(arrays, about)


def take(program: Program, source: str, rename: str | None) -> Origin:
  """Reads the arrays of another run that fit into a program's state.

  Parameters and model state of the same player are taken if path, shape and
  dtype agree; an optimiser's state is taken as a whole or not at all.

  Args:
    program: that of the new run.
    source: RUN[@latest|best|STEP][:generator|discriminator|all][,ema]
      [,optimizer]. Step 0 is the state that RUN itself started from.
    rename: 'OLD=NEW;OLD=NEW', regular expressions for paths in RUN and their
      replacements; None: paths are unchanged.

  Raises:
    InputError: no such run, checkpoint or average, or nothing fits.
  """
  asked = _SOURCE.fullmatch(source)
  if asked is None:
    raise InputError(f'{source!r} names no run; give RUN[@STEP][:PLAYER][,ema]')
  run, state = _state_of(asked['run'], asked['checkpoint'] or 'latest')
  player = asked['player'] or 'all'
  players = _PLAYERS if player == 'all' else (player,)
  parts = [
    'params',
    'model_state',
    *(['opt_state'] if asked['optimizer'] else []),
  ]
  notes: list[str] = []
  there = {
    name: _parts(getattr(state, name), parts, bool(asked['average']))
    for name in players
  }
  if asked['average']:
    lacking = [x for x in players if getattr(state, x).ema is None]
    if len(lacking) == len(players):
      raise InputError(f'{run.path} keeps no average; leave out ,ema')
    notes += [f'its {x} has no average: raw weights are taken' for x in lacking]
  available = _renamed(trees.by_path(there), rename)
  shapes = state_shapes(program.system, program.data.spec)
  wanted = trees.by_path({
    name: _parts(getattr(shapes, name), parts, False) for name in players
  })  # fmt: skip
  for what, leaves in ((f'{run.path} has', available), ('this has', wanted)):
    if not any('/params/' in path for path in leaves):
      raise InputError(f'{what} no {" and no ".join(players)} of its own')
  taken, fresh, unfit = _fit(wanted, available, players)
  notes += [
    f"the {name}'s optimiser state does not fit: it starts afresh"
    for name in unfit
  ]
  if not any('/params/' in path for path in taken):
    raise InputError(
      f'no parameter of {run.path} fits this config by path and shape: '
      f'{enumeration([f"{path} {reason}" for path, reason in fresh.items()])}; '
      'see --init_rename'
    )
  about = {
    'asked': source,
    'source': f'{asked["run"]}@{int(state.step)}:{player}'
    + ''.join(filter(None, (asked['average'], asked['optimizer']))),
    'rename': rename,
    'state_sha256': fingerprints(state)['state'],
    'config': json.loads(cfg.to_json(run.read_config())),
    'taken': list(taken),
    'fresh': fresh,
    'notes': notes,
  }
  return Origin(taken, about)


def _fit(
  wanted: Mapping[str, Any],
  available: Mapping[str, Any],
  players: Sequence[str],
) -> tuple[dict[str, np.ndarray], dict[str, str], list[str]]:
  """Sorts arrays by whether they fit; lists optimisers that do not."""
  misfits = {
    path: f'{_form(leaf)} (there '
    f'{_form(available[path]) if path in available else "absent"})'
    for path, leaf in wanted.items()
    if path not in available or _form(available[path]) != _form(leaf)
  }
  left_out, unfit = set(misfits), []
  for name in players:
    memory = [path for path in wanted if path.startswith(f'{name}/opt_state/')]
    if left_out.intersection(memory):
      left_out.update(memory)
      unfit.append(name)
  taken = {k: np.asarray(available[k]) for k in wanted if k not in left_out}
  fresh = {k: v for k, v in misfits.items() if '/opt_state/' not in k}
  return taken, fresh, unfit


def _parts(
  player: Player, names: Sequence[str], average: bool
) -> dict[str, Any]:
  """Returns some of a player's fields, with averaged weights if asked for."""
  if average:
    weights = player.averaged
    player = player.replace(
      params=weights.params, model_state=weights.model_state
    )
  return {name: getattr(player, name) for name in names}


def _state_of(path: str, checkpoint: str) -> tuple[RunDirectory, TrainState]:
  """Returns a run and its state at a checkpoint or at step 0, on the host."""
  if checkpoint != '0':
    run = restore.load_run(path, checkpoint)
    return run.directory, jax.device_get(run.state)
  directory, config, _, system = restore.open_system(path)
  if system.init_rows:
    raise InputError(
      f'the start of {path} depends on its data; name a later checkpoint'
    )
  state, origin = new_state(system, config), _read(directory)
  if config.init.source is not None and origin is None:
    raise InputError(
      f'{directory.path} started from {config.init.source}, but its '
      f'{directory.init.name} is missing; restore it, or name a later '
      'checkpoint'
    )
  if origin is not None:
    state = origin.apply(state)
  return directory, jax.device_get(state)


def _renamed(leaves: Mapping[str, Any], rename: str | None) -> dict[str, Any]:
  """Renames the leaves' paths."""
  renamed = dict(leaves)
  for rule in rename.split(';') if rename else ():
    old, equals, new = rule.partition('=')
    try:
      paths = {path: re.sub(old, new, path) for path in renamed}
    except (re.error, IndexError, OverflowError, RecursionError) as error:
      raise InputError(f'--init_rename={rule}: {error}') from None
    if not equals or not old or paths == {path: path for path in renamed}:
      raise InputError(
        f'--init_rename={rule} renames nothing; give OLD=NEW, where OLD is a '
        f'regular expression for paths such as {next(iter(renamed))}'
      )
    if len(set(paths.values())) < len(paths):
      raise InputError(f'--init_rename={rule} gives two arrays the same path')
    renamed = {paths[path]: leaf for path, leaf in renamed.items()}
  return renamed


def _form(leaf: Any) -> str:
  return f'{leaf.dtype}{list(leaf.shape)}'
