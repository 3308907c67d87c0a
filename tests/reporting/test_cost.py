"""What a report of a long run takes: its size, and its curves' points."""

import json
import random

import numpy as np
import pytest
from PIL import Image

from gan_jax.core.files import write_json
from gan_jax.reporting import panels, run_report
from gan_jax.reporting.curves import panel_svg
from gan_jax.runs.directory import RunDirectory
from gan_jax.runs.grids import grid, save_png
from gan_jax.runs.program import build
from tests import made_up, toy

pytestmark = pytest.mark.systems

METRICS = (
  'd_fake_logit', 'd_grad_norm', 'd_loss', 'd_loss_adversarial', 'd_r1', 'd_r2',
  'd_real_logit', 'd_win_rate', 'g_grad_norm', 'g_loss', 'samples_std',
  'step_seconds', 'epoch_seconds',
)  # fmt: skip


def long_run(path, num, every=10):
  """A run directory with `num` reports, and as many lines with a hash."""
  directory = RunDirectory(path)
  directory.path.mkdir(parents=True, exist_ok=True)
  program = build(toy.get_config(), made_up.tiny())
  directory.define(program.config, program.describe_data())
  write_json(directory.environment, {'sessions': []})
  rng = random.Random(0)
  with directory.metrics.open('w') as file:
    for step in range(every, (num + 1) * every, every):
      line = {'step': step, 'epoch': step / 5}
      line |= {name: 1.0 + rng.random() for name in METRICS}
      if step == num // 3 * every:
        line['g_loss'] = 1000.0
      file.write(json.dumps(line) + '\n')
      sha256 = f'{rng.getrandbits(256):064x}'
      file.write(json.dumps({'step': step, 'state_sha256': sha256}) + '\n')
  return directory


def test_a_run_of_many_reports_makes_a_small_page(tmp_path, monkeypatch):
  drawn = []

  def draw(curves, *args, **options):
    drawn.extend(curves)
    return panel_svg(curves, *args, **options)

  monkeypatch.setattr(panels, 'panel_svg', draw)
  run = long_run(tmp_path / 'run', 10_000)
  run_report.write_report(run.path, tmp_path / 'x.html', look=False)
  assert 100_000 < (tmp_path / 'x.html').stat().st_size < 2_000_000
  assert len(drawn) == len(METRICS) - 1  # all but the seconds of an epoch
  assert all(len(curve.steps) == len(curve.values) for curve in drawn)
  assert all(900 < len(curve.steps) <= 1000 for curve in drawn)
  assert all(curve.steps[-1] == 100_000 for curve in drawn)
  (spike,) = [curve for curve in drawn if max(curve.values) == 1000.0]
  assert spike.steps[spike.values.index(1000.0)] == 33_330
  page = (tmp_path / 'x.html').read_text()
  assert page.count('<summary>at 10,000 checkpoints, the last 10 here') == 1
  assert 'Curves of more than 1,000 reports are thinned' in page


def noise(side, channels):
  """A grid of 50 images of noise, which nothing compresses."""
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (50, side, side, channels), np.uint8)
  return grid(images, 10)


def clouds():
  """As many pixels as ten triples of 256x256, smooth as photographs are."""
  rng = np.random.default_rng(0)
  image = Image.fromarray(rng.integers(0, 256, (64, 77, 3), np.uint8))
  return np.asarray(image.resize((1543, 1286), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
  ('picture', 'exact'),
  [(noise(28, 1), True), (noise(64, 3), False), (clouds(), False)],
  ids=['28x28', '64x64 in colour', '256x256 in colour'],
)
def test_a_run_of_sixty_grids_makes_a_page_of_three_megabytes(
  tmp_path, picture, exact
):
  run = long_run(tmp_path / 'run', 60)
  first, *others = (run.samples / f'samples_{i:08d}.png' for i in range(60))
  save_png(first, picture)
  for path in others:
    path.write_bytes(first.read_bytes())
  run_report.write_report(run.path, tmp_path / 'x.html', look=False)
  page = (tmp_path / 'x.html').read_text()
  assert 500_000 < len(page) < 3_000_000
  assert ('compressed with loss' in page) != exact
  assert 5 < page.count('class="pixels"') <= 40
