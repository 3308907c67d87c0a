"""The launchers with other trackers that docs/running.md shows.

They were tried with the real packages; here each is a recorder of what it is
told.
"""

import contextlib
import re
import sys
import types

import pytest

from tests.conftest import ROOT

EXAMPLES = re.findall(
  r'```python\n(.*?)```', (ROOT / 'docs/running.md').read_text(), re.DOTALL
)
pytestmark = pytest.mark.systems


class Recorder(types.ModuleType):
  """A stand-in for a tracker's package."""

  def __init__(self):
    super().__init__('tracker')
    self.numbers, self.images, self.opened = {}, [], []

  @contextlib.contextmanager
  def init(self, **options):
    self.opened.append(options)
    yield self

  start_run = init

  def log(self, values, step):
    for name, value in values.items():
      if isinstance(value, float):
        self.log_metrics({name: value}, step)
      else:
        self.log_image(value, name)

  def Image(self, image):  # noqa: N802
    return image

  def log_metrics(self, numbers, step):
    self.numbers.setdefault(step, {}).update(numbers)

  def log_image(self, image, name):
    assert (image.dtype, image.shape[-1]) == ('uint8', 3)
    self.images.append(name)


@pytest.mark.parametrize(
  ('code', 'name'), [*zip(EXAMPLES, ('wandb', 'mlflow'), strict=True)]
)
def test_a_launcher_tells_its_tracker_all_reports(
  code, name, tmp_path, monkeypatch
):
  tracker = Recorder()
  monkeypatch.setitem(sys.modules, name, tracker)
  monkeypatch.setattr(sys, 'argv', [
    'launch.py', f'--config={ROOT}/configs/mnist_gan.py:smoke',
    f'--workdir={tmp_path}/run', '--config.parallel=jit',
  ])  # fmt: skip
  with pytest.raises(SystemExit) as stop:
    exec(compile(code, 'launch.py', 'exec'), {})
  assert stop.value.code == 0
  assert len(tracker.opened) == 1
  assert 'run' in tracker.opened[0].values()
  assert [*tracker.numbers] == [2, 4, 6, 8]
  assert tracker.numbers[8].keys() >= {'d_loss', 'g_loss', 'epoch'}
  assert len(tracker.images) == 4
