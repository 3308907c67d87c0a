import pytest

from gan_jax.systems import base, epoch_rows
from gan_jax.training import meter


@pytest.fixture
def now(monkeypatch):
  seconds = [0.0]
  monkeypatch.setattr(meter.time, 'perf_counter', lambda: seconds[0])
  return seconds


def test_a_clock_counts_steps_after_the_first_and_all_of_their_images(now):
  config = base('gan')
  config.data.batch_size, config.loss.n_critic = 10, 5
  clock = meter.Clock(epoch_rows(config), steps_per_epoch=4)
  now[0] = 100.0  # after compilation
  clock.step(1)
  now[0] = 102.0
  clock.step(2)
  clock.pause()
  now[0] = 150.0  # after a report
  clock.resume()
  assert clock.lap() == {'step_seconds': 1.0, 'epoch_seconds': 4.0}
  now[0] = 153.0
  clock.step(2)
  clock.pause()
  assert clock.images_per_second() == 50 * 4 / 5.0
  # Four steps took 53 seconds, with the report.
  assert clock.seconds_left(8) == 8 * 53.0 / 4


@pytest.mark.parametrize('system', ['ssgan', 'supervised', 'cyclegan'])
def test_a_step_takes_a_batch_where_players_have_one_turn(system):
  config = base(system)
  config.data.batch_size = 7
  assert epoch_rows(config) == 7


def test_no_time_no_speed():
  assert meter.Clock(10, 4).images_per_second() is None
  assert meter.Clock(10, 4).seconds_left(3) is None
