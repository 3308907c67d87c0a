"""Description of a config's networks, data and plan, for --dry_run."""

import jax
from ml_collections import ConfigDict

from gan_jax import config as cfg
from gan_jax.config.table import resolve
from gan_jax.devices import parallel
from gan_jax.evaluation.evaluator import Evaluator
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.program import build
from gan_jax.systems import options
from gan_jax.training import origin


def describe(config: ConfigDict, workdir: str | None = None) -> str:
  """Describes a config without training.

  Lists the keys that differ from their defaults, the whole config, a table of
  each network, and the plan.
  """
  directory = RunDirectory(workdir) if workdir else None
  program = origin.bind(build(config), directory)
  config = program.config
  Evaluator(program)  # raises for metrics that cannot be computed
  stated = '\n'.join(_changed(config)) or '  nothing'
  parts = [
    f'Differs from the defaults\n{stated}\n',
    'Config\n' + cfg.to_json(config),
  ]
  for name, network in program.system.networks.items():
    table = network.module.tabulate(
      jax.random.key(0),
      *network.example,
      train=False,
      depth=1,
      console_kwargs={'width': 140, 'force_terminal': False},
    )
    parts.append(f'{name}{table.rstrip()}\n')
  plan = program.plan
  streams = ', '.join(
    f'{stream.rows} rows a step from {name} ({stream.subset})'
    for name, stream in program.system.batch_spec.items()
  )
  devices = parallel.num_replicas(config.parallel)
  parts.append(
    f'Plan\n'
    f'  data: {program.data}\n'
    f'  batches: {streams}\n'
    f'  steps: {plan.num_steps} '
    f'({plan.num_steps / plan.steps_per_epoch:.1f} epochs of '
    f'{plan.steps_per_epoch}), {plan.steps_per_dispatch} a dispatch\n'
    f'  report every {plan.report_every} steps, checkpoint every '
    f'{plan.save_every}\n'
    f'  devices: {devices} ({jax.devices()[0].device_kind})\n'
  )
  if note := program.warn():
    parts.append(f'{note}\n')
  if program.origin is not None:
    parts.append(f'{program.origin}\n')
  return '\n'.join(parts)


def _changed(config: ConfigDict) -> list[str]:
  """Returns a line for each key whose value is not its default."""
  rows = resolve(options(config.system), dict(cfg.flatten(config)))
  return [
    f'  {key} = {value!r}  (default {rows[key].default!r})'
    for key, value in cfg.flatten(config)
    if value != rows[key].default
  ]
