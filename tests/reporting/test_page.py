"""The HTML report: what stands in it, and that nothing in it is alive."""

import base64
import hashlib
import html.parser
import io
import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from gan_jax.core.errors import InputError
from gan_jax.reporting import panels
from gan_jax.reporting.curves import Curve, panel_svg
from gan_jax.reporting.html import Html, element, picture, webp
from gan_jax.reporting.page import Run, write_comparison, write_report
from gan_jax.runs.grids import save_png

EVIL = '</script><img src=x onerror="alert(1)">\'&'
VOID = {'img', 'input', 'meta', 'link'}


@pytest.fixture(autouse=True, scope='module')
def drawn_once():
  """The same curves are drawn once for all tests: drawing takes most time."""
  drawn = {}

  def draw(*args, **options):
    key = repr((args, options))
    if key not in drawn:
      drawn[key] = panel_svg(*args, **options)
    return drawn[key]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(panels, 'panel_svg', draw)
    yield


class Page(html.parser.HTMLParser):
  """A page's tags, and its text by the heading that it stands under."""

  def __init__(self, path):
    super().__init__()
    self.tags, self.open, self.text, self.raw = [], [], {}, {}
    self.heading = ''
    self.source = path.read_text()
    self.feed(self.source)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in VOID:
      self.open.append(tag)
    if tag == 'h2':
      self.heading = ''

  def handle_endtag(self, tag):
    assert self.open.pop() == tag  # well nested

  def handle_data(self, data):
    if self.open and self.open[-1] in ('script', 'style'):
      self.raw[self.open[-1]] = data
      return
    if self.open and self.open[-1] == 'h2':
      self.heading += data
      return
    before = self.text.get(self.heading, '')
    self.text[self.heading] = before + data + '\n'

  def all(self, name):
    return [attrs for tag, attrs in self.tags if tag == name]


def grid(path, value):
  save_png(path, np.full((8, 12, 3), value, np.uint8))


def make_run(path, name='a run', **changes):
  for step in (2, 4, 6):
    grid(path / f'samples/samples_{step:08d}.png', step)
  reports = [
    {'step': 2 * i, 'epoch': 0.5 * i, 'd_loss': 2.0 / i, 'g_loss': 0.1 * i,
     'd_grad_norm': 1.0, 'samples_std': 0.2, 'step_seconds': 0.01,
     'epoch_seconds': 0.1, 'd_odd': 1.0}
    for i in (1, 2, 3)
  ]  # fmt: skip
  run = Run(
    name=name,
    path=path,
    config={'system': 'gan', 'data.name': 'mnist', 'seed': 3},
    data={'spec': {'num_classes': 10}, 'sha256': {'train': 'abc'}},
    sessions=[
      {'from_step': 0, 'device_kind': 'cpu', 'packages': {'jax': '0.10.1'}},
      {'from_step': 4, 'device_kind': 'cpu', 'packages': {'jax': '0.10.2'}},
    ],
    reports=reports,
    hashes={2: 'hash-two', 6: 'hash-six'},
    num_hashes=2,
    seconds=0.06,
    result={'steps': 6, 'samples_std': 0.123456, 'sha256': {'state': 'x'}},
  )
  return run._replace(**changes)


def insights(path, **changes):
  """What training.insights writes, of two classes."""
  folder = path / 'report'
  for name in ('neighbours_samples', 'interpolation_samples', 'hardest_00'):
    grid(folder / f'{name}.png', 77)
  found = {
    'step': 6,
    'weights': 'averaged',
    'num_compared': 1000,
    'data': {'num': 100, 'std': 0.25, 'to_train': 2.0, 'identical': 0},
    'samples': {
      'samples': {'num': 24, 'std': 0.2, 'to_train': 1.9, 'identical': 0}
    },
    'classification': {
      'weights': 'raw', 'split': 'validation', 'num': 9, 'of': 20,
      'error': 1 / 9,
      'classes': ['0', EVIL], 'confusion': [[5, 1], [0, 3]],
      'hardest': [{'label': '0', 'predicted': EVIL, 'probability': 0.98}],
    },
  }  # fmt: skip
  found |= changes
  (folder / 'insights.json').write_text(json.dumps(found))


