import pathlib

import numpy as np
from PIL import Image

DOCS = pathlib.Path(__file__).parents[2] / 'docs'


def test_the_picture_is_that_of_the_page(command, tmp_path):
  path = tmp_path / 'new' / 'losses.png'
  out = command('plot_losses', f'--output={path}').stdout
  assert out.strip() == str(path)
  made, shown = (
    np.asarray(Image.open(x).convert('L'), float)
    for x in (path, DOCS / 'losses.png')
  )
  assert made.shape == shown.shape
  # In grey levels. Versions of matplotlib may place text differently; two rows
  # exchanged would make 1.3, an empty picture 9.
  assert np.abs(made - shown).mean() < 1.0


def test_another_kind_of_file_is_refused(command, tmp_path):
  path = tmp_path / 'losses.pdf'
  error = command('plot_losses', f'--output={path}', status=2).stderr
  assert 'want a name that ends in .png' in error
  assert not path.exists()
