"""Kills trainings at random moments and compares them with uninterrupted ones.

  python -m tests.kills --rounds=200 --workdir=DIR

Each process kills itself: hooks detect when it compiles, steps, or writes a
checkpoint or a sample, and it sends SIGKILL at a random moment of that phase.
So the number of kills in each phase is known, not left to chance. After each
kill the same command resumes, until the run is finished. Its metrics, samples,
checkpoints and result must equal those of an uninterrupted run bit for bit.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent import futures

ROOT = pathlib.Path(__file__).parents[1]
PHASES = ('compile', 'step', 'checkpoint', 'sample')
# Each system, its config, and its share of the rounds.
SYSTEMS = {
  'toy': ('tests/toy.py', 0.0),
  'gan': ('configs/mnist_gan.py:smoke', 0.2),
  'ssgan': ('configs/digits_ssgan.py:smoke', 0.2),
  'improved_gan': ('configs/mnist_ssgan.py:smoke', 0.2),
  'supervised': ('configs/digits_supervised.py:smoke', 0.1),
  'pix2pix': ('configs/facades_pix2pix.py:smoke', 0.1),
  'cyclegan': ('configs/facades_cyclegan.py:smoke', 0.1),
  'cut': ('configs/facades_cut.py:smoke', 0.1),
}
NUM_STEPS, SAVE_EVERY = 40, 4


# In the process that is killed.


class _Killer:
  """Kills the process at a random moment of a phase."""

  def __init__(self, phase: str, rng: random.Random, log: pathlib.Path):
    self._phase, self._log = phase, log
    self._share = rng.random()  # of the phase's previous duration
    self._skip = rng.randrange(5)  # occurrences of the phase to let pass
    self._seconds = 0.0
    self._active = threading.Lock()
    self.step, self.saving = 0, False

  @contextlib.contextmanager
  def during(self, phase: str):
    """Marks its body as the phase."""
    stop = self.begin(phase)
    try:
      yield
    finally:
      stop()

  def begin(self, phase: str):
    """Begins the phase; returns a function to call at its end."""
    if phase != self._phase:
      return lambda: None
    started, over = time.monotonic(), threading.Event()
    self._skip -= 1
    if self._skip < 0:
      delay = self._share * self._seconds if phase != 'compile' else self._share
      threading.Thread(
        target=self._kill_after, args=(delay, over), daemon=True
      ).start()

    def stop(*_):
      with self._active:  # a kill is now certain, or ruled out
        over.set()
      self._seconds = time.monotonic() - started

    return stop

  def _kill_after(self, delay: float, over: threading.Event) -> None:
    if over.wait(delay):
      self._share /= 2  # too late: kill earlier next time
      return
    with self._active:
      if over.is_set():
        return
      line = {'phase': self._phase, 'step': self.step, 'saving': self.saving}
      with self._log.open('a') as file:
        file.write(json.dumps(line) + '\n')
        file.flush()
        os.fsync(file.fileno())
      os.kill(os.getpid(), signal.SIGKILL)


def arm(phase: str, seed: int, workdir: str) -> None:
  """Hooks this process so that it dies in the phase."""
  from orbax.checkpoint import v1 as ocp

  from gan_jax.runs.metrics_log import MetricsLog
  from gan_jax.training import loop, session

  log = pathlib.Path(f'{workdir}.kills')
  killer = _Killer(phase, random.Random(seed), log)
  if phase == 'compile':
    killer._skip = random.Random(seed).randrange(2)

  init_state, advance = session.init_state, loop.advance
  write_sample = MetricsLog.write_sample
  save = ocp.training.Checkpointer.save_checkpointables_async

  def hooked_init(program):
    with killer.during('compile'):
      return init_state(program)

  def hooked_advance(program, state, start, wait):
    killer.step = start
    dispatches = advance(program, state, start, wait)
    with killer.during('compile'):
      first = next(dispatches)
    killer.step = first[0]
    yield first
    while True:
      with killer.during('step'):
        step, state, metrics = next(dispatches)
        state.step.block_until_ready()
      killer.step = step
      yield step, state, metrics

  def hooked_sample(self, *args):
    with killer.during('sample'):
      write_sample(self, *args)

  def hooked_save(self, *args, **kwargs):
    killer.saving = True
    stop = killer.begin('checkpoint')
    response = save(self, *args, **kwargs)

    def committed(_):
      killer.saving = False
      stop()

    response.on_complete(committed)
    return response

  session.init_state, loop.advance = hooked_init, hooked_advance
  MetricsLog.write_sample = hooked_sample
  ocp.training.Checkpointer.save_checkpointables_async = hooked_save


# In the process that counts.


def _train(config: str, workdir: pathlib.Path, kill: str | None) -> int:
  command = [
    sys.executable, '-m', 'tests.train', f'--config={config}',
    f'--workdir={workdir}', '--config.parallel=jit',
    f'--config.train.num_steps={NUM_STEPS}',
    f'--config.checkpoint.save_every_steps={SAVE_EVERY}',
    *([f'--kill={kill}'] if kill else []),
  ]  # fmt: skip
  cache = {'JAX_COMPILATION_CACHE_DIR': str(ROOT / '.cache/jax')}
  done = subprocess.run(
    command, cwd=ROOT, capture_output=True, text=True, env=cache | os.environ
  )
  if done.returncode not in (0, -signal.SIGKILL):
    raise RuntimeError(f'{" ".join(command)}\n{done.stdout}{done.stderr}')
  return done.returncode


def outcome(workdir: pathlib.Path) -> dict:
  """Collects the results of a run, except times and starts."""
  lines = [
    {k: v for k, v in json.loads(line).items() if not k.endswith('_seconds')}
    for line in (workdir / 'metrics.jsonl').read_text().splitlines()
  ]
  result = json.loads((workdir / 'result.json').read_text())
  for name in ('images_per_second', 'sessions'):
    del result[name]
  parts = {}
  for path in (workdir / 'checkpoints').glob('*/_CHECKPOINT_METADATA'):
    parts[path.parent.name] = json.loads(path.read_text())['custom_metadata']
  samples = {p.name: p.read_bytes() for p in (workdir / 'samples').glob('*')}
  left = [p.name for p in workdir.rglob('*tmp*')]
  return {
    'lines': lines, 'result': result, 'checkpoints': parts,
    'samples': samples, 'left behind': left,
  }  # fmt: skip


def _starts(workdir: pathlib.Path) -> list[int]:
  path = workdir / 'environment.json'
  if not path.exists():
    return []
  return [x['from_step'] for x in json.loads(path.read_text())['sessions']]


def kill_system(
  name: str, rounds: int, folder: pathlib.Path, seed: int
) -> dict:
  """Kills runs of one system until the number of kills is reached.

  Returns:
    Counts of kills by phase and of the runs that were compared, and the largest
    numbers of steps that were done again: after kills while no checkpoint was
    being written, and while one was.

  Raises:
    AssertionError: a run did not end as the undisturbed one.
  """
  config, rng = SYSTEMS[name][0], random.Random(f'{name} {seed}')
  undisturbed = folder / f'{name}-undisturbed'
  _train(config, undisturbed, None)
  want = outcome(undisturbed)
  counts, again = collections.Counter(), {False: 0, True: 0}
  runs = 0
  while counts.total() < rounds or runs == 0:
    workdir = folder / f'{name}-{runs}'
    log = pathlib.Path(f'{workdir}.kills')
    while True:
      kill = None
      if counts.total() < rounds:
        # At least a third of the kills hit a checkpoint that is being written.
        phase = rng.choice([*PHASES, 'checkpoint', 'checkpoint'])
        kill = f'{phase},{rng.randrange(2**31)}'
      starts = len(_starts(workdir))
      before = log.read_text().splitlines() if log.exists() else []
      status = _train(config, workdir, kill)
      after = log.read_text().splitlines() if log.exists() else []
      if before:  # where did the start after that kill begin?
        last, now = json.loads(before[-1]), _starts(workdir)
        if len(now) > starts:
          lost = last['step'] - now[starts]
          again[last['saving']] = max(again[last['saving']], lost)
      if status == 0:
        break
      assert len(after) == len(before) + 1, 'killed by somebody else'
      counts[json.loads(after[-1])['phase']] += 1
    have = outcome(workdir)
    for part, value in want.items():
      assert have[part] == value, f'{workdir}: {part} differ'
    runs += 1
  return {
    'kills': dict(counts), 'runs': runs, 'again': again[False],
    'again_while_saving': again[True],
  }  # fmt: skip


def main() -> None:
  """Prints a table of all systems."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--rounds', type=int, default=200)
  parser.add_argument(
    '--systems', default=','.join(n for n in SYSTEMS if n != 'toy')
  )
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--jobs', type=int, default=2)
  parser.add_argument('--workdir', type=pathlib.Path, required=True)
  args = parser.parse_args()
  args.workdir.mkdir(parents=True, exist_ok=True)
  print(
    '| system | ' + ' | '.join(PHASES) + ' | runs compared | steps done again, '
    f'of {SAVE_EVERY} between saves | the same while saving |\n'
    '| --- | --- | --- | --- | --- | --- | --- | --- |'
  )
  with futures.ThreadPoolExecutor(args.jobs) as pool:
    names = {
      pool.submit(
        kill_system,
        name,
        round(args.rounds * SYSTEMS[name][1]),
        args.workdir,
        args.seed,
      ): name
      for name in args.systems.split(',')
    }
    for future in futures.as_completed(names):
      name, row = names[future], future.result()
      counts = ' | '.join(str(row['kills'].get(x, 0)) for x in PHASES)
      print(
        f'| {name} | {counts} | {row["runs"]} | {row["again"]} | '
        f'{row["again_while_saving"]} |',
        flush=True,
      )


if __name__ == '__main__':
  main()