def embedded(attributes):
  """The pixels of a picture in a page."""
  code = attributes['src'].removeprefix('data:image/webp;base64,')
  return np.asarray(Image.open(io.BytesIO(base64.b64decode(code))))


def written(run, tmp_path):
  write_report(run, tmp_path / 'report.html')
  return Page(tmp_path / 'report.html')


def test_what_ran_stands_in_it(tmp_path):
  page = written(make_run(tmp_path), tmp_path)
  summary = page.text['Summary']
  for words in ('gan', 'mnist', 'step 6, epoch 1.5', 'finished', 'hash-six'):
    assert words in summary
  assert 'hash-two' not in summary
  ran = page.text['What ran']
  for words in ('seed', '3', 'sha256.train', 'abc', 'hash-two', 'from step 0',
                'from step 4; changed: jax: 0.10.1 -> 0.10.2'):  # fmt: skip
    assert words in ran
  assert page.text['Final numbers'].split() == [
    'steps', '6', "samples'", 'deviation', 'over', 'z', '0.1235'
  ]  # fmt: skip


def test_the_command_that_repeats_the_run_comes_first(tmp_path):
  path = tmp_path / "it's a run"
  insights(path)
  page = written(make_run(path), tmp_path)
  shown = [x for x in page.text[''].split('\n') if x]
  title, heading, line, button, *_ = shown
  assert title == heading == 'a run: gan on mnist'
  assert shlex.split(line) == [
    'gan-jax', 'train', f'--config={path}', f'--workdir={path}-again',
  ]  # fmt: skip
  assert button == 'copy'
  assert all('hidden' in x for x in page.all('button'))  # without the script


def test_no_command_leaves_a_directory_to_be_filled_in(tmp_path):
  page = written(make_run(tmp_path), tmp_path)
  text = '\n'.join(page.text.values())
  assert not re.search(r'\bDIR\b', text)
  commands = [x for x in text.split('\n') if x.startswith('gan-jax ')]
  assert [x.split()[1] for x in commands] == [
    'train', 'report', 'train', 'train', 'verify',
  ]  # fmt: skip
  assert all(str(tmp_path) in x for x in commands)


def rows_of(page, section):
  """A table's rows by their heads; each text is a line of its own."""
  lines = page.text[section].split('\n')[:-1]
  return dict(zip(lines[::2], lines[1::2], strict=True))


def test_the_summary_says_what_was_trained_and_how_long(tmp_path):
  run = make_run(
    tmp_path,
    config={
      'system': 'gan', 'data.name': 'mnist', 'data.batch_size': 64,
      'data.num_labels': 100, 'augment.policy': 'color,cutout',
      'augment.probability': 0.5, 'augment.schedule.name': 'constant',
    },
    data={
      'spec': {'steps_per_epoch': 859},
      'num_images': {'train': [55000], 'validation': [5000], 'test': [10000]},
    },
    sessions=[
      {'from_step': 0, 'started': '2030-01-02T03:04:05+00:00'},
      {'from_step': 4, 'started': '2030-02-02T03:04:05+00:00'},
    ],
    seconds=3723.4,
  )  # fmt: skip
  rows = rows_of(written(run, tmp_path), 'Summary')
  assert (
    rows.items()
    >= {
      'training images': '55,000',
      'validation images': '5,000',
      'test images': '10,000',
      'labels kept': '100',
      'augmentation': 'color,cutout, probability 0.5',
      'batch size': '64',
      'steps per epoch': '859',
      'started': '2030-01-02T03:04:05+00:00',
      'duration': '1 h 2 min, without reports and checkpoints',
      'sessions': '2',
    }.items()
  )
  run = run._replace(
    config={**run.config, 'augment.policy': None},
    data={'num_images': {'train': [400, 398], 'test': [5, 6]}},
    seconds=0.06,
  )
  rows = rows_of(written(run, tmp_path), 'Summary')
  assert rows['training images'] == '400 + 398'
  assert rows['augmentation'] == 'none'
  assert rows['duration'].startswith('less than a second, ')


