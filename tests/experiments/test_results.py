"""The page of results."""

import json
import runpy

import pytest

from tests.conftest import ROOT

RESULTS = ROOT / 'experiments/results'
page = runpy.run_path(str(RESULTS / '__main__.py'))['page']
TABLES = """
introduction = 'Words.'

[[table]]
title = 'Modes'
protocol = 'Of 25.'
published = 'somebody'
command = 'gan-jax sweep'
scores.modes = {key = 'test_num_modes', scale = 1, digits = 1}
scores.percent = {key = 'test_near', scale = 100, digits = 2}

[[table.row]]
name = 'three'
records = 'modes/three-*.json'
published = {modes = '17.3 ± 0.8'}
remark = 'much'

[[table.row]]
name = 'one'
records = 'modes/one-*.json'

[[table.row]]
name = 'none'
records = 'modes/none-*.json'

[[table.row]]
name = 'others'
missing = 'no data'

[[table]]
title = 'Search'
protocol = 'On validation.'
command = 'gan-jax sweep'
found = 'The first is the best.'
remarks = 'tried'
scores.modes = {key = 'test_b_modes or test_num_modes', scale = 1, digits = 0}

[[table.row]]
name = 'baseline'
records = 'modes/baseline.json'
remark = 'nothing'
"""


def test_the_page_is_current():
  """Otherwise write it by: python -m experiments.results."""
  assert (ROOT / 'docs/results.md').read_text() == page(RESULTS)


def test_means_and_deviations_by_hand(tmp_path):
  (tmp_path / 'tables.toml').write_text(TABLES)
  (tmp_path / 'modes').mkdir()
  for name, seed, modes, near, verified in (
    ('three', 0, 20, 0.5, True),
    ('three', 1, 22, 0.5, False),
    ('three', 2, 24, 0.8, False),
    ('one', 0, 25, 1.0, False),
  ):
    record = {
      'seed': seed,
      'hours': 1.25,
      'scores': {'test_num_modes': modes, 'test_near': near},
      'sha256': f'{seed}123456789abcdef',
      'verified': verified,
    }
    if name == 'one':
      del record['scores']['test_near']
    path = tmp_path / f'modes/{name}-{seed}.json'
    path.write_text(json.dumps(record))
  (tmp_path / 'modes/baseline.json').write_text(
    json.dumps({'scores': {'test_num_modes': 3}})
  )
  text = page(tmp_path)
  lines = text.splitlines()
  assert lines[0] == 'Words.'
  three, one, none = (
    next(x for x in lines if x.startswith(f'| {name} '))
    for name in ('three', 'one', 'none')
  )
  assert three == (
    '| three | 17.3 ± 0.8 |  | 22.0 ± 2.0 | 60.00 ± 17.32 | 3 | much | 3.8 | '
    '`0123456789ab`, seed 0 verified |'
  )
  assert one == '| one |  |  | 25.0 | infinite | 1 |  | 1.2 | `0123456789ab` |'
  assert none == '| none |  |  | not run | not run | 0 |  |  |  |'
  assert '| others |  |  | no data | no data | 0 |  |  |  |' in lines
  assert text.endswith("""
Published: somebody.

```sh
gan-jax sweep
```

## Search

On validation.

|  | modes | n | tried | hours | hash |
| --- | --- | --- | --- | --- | --- |
| baseline | 3 | 1 | nothing |  |  |

```sh
gan-jax sweep
```

The first is the best.
""")


def test_every_record_belongs_to_one_row():
  records = set(RESULTS.glob('*/*-*.json'))
  text = (RESULTS / 'tables.toml').read_text()
  patterns = [
    line.split("'")[1]
    for line in text.splitlines()
    if line.startswith('records = ')
  ]
  found = [path for x in patterns for path in RESULTS.glob(x)]
  assert len(found) == len(set(found))
  assert records == set(found)
  for path in records:
    record = json.loads(path.read_text())
    assert path.stem.endswith(f'-{record["seed"]}')
    assert record['hours'] > 0


@pytest.mark.systems
@pytest.mark.parametrize('split', ['test', 'validation'])
def test_a_record_has_the_scores_of_one_split(trained, split):
  record_of = runpy.run_path(str(RESULTS / '__main__.py'))['record_of']
  record = record_of(str(trained), split, verify=False)
  result = json.loads((trained / 'result.json').read_text())
  assert record['scores'][f'{split}_error'] == result[f'{split}_error']
  assert all(name.startswith(split) for name in record['scores'])
  assert record['sha256'] == result['sha256']['state']
  assert record['steps'] == 8
  assert record['hours'] > 0
  assert not record['verified']


@pytest.mark.parametrize('flags', [['--add=RUN'], ['--as=grid_gan/GAN-0']])
def test_a_record_needs_a_run_and_a_name(flags, capsys):
  main = runpy.run_path(str(RESULTS / '__main__.py'))['main']
  assert main(flags) == 2
  assert 'go together' in capsys.readouterr().err
