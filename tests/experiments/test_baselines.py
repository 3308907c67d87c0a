"""Baselines of translation, on a smoke run."""

import json
import runpy

import numpy as np
import pytest
from PIL import Image

from gan_jax.runs import restore
from tests.conftest import ROOT

SMOKE = f'--config={ROOT}/configs/facades_pix2pix.py:smoke'
main = runpy.run_path(str(ROOT / 'experiments/results/baselines.py'))['main']


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  from gan_jax.commands import train

  folder = tmp_path_factory.mktemp('baselines')
  rng = np.random.default_rng(0)
  for part, num in (('train', 12), ('test', 6)):
    (folder / part).mkdir()
    for i in range(num):
      pair = rng.integers(0, 256, (18, 36, 3), np.uint8)
      Image.fromarray(pair).save(folder / part / f'{i}.png')
  flags = [
    '--config.data.made_up=False', f'--config.data.data_dir={folder}',
    '--config.data.num_validation=4', '--config.eval.metrics=kid',
    '--config.parallel=jit',
    '--config.eval.extractor=random', f'--workdir={folder}/run',
  ]  # fmt: skip
  assert train.main([SMOKE, *flags]) == 0
  return folder / 'run'


@pytest.mark.systems
@pytest.mark.parametrize('direction', ['a2b', 'b2a'])
def test_scores_by_hand(run, tmp_path, direction):
  flags = [f'--direction={direction}', f'--output={tmp_path}/new']
  assert main([f'--workdir={run}', *flags]) == 0
  found = {
    path.stem: json.loads(path.read_text())['scores']
    for path in (tmp_path / 'new').iterdir()
  }
  data = restore.load_run_data(restore.load_run(run)).dataset
  source, target = (
    np.stack([x[i] for i in range(len(x))]).astype(np.float64)
    for x in (getattr(data.test, domain) for domain in direction.split('2'))
  )
  error = abs(source - target).mean() / 127.5
  assert found['copy'][f'test_l1_{direction}'] == pytest.approx(error)
  # The mean of eight images of noise is nearly gray.
  gray = abs(target - 127.5).mean() / 127.5
  assert found['mean'][f'test_l1_{direction}'] == pytest.approx(gray, rel=0.15)
  assert found['mean']['test_kid'] > found['copy']['test_kid']


@pytest.mark.systems
def test_data_without_pairs_are_refused(trained, capsys):
  assert main([f'--workdir={trained}']) == 2
  assert 'need test images in pairs' in capsys.readouterr().err