def test_sizes_that_a_run_did_not_record(tmp_path):
  """Those of an earlier version are counted anew with the insights."""
  data = {'spec': {'class_counts': [40, 60]}}
  run = make_run(tmp_path, data=data)
  rows = rows_of(written(run, tmp_path), 'Summary')
  assert rows['training images'] == '100'
  assert 'test images' not in rows
  assert 'started' not in rows
  sizes = {'train': [100], 'validation': [20], 'test': [30]}
  insights(tmp_path, num_images=sizes)
  rows = rows_of(written(run, tmp_path), 'Summary')
  assert rows['test images'] == '30'
  insights(tmp_path, num_images={'train': 'many'})
  assert 'test images' not in rows_of(written(run, tmp_path), 'Summary')


def test_the_summary_has_the_last_quality(tmp_path):
  run = make_run(tmp_path)
  reports = [dict(line) for line in run.reports]
  for line, fid in zip(reports, (30.0, 20.0), strict=False):  # not of the last
    line |= {'validation_fid': fid, 'validation_kid': fid / 1000}
  run = run._replace(
    reports=reports,
    config={**run.config, 'eval.extractor': 'runs/judge'},
    result=None,
  )
  rows = rows_of(written(run, tmp_path), 'Summary')
  assert rows['validation FID'] == '20, step 4'
  assert rows['validation KID'] == '0.02, step 4'
  assert rows['features from'] == 'runs/judge'
  run = run._replace(result={'test_fid': 19.5, 'validation_fid': 18.0})
  rows = rows_of(written(run, tmp_path), 'Summary')
  assert (rows['test FID'], rows['validation FID']) == ('19.5', '18')
  plain = rows_of(written(make_run(tmp_path), tmp_path), 'Summary')
  assert 'features from' not in plain


def test_of_many_hashes_the_last_are_shown(tmp_path):
  page = written(make_run(tmp_path, num_hashes=100_000), tmp_path)
  said = page.text['What ran']
  assert 'at 100,000 checkpoints, the last 2 here' in said
  assert str(tmp_path / 'metrics.jsonl') in said
  few = written(make_run(tmp_path), tmp_path).text['What ran']
  assert 'at 2 checkpoints\n' in few


def test_a_run_that_is_not_finished_says_so(tmp_path):
  page = written(make_run(tmp_path, result=None), tmp_path)
  assert 'not finished' in page.text['Summary']
  numbers = page.text['Final numbers']
  assert 'last report' in numbers
  assert "D's loss\n0.6667" in numbers


def test_grids_stand_on_a_slider_in_their_order(tmp_path):
  run = make_run(tmp_path)
  grid(tmp_path / 'samples/b2a_00000006.png', 9)
  grid(tmp_path / 'samples/mine.png', 9)  # not the log's
  page = written(run, tmp_path)
  sliders = page.all('input')
  assert [slider['max'] for slider in sliders] == ['0', '2']
  assert [slider['min'] for slider in sliders] == ['0', '0']
  frames = [x for x in page.all('img') if x['alt'].startswith('samples, step')]
  values = []
  for frame in frames:
    values.append(embedded(frame)[0, 0, 0])
  assert values == [2, 4, 6]
  assert [x['alt'] for x in frames] == [f'samples, step {i}' for i in values]
  figures = page.all('figure')
  start = next(i for i, x in enumerate(figures) if 'hidden' in x)
  assert ['hidden' in x for x in figures[start : start + 3]] == [
    True, True, False,
  ]  # fmt: skip
  assert [slider['value'] for slider in sliders] == ['0', '2']


def test_real_images_stand_next_to_the_last_grid(tmp_path):
  run = make_run(tmp_path)
  insights(tmp_path)
  shown = [
    x for x in written(run, tmp_path).all('img') if 'next to' in x['alt']
  ]
  assert shown == []
  grid(tmp_path / 'report/real.png', 99)
  page = written(run, tmp_path)
  alts = [x['alt'] for x in page.all('img')]
  real = alts.index('real images next to samples')
  assert alts[real - 1] == 'samples, step 6'
  assert (embedded(page.all('img')[real]) == 99).all()
  assert 'of the validation split' in page.text['Samples over training']


