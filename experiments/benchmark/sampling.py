"""Rates of writing samples, relative to generating them alone."""

import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator

import jax

from gan_jax.evaluation import sample_files
from gan_jax.evaluation.samples import latents
from gan_jax.runs.configs import load_config
from gan_jax.runs.program import build, init_state
from gan_jax.runs.restore import TrainedRun
from gan_jax.systems.system import Latents

_BATCH_SIZE = 64
_CONFIG = 'configs/digits_ssgan.py'


def table(rounds: int, num: int = 50_000) -> Iterator[str]:
  """Yields the lines of a table, for the generator of the digits config.

  Args:
    rounds: each times every way once; medians are shown.
    num: samples per turn.
  """
  config = load_config(str(pathlib.Path(__file__).parents[2] / _CONFIG))
  config.parallel = 'jit'
  program = build(config)
  run = TrainedRun(
    None, config, program.data.spec, program.system, init_state(program), 0
  )
  rows = jax.block_until_ready(latents(run, [0], num))
  with tempfile.TemporaryDirectory() as folder:
    seconds = _time(run, rows, pathlib.Path(folder), rounds)
  plain = statistics.median(seconds['the generator alone'])
  yield '| way | images per second | rate relative to the first |'
  yield '| --- | --- | --- |'
  for way, each in seconds.items():
    ratios = [
      a / b for a, b in zip(seconds['the generator alone'], each, strict=True)
    ]
    yield (
      f'| {way} | {num / statistics.median(each):,.0f} | '
      f'{plain / statistics.median(each):.2f} '
      f'({min(ratios):.2f} to {max(ratios):.2f}) |'
    )


def _time(
  run: TrainedRun, rows: Latents, folder: pathlib.Path, rounds: int
) -> dict[str, list[float]]:
  """Measures seconds for all rows, by way; the first round is not counted."""
  function = jax.jit(run.system.sampler.generate)
  weights = run.state.generator.averaged

  def alone(turn):
    del turn
    last = None
    for i in range(0, len(rows.z), _BATCH_SIZE):
      batch = jax.tree.map(lambda x: x[i : i + _BATCH_SIZE], rows)  # noqa: B023
      last = function(weights, batch)
    jax.block_until_ready(last)

  ways = {
    'the generator alone': alone,
    '--output=FILE.npz': lambda turn: sample_files.write_arrays(
      run, rows, folder / 'all.npz', _BATCH_SIZE
    ),
    '--output=DIR/': lambda turn: sample_files.write_images(
      run, rows, folder / str(turn), _BATCH_SIZE
    ),
  }
  seconds = {way: [] for way in ways}
  for turn in range(rounds + 1):
    for way, function_of_turn in ways.items():
      started = time.perf_counter()
      function_of_turn(turn)
      if turn:
        seconds[way].append(time.perf_counter() - started)
  return seconds
