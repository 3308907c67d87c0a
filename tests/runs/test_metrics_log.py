import contextlib
import json
import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from gan_jax.core.errors import InputError
from gan_jax.runs.events import EventFile, write_tensorboard
from gan_jax.runs.metrics_log import MetricsLog, read_lines

GREY = np.full((4, 4, 3), 128, np.uint8)


@pytest.fixture
def directory(tmp_path):
  log = MetricsLog(tmp_path, 0, [write_tensorboard])
  for step in (1, 2, 3, 4):
    line = {'step': step, 'd_loss': step / 3, 'label': 'text'}
    log.write_report(line, {'samples': GREY})
  log.close()
  return tmp_path


def events(directory):
  """(tag, step) of everything in the event files, in their framing."""
  found = []
  for path in (directory / 'tensorboard').iterdir():
    data = path.read_bytes()
    while data:
      (length,) = struct.unpack('<Q', data[:8])
      event = Event.FromString(data[12 : 12 + length])
      found += [(value.tag, event.step) for value in event.summary.value]
      data = data[16 + length :]
  return sorted(found)


def test_lines_come_back_exactly(directory):
  lines = list(read_lines(directory / 'metrics.jsonl'))
  assert [line['step'] for line in lines] == [1, 2, 3, 4]
  assert lines[0]['d_loss'] == 1 / 3


def test_lines_are_read_one_by_one(directory):
  with (directory / 'metrics.jsonl').open('a') as file:
    file.write('damage\n{"step": 9}\n')
  lines = read_lines(directory / 'metrics.jsonl')
  assert [next(lines)['step'] for _ in range(4)] == [1, 2, 3, 4]
  with pytest.raises(InputError, match='damaged in line 5'):
    next(lines)


def test_events_mirror_the_numbers_and_pictures(directory):
  tags = ('d_loss', 'samples')
  assert events(directory) == [(t, s) for t in tags for s in (1, 2, 3, 4)]


def test_opening_at_a_step_rolls_everything_back(directory):
  with (directory / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 5, "d_lo')  # cut short by a kill
  for path in (directory / 'tensorboard').iterdir():
    # Names hold the second: within it, the new file would replace the old.
    path.rename(path.with_name('events.out.tfevents.1.host'))
  log = MetricsLog(directory, 2, [write_tensorboard])
  log.write_report({'step': 3, 'd_loss': 9.0}, {})
  log.close()
  lines = (directory / 'metrics.jsonl').read_text().splitlines()
  assert [json.loads(line)['step'] for line in lines] == [1, 2, 3]
  assert json.loads(lines[-1])['d_loss'] == 9.0
  names = sorted(p.name for p in (directory / 'samples').iterdir())
  assert names == ['samples_00000001.png', 'samples_00000002.png']
  assert events(directory) == [
    ('d_loss', 1),
    ('d_loss', 2),
    ('d_loss', 3),
    ('samples', 1),
    ('samples', 2),
  ]


def test_pictures_of_other_origin_are_left_alone(directory):
  for name in ('mine_99999.png', 'mine_2nd.png'):
    (directory / 'samples' / name).write_bytes(b'precious')
  MetricsLog(directory, 2).close()
  names = {p.name for p in (directory / 'samples').iterdir()}
  assert names >= {'mine_99999.png', 'mine_2nd.png'}
  assert (directory / 'tensorboard').is_dir()


def test_without_tensorboard_there_are_no_events(tmp_path):
  MetricsLog(tmp_path, 0).close()
  assert not (tmp_path / 'tensorboard').exists()


def test_a_writer_is_told_of_reports_that_are_on_disk(tmp_path):
  """Of their numbers and pictures, but not of other lines."""
  told = []

  @contextlib.contextmanager
  def writer(directory, start):
    told.append((directory, start))
    yield lambda *report: told.append((*report, lines(directory)))
    told.append('closed')

  def lines(directory):
    return len(list(read_lines(directory / 'metrics.jsonl')))

  log = MetricsLog(tmp_path, 0, [writer])
  log.write({'step': 1, 'state_sha256': 'abc'})
  log.write_report({'step': 2, 'd_loss': 0.5, 'n_real': 7}, {'a': GREY})
  log.close()
  report = (2, {'d_loss': 0.5}, {'a': GREY}, 2)
  assert told == [(tmp_path, 0), report, 'closed']
  MetricsLog(tmp_path, 1, [writer]).close()
  assert told[3:] == [(tmp_path, 1), 'closed']


def test_a_full_disk_is_told_with_the_path(tmp_path):
  log = MetricsLog(tmp_path, 0)
  log._file.close()
  log._file = open('/dev/full', 'w')  # noqa: SIM115
  with pytest.raises(OSError, match='No space left') as caught:
    log.write({'step': 1, 'd_loss': 1.0})
  assert caught.value.filename == str(tmp_path / 'metrics.jsonl')


def test_a_full_disk_of_events_is_told_with_the_path(tmp_path):
  events = EventFile(tmp_path / 'tensorboard')
  records = events._writer._py_recordio_writer
  records._writer.close()
  with open('/dev/full', 'wb', buffering=0) as full:
    records._writer = full
    with pytest.raises(OSError, match='No space left') as caught:
      events.add_scalar('d_loss', 1.0, 1)
  assert caught.value.filename == str(tmp_path / 'tensorboard')