@pytest.mark.parametrize('num', [1, 2, 3, 40, 41, 200, 1000])
def test_long_histories_are_thinned(num):
  sizes, some = [1000] * num, 10**6
  kept = panels.thinned_frames(sizes, some)
  assert len(kept) == min(num, panels.MAX_FRAMES)
  assert (kept[0], kept[-1]) == (0, num - 1)
  steps = np.diff(kept)
  assert (steps >= 1).all()
  assert np.ptp(steps) <= 1 if num > 1 else True
  assert len(panels.thinned_frames(sizes, 5500)) == min(num, 5)
  least = panels.thinned_frames(sizes, 500)
  assert least == [*dict.fromkeys([0, num - 1])]


def test_metrics_of_a_kind_share_a_panel(tmp_path):
  page = written(make_run(tmp_path), tmp_path)
  plots = [x['alt'] for x in page.all('img') if x.get('class') == 'plot']
  assert plots == [
    "G's loss",
    "D's loss",
    'Deviation over z',
    'Gradient norms',
    'Time of a step',
    "D's odd",
  ]
  assert 'epoch_seconds' not in page.source
  # Their keys are where the pointer rests.
  keys = [x['title'] for _, x in page.tags if 'title' in x]
  assert keys.count('d_loss') == keys.count('d_odd') == 1


def test_no_curve_is_drawn_twice(tmp_path):
  run = make_run(tmp_path)
  alone = [x | {'d_loss_adversarial': x['d_loss']} for x in run.reports]
  page = written(run._replace(reports=alone), tmp_path)
  plots = [x['alt'] for x in page.all('img') if x.get('class') == 'plot']
  assert "D's loss" in plots
  assert "Parts of D's loss" not in plots
  same = "D's loss\nthe same values: \nD's adversarial loss\n"
  assert same in page.text['Curves']
  both = [x | {'d_loss_other': 1.0} for x in alone]
  page = written(run._replace(reports=both), tmp_path)
  plots = [x['alt'] for x in page.all('img') if x.get('class') == 'plot']
  assert "Parts of D's loss" in plots
  # Equal numbers of other things are no repetition.
  wins = [x | {'d_win_rate': 0.5, 'validation_error': 0.5} for x in alone]
  page = written(run._replace(reports=wins), tmp_path)
  plots = [x['alt'] for x in page.all('img') if x.get('class') == 'plot']
  assert {"D's win rate", 'Validation error'} <= set(plots)


def test_what_differs_in_one_run_is_drawn_of_all(tmp_path):
  """Side by side, a part repeats its loss only if it does in each run."""
  run = make_run(tmp_path)
  same = [x | {'d_loss_adversarial': x['d_loss']} for x in run.reports]
  other = [x | {'d_loss_adversarial': 1.0} for x in run.reports]
  for second, drawn in ((same, 0), (other, 1)):
    pair = [run._replace(reports=x) for x in (same, second)]
    write_comparison(pair, tmp_path / 'pair.html')
    page = Page(tmp_path / 'pair.html')
    alts = [x['alt'] for x in page.all('img')]
    assert alts.count("D's adversarial loss") == drawn


def test_health_says_what_is_wrong_and_what_was_looked_at(tmp_path):
  run = make_run(tmp_path)
  said = written(run, tmp_path).text['Health']
  assert said == (
    'No fault found by these checks, of the later half of 3 reports: the '
    "samples' deviation (0.200; the data's is not known); gradient "
    'norms (1). They do not see what the samples look like. Not '
    "known: D's win rate; how often D sees an image.\n"
  )
  reports = [line | {'d_win_rate': 1.0} for line in run.reports * 2]
  won = run._replace(reports=reports, data={'std': 0.35})
  said = written(won, tmp_path).text['Health']
  assert said.startswith('D is far ahead of G: it tells real from generated in')
  other = won._replace(d_may_win=True)
  assert 'No fault found' in written(other, tmp_path).text['Health']
  few = run._replace(reports=run.reports[:2])
  assert 'Too few reports' in written(few, tmp_path).text['Health']
  ended = few._replace(divergence='g_loss is nan at step 5')
  said = written(ended, tmp_path).text['Health']
  assert said.startswith('The run has diverged and ended: g_loss is nan')
  silent = [{'step': i, 'epoch': 1.0, 'd_loss': 1.0} for i in range(3)]
  said = written(run._replace(reports=silent), tmp_path).text['Health']
  assert said.startswith("There is nothing to tell by. Not known: D's win")


