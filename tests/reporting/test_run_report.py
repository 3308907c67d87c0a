"""The report that is written while a run goes on."""

import pytest

from gan_jax.reporting import run_report
from gan_jax.training import loop
from tests.training.test_loop import stop_after


@pytest.mark.systems
def test_a_report_follows_the_run(
  toy_config, tiny_dataset, tmp_path, monkeypatch
):
  monkeypatch.setattr(run_report, '_FIRST_SECONDS', 0.0)
  stop_after(monkeypatch, 5)
  with pytest.raises(loop.Stopped):
    loop.train(toy_config, tmp_path, dataset=tiny_dataset)
  page = (tmp_path / 'report.html').read_text()
  assert 'not finished' in page
  assert 'step 3,' in page  # of the first report, when it was due
  monkeypatch.undo()
  loop.train(toy_config, tmp_path, dataset=tiny_dataset)
  page = (tmp_path / 'report.html').read_text()
  assert 'not finished' not in page
  assert 'step 6,' in page


def test_the_report_says_that_the_run_has_diverged(
  toy_config, tiny_dataset, tmp_path, monkeypatch
):
  monkeypatch.setattr(run_report, '_FIRST_SECONDS', 0.0)
  monkeypatch.setattr(loop, 'all_finite', lambda state: int(state.step) < 4)
  with pytest.raises(loop.Diverged):
    loop.train(toy_config, tmp_path, dataset=tiny_dataset)
  page = (tmp_path / 'report.html').read_text()
  assert 'has diverged and ended: a weight is not finite at step 4' in page


def test_a_run_of_less_than_a_minute_does_not_wait_for_one(
  toy_config, tiny_dataset, tmp_path
):
  loop.train(toy_config, tmp_path, dataset=tiny_dataset)
  assert not (tmp_path / 'report.html').exists()


def test_training_goes_on_without_a_report(
  toy_config, tiny_dataset, tmp_path, monkeypatch, capsys
):
  def full(*_):
    raise OSError('no space left')

  monkeypatch.setattr(run_report, '_FIRST_SECONDS', 0.0)
  monkeypatch.setattr(run_report.page, 'write_report', full)
  result = loop.train(toy_config, tmp_path, dataset=tiny_dataset)
  assert result['steps'] == 8
  assert 'note: no report: no space left' in capsys.readouterr().err