def test_samples_are_held_against_the_datas_deviation(tmp_path):
  run = make_run(tmp_path)
  insights(tmp_path, data={'num': 9, 'std': 0.5, 'to_train': 2.0})
  page = written(run, tmp_path)
  assert "the data's is 0.500" in page.text['Health']
  assert "dashed: the data's, 0.500" in page.text['Curves']
  insights(tmp_path, data={'num': 9, 'to_train': 2.0})
  page = written(run._replace(data={'std': 0.75}), tmp_path)
  assert "the data's is 0.750" in page.text['Health']
  assert "dashed: the data's, 0.750" in page.text['Curves']


def test_a_closer_look(tmp_path):
  insights(tmp_path)
  page = written(make_run(tmp_path), tmp_path)
  memory = page.text['Is it memorising?']
  assert 'At step 6, averaged weights.' in memory
  assert (
    'median distance of 24 samples to the nearest training image is 1.90'
    in (memory)
  )
  assert 'no sign of copies' in memory
  mistakes = page.text['Mistakes']
  assert 'At step 6, raw weights.' in mistakes
  assert '11.11% of 9 of 20 images of the validation split' in mistakes
  assert f'0 → {EVIL}, 98%' in mistakes
  shares = [x['style'] for x in page.all('td') if 'style' in x]
  assert shares == [
    f'background:rgb({hue} / {0.6 * share**0.5:.2f})'
    for hue, share in (
      ('0 114 178', 5 / 6), ('213 94 0', 1 / 6),
      ('213 94 0', 0.0), ('0 114 178', 1.0),
    )
  ]  # fmt: skip
  assert 'Translations' not in page.text


@pytest.mark.parametrize(
  ('sample', 'words'),
  [
    ({'to_train': 0.9}, 'much nearer'),
    ({'to_train': 1.1}, 'no sign'),
    ({'to_train': 0.9, 'identical': 2}, '2 of the samples are training images'),
  ],
)
def test_copies_are_noticed(tmp_path, sample, words):
  whole = {'num': 24, 'std': 0.2, 'identical': 0} | sample
  insights(tmp_path, samples={'samples': whole})
  page = written(make_run(tmp_path), tmp_path)
  assert words in page.text['Is it memorising?']


def test_of_many_classes_the_commonest_mistakes_are_listed(tmp_path):
  counts = np.diag(np.full(30, 9))
  counts[3, 5], counts[4, 1] = 2, 7
  insights(tmp_path, classification={
    'weights': 'raw', 'split': 'validation', 'num': 9, 'of': 9, 'error': 0.0,
    'hardest': [],
    'classes': [f'k{i}' for i in range(30)], 'confusion': counts.tolist(),
  })  # fmt: skip
  text = written(make_run(tmp_path), tmp_path).text['Mistakes']
  assert text.index('k4\nk1\n7') < text.index('k3\nk5\n2')
  assert 'k9' not in text


def test_translations_name_their_columns(tmp_path):
  insights(tmp_path)
  grid(tmp_path / 'report/translation_b2a.png', 5)
  (tmp_path / 'report/insights.json').write_text(json.dumps({
    'step': 2, 'weights': 'raw',
    'translations': {'b2a': ['input', 'output', 'target']},
  }))  # fmt: skip
  text = written(make_run(tmp_path), tmp_path).text['Translations']
  assert 'input | output | target' in text
  assert 'The run has come to step 6 since' in text


def test_insights_of_the_end_are_not_called_old(tmp_path):
  """A run may end after its last report."""
  for step, old in ((5, True), (6, False), (7, False)):
    insights(tmp_path, step=step)
    text = written(make_run(tmp_path), tmp_path).text['Is it memorising?']
    assert ('write it anew' in text) == old


def test_without_insights_it_says_why(tmp_path):
  run = make_run(tmp_path, missing='the data are gone')
  text = written(run, tmp_path).text['A closer look']
  assert 'missing: the data are gone.' in text


@pytest.mark.parametrize(
  'content',
  [
    '{', '[]', '{}x', '{"step": 1}', '{"step": "x", "weights": ""}',
    '{"step": 6, "weights": "raw", "samples": {}}\0',
    '{"step": 6, "weights": "raw", "samples": {"a": 3}, "data": {}}',
    '{"step": 6, "weights": "raw", "classification": {"classes": 3}}',
    '{"step": 6, "weights": "raw", "translations": [1]}',
  ],
)  # fmt: skip
def test_damaged_insights_are_one_line(tmp_path, content):
  insights(tmp_path)
  (tmp_path / 'report/insights.json').write_text(content)
  with pytest.raises(
    InputError, match=r'insights\.json is not the file'
  ) as info:
    write_report(make_run(tmp_path), tmp_path / 'x.html')
  assert '\n' not in str(info.value)
  assert not (tmp_path / 'x.html').exists()


def test_only_the_folders_own_pictures_are_shown(tmp_path):
  """Names in insights.json lead nowhere else; what is no picture is said."""
  grid(tmp_path / 'neighbours_secret.png', 1)
  (tmp_path / 'report/neighbours_').mkdir(parents=True)  # a way out
  secret = {'num': 1, 'std': 0.2, 'to_train': 1.0, 'identical': 0}
  insights(tmp_path, samples={'/../../neighbours_secret': secret})
  (tmp_path / 'report/hardest_00.png').write_bytes(b'<svg onload=alert(1)>')
  page = written(make_run(tmp_path), tmp_path)
  assert 'cannot be read' in page.text['Is it memorising?']
  assert 'cannot be read' in page.text['Mistakes']


def test_whatever_comes_from_files_is_text(tmp_path):
  run = make_run(tmp_path / 'run', name=EVIL)
  insights(tmp_path / 'run', weights=EVIL)
  reports = [line | {EVIL: 1.0, '$x^{$_': 2.0} for line in run.reports]
  run = run._replace(
    config={**run.config, 'system': EVIL, EVIL: EVIL},
    data={EVIL: EVIL},
    sessions=[{'from_step': EVIL, EVIL: [EVIL], 'processor': EVIL}] * 2,
    reports=reports,
    hashes={6: EVIL},
    result={EVIL: EVIL},
  )
  write_comparison([run, run], tmp_path / 'both.html')
  write_report(run, tmp_path / 'one.html')
  for name in ('one', 'both'):
    page = Page(tmp_path / f'{name}.html')
    assert len(page.all('script')) == 1
    for tag, attrs in page.tags:
      assert not any(key.startswith('on') for key in attrs)
      assert attrs.get('src', 'data:image/').startswith('data:image/'), tag
      assert attrs.get('href', '#').startswith('#')
    assert EVIL in '\n'.join(page.text.values())
    assert 'http' not in re.sub(r'data:[^"]*|http-equiv', '', page.source)


def test_the_policy_allows_the_one_script_alone(tmp_path):
  page = written(make_run(tmp_path), tmp_path)
  (policy,) = [x['content'] for x in page.all('meta') if 'http-equiv' in x]
  script = page.raw['script']
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  assert policy.split('; ') == [
    "default-src 'none'",
    'img-src data:',
    "style-src 'unsafe-inline'",
    f"script-src 'sha256-{digest}'",
  ]


def test_the_same_run_gives_the_same_bytes(tmp_path):
  run = make_run(tmp_path)
  insights(tmp_path)
  pages = []
  for name in 'ab':
    write_report(run, tmp_path / f'{name}.html')
    pages.append((tmp_path / f'{name}.html').read_bytes())
  assert pages[0] == pages[1]


def test_curves_are_drawn_as_they_are():
  lines = [Curve([1, 2, 4], [1.0, 10.0, 1000.0], 0), Curve([3], [5.0], 8)]
  linear, log, level = (
    panel_svg(lines, 'loss', **options)
    for options in ({}, {'log': True}, {'level': 3.0})
  )
  for svg in (linear, log, level):
    assert svg.startswith(b'<?xml')
    assert b'loss' in svg  # matplotlib's comments tell what its paths spell
    assert b'step' in svg
    assert lines[0].colour.encode() in svg
    assert lines[1].colour.encode() in svg
  assert panel_svg(lines, 'loss') == linear  # the same bytes
  assert len({linear, log, level}) == 3
  assert lines[0].colour != lines[1].colour
  assert (lines[0].dashes, lines[1].dashes) == ('-', '--')
  path = re.findall(rb'<path d="(M [^"]*)" clip-path[^>]*stroke: #0072b2', log)
  numbers = np.array(re.findall(rb'[\d.]+', path[0]), float).reshape(-1, 2)
  x, y = np.diff(numbers, axis=0).T
  np.testing.assert_allclose(x[1], 2 * x[0], rtol=1e-4)  # steps 1, 2, 4
  np.testing.assert_allclose(y[1], 2 * y[0], rtol=1e-4)  # 1, 10, 1000
  assert y[0] < 0  # upwards


def test_runs_side_by_side(tmp_path):
  one = make_run(tmp_path / 'one', name='one')
  two = make_run(
    tmp_path / 'two',
    name='two',
    config={'system': 'gan', 'data.name': 'mnist', 'seed': 4, 'more': True},
    result={'steps': 8, 'test_error': 0.03125},
  )
  two.reports[0]['d_only'] = 1.0
  write_comparison([one, two], tmp_path / 'compare.html')
  page = Page(tmp_path / 'compare.html')
  numbers = page.text['Final numbers'].split('\n')
  assert numbers == [
    'one', 'two', 'steps', '6', '8', "samples' deviation over z", '0.1235',
    'test error', '0.03125', '',
  ]  # fmt: skip
  keys = page.text['Differing config keys'].split()
  assert keys == ['one', 'two', 'more', 'True', 'seed', '3', '4']
  plots = [x['alt'] for x in page.all('img') if x.get('class') == 'plot']
  assert plots == [
    "G's loss", "D's loss", "samples' deviation over z", 'gradient norm of D',
    'seconds per step', "D's odd", "D's only",
  ]  # fmt: skip
  grids = [x['alt'] for x in page.all('img') if x.get('class') == 'pixels']
  assert grids == ['samples of one', 'samples of two']
  write_comparison([one, one], tmp_path / 'same.html')
  same = Page(tmp_path / 'same.html')
  assert same.text['Differing config keys'] == 'There are none.\n'


def test_elements_escape_what_is_no_markup():
  made = element('p', '<b>', Html('<i>'), 3, class_='"x"', aria_label='&')
  assert made == '<p class="&quot;x&quot;" aria-label="&amp;">&lt;b&gt;<i>3</p>'
  assert element('img', hidden=True, alt=None, open=False) == '<img hidden>'
  assert picture(b'GIF89a', '<x>') == (
    '<p>&lt;x&gt;: this picture cannot be read.</p>'
  )


def test_pictures_are_exact_up_to_a_size():
  rng = np.random.default_rng(0)

  def shown(side):
    noise = rng.integers(0, 256, (side, 3 * side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, 'PNG')
    data, exact = webp(file.getvalue())
    return noise, np.asarray(Image.open(io.BytesIO(data))), exact, len(data)

  noise, image, exact, size = shown(100)
  np.testing.assert_array_equal(image, noise)
  assert exact
  noise, image, exact, size = shown(150)
  assert not exact
  assert image.shape == noise.shape
  assert size < noise.size / 2
  assert 1 < abs(image.astype(int) - noise).mean() < 60
  noise, image, exact, _ = shown(600)
  assert not exact
  assert image.shape == (533, 1600, 3)
  assert webp(b'\x89PNG\r\n\x1a\n') is None
