"""Section of a report on the networks, from what `reporting.insights` wrote.

    report/insights.json        figures
    report/real.png             validation images, as many as a grid of samples
    report/neighbours_NAME.png  samples, each above its nearest training image
    report/interpolation_NAME.png
    report/classes_NAME.png     samples of each class above data of it
    report/hardest_NN.png       the worst mistakes
    report/translation_WAY.png  a row of panels for each image

Pictures are found by these names: no name in insights.json is a file's.
"""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gan_jax.core.errors import InputError
from gan_jax.data.spec import are_split_sizes
from gan_jax.reporting import html
from gan_jax.reporting.html import Html, element

REAL = 'real.png'
MAX_MATRIX = 20  # classes; of more, the commonest mistakes are listed
# Samples whose median distance to training images is less than this share of
# the held-out images' are suspicious: a copier's is near 0, and the samples of
# the digits GAN, no copier, lie at 1.6.
NEAR = 0.5

_Section = tuple[str, str, Html]


def read_insights(folder: pathlib.Path) -> dict[str, Any]:
  """A run's insights.json, or {} if there is none.

  Raises:
    InputError: it is not JSON, or not an object.
  """
  path = folder / 'insights.json'
  if not path.is_file():
    return {}
  try:
    insights = json.loads(path.read_bytes())
  except ValueError:
    insights = None
  if not isinstance(insights, dict):
    raise _not_ours(folder)
  return insights


def data_std(
  insights: Mapping[str, Any], data: Mapping[str, Any]
) -> float | None:
  """The data's deviation, with which the samples' is compared, if known.

  Args:
    insights: what `read_insights` returned: of validation images.
    data: data.json, which has that of training images; runs of 0.1.0 lack it.
  """
  held_out = insights.get('data')
  for found in (held_out if isinstance(held_out, dict) else {}, data):
    if isinstance(found.get('std'), float):
      return found['std']
  return None


def num_images(insights: Mapping[str, Any]) -> dict[str, list[int]]:
  """The numbers of images of each split; {} if they are not known."""
  sizes = insights.get('num_images')
  return sizes if are_split_sizes(sizes) else {}


def closer_look(
  folder: pathlib.Path, insights: Mapping[str, Any], last_step: int
) -> list[_Section]:
  """The sections that insights have something for.

  Args:
    folder: where insights.json and the pictures are.
    insights: what `read_insights` returned.
    last_step: of the last report: what is older says so.

  Raises:
    InputError: the insights are not what this version writes.
  """
  try:
    sections = []
    note = _note(insights, insights['weights'], last_step)
    if 'samples' in insights:
      sections += [
        html.section(
          'memory', 'Is it memorising?', note, *_neighbours(folder, insights)
        ),
        html.section(
          'between', 'Between samples', note, *_interpolations(folder, insights)
        ),
      ]
    if 'classes' in insights:
      classes = _classes(folder, insights['classes'])
      sections.append(html.section('classes', 'Class by class', note, *classes))
    if 'classification' in insights:
      found = insights['classification']
      note = _note(insights, found['weights'], last_step)
      mistakes = _mistakes(folder, found)
      sections.append(html.section('mistakes', 'Mistakes', note, *mistakes))
    if 'translations' in insights:
      ways = _translations(folder, insights['translations'])
      sections.append(html.section('translated', 'Translations', note, *ways))
    return sections
  except (KeyError, TypeError, ValueError, AttributeError, IndexError):
    raise _not_ours(folder) from None


def _note(insights: Mapping[str, Any], weights: str, last_step: int) -> Html:
  """Names the state that the insights are of."""
  note = f'At step {insights["step"]:,}, {weights} weights.'
  if insights['step'] < last_step:
    note += f' The run has come to step {last_step:,} since: write it anew.'
  return element('p', note, class_='faint')


def _not_ours(folder: pathlib.Path) -> InputError:
  return InputError(
    f'{folder}/insights.json is not the file that a report writes; remove '
    f'{folder} and write the report again'
  )


def _file(folder: pathlib.Path, stem: str, alt: str) -> Html:
  """A picture of the folder; `stem` is no path, whatever it is made of."""
  path = folder / f'{pathlib.Path(stem).name}.png'
  data = path.read_bytes() if path.is_file() else b''
  return html.picture(data, alt, 'pixels')


def _neighbours(
  folder: pathlib.Path, insights: Mapping[str, Any]
) -> Iterator[Html]:
  data = insights['data']
  for name, sample in insights['samples'].items():
    yield element('h3', name)
    yield element('p', _judgement(sample, data))
    yield html.figure(
      _file(folder, f'neighbours_{name}', f'{name} and their neighbours'),
      f'Rows in turn: {name}, and under each its nearest of '
      f'{insights["num_compared"]:,} training images, by Euclidean distance on '
      'pixels.',
    )


def _judgement(sample: Mapping[str, Any], data: Mapping[str, Any]) -> str:
  """Judges whether samples lie nearer to training images than others do."""
  figures = (
    f'The median distance of {sample["num"]} samples to the nearest training '
    f'image is {sample["to_train"]:.2f}; that of {data["num"]} validation '
    f'images is {data["to_train"]:.2f} (Euclidean, pixels in [0, 1]). '
  )
  if sample['identical']:
    return figures + (
      f'{sample["identical"]} of the samples are training images, to the '
      'pixel: G has memorised them.'
    )
  if sample['to_train'] < NEAR * data['to_train']:
    return figures + (
      'Samples lie much nearer to training images than unseen images do: look '
      'whether they are copies, or only blurred, which is near to everything.'
    )
  return figures + 'That is no sign of copies.'


def _interpolations(
  folder: pathlib.Path, insights: Mapping[str, Any]
) -> Iterator[Html]:
  for name in insights['samples']:
    yield html.figure(
      _file(folder, f'interpolation_{name}', f'{name} on the way'),
      f'{name}: each row leads from its first sample towards the first one of '
      'the next row. Smooth changes are a good sign, jumps between a few '
      'images are not.',
    )


def _classes(folder: pathlib.Path, found: Mapping[str, Any]) -> Iterator[Html]:
  for name, of in found['samples'].items():
    yield element('h3', name)
    yield html.figure(
      _file(folder, f'classes_{name}', f'{name} of each class'),
      f'A class in each column: {name} above, validation images below.',
    )
    yield element(
      'p',
      f'Deviation over {found["num"]} images of a class, averaged over pixels '
      "in [0, 1]. Far below the data's, the class has lost its variety.",
    )
    rows = [
      [
        each['label'],
        f'{each["std"]:.3f}',
        '' if each['data_std'] is None else f'{each["data_std"]:.3f}',
      ]
      for each in of
    ]
    yield html.table(rows, ['class', name, 'data'])


def _mistakes(folder: pathlib.Path, found: Mapping[str, Any]) -> Iterator[Html]:
  names, counts = found['classes'], found['confusion']
  num, of_all = found['num'], found['of']
  part = f'all {num:,}' if num == of_all else f'{num:,} of {of_all:,}'
  yield element(
    'p',
    f'{found["error"]:.2%} of {part} images of the {found["split"]} split are '
    'put in the wrong class.',
  )
  if len(names) <= MAX_MATRIX:
    yield element('h3', 'Confusion matrix: rows are true, columns predicted')
    yield _matrix(names, counts)
  else:
    yield element('h3', 'The commonest mistakes')
    yield html.table(_commonest(names, counts), ['true', 'taken for', 'times'])
  yield element('h3', 'The hardest examples')
  yield element(
    'p',
    'True class, what it is taken for, and the probability of that: those '
    'whose own class gets the least.',
  )
  tiles = (
    html.figure(
      _file(folder, f'hardest_{i:02d}', f'example {i}'),
      f'{each["label"]} → {each["predicted"]}, {each["probability"]:.0%}',
    )
    for i, each in enumerate(found['hardest'])
  )
  yield element('div', *tiles, class_='tiles')


def _matrix(names: Sequence[str], counts: Sequence[Sequence[int]]) -> Html:
  rows = []
  for i, (name, row) in enumerate(zip(names, counts, strict=True)):
    total = max(1, sum(row))
    cells = []
    for j, count in enumerate(row):
      share = 0.6 * (count / total) ** 0.5  # the root shows single mistakes
      hue = '0 114 178' if i == j else '213 94 0'
      style = f'background:rgb({hue} / {share:.2f})'
      cells.append(element('td', count or '', style=style))
    rows.append(element('tr', element('th', name, scope='row'), *cells))
  head = (element('th', name, scope='col') for name in ('', *names))
  body = element(
    'table',
    element('thead', element('tr', *head)),
    element('tbody', *rows),
    class_='matrix',
  )
  return element('div', body, class_='wide')


def _commonest(
  names: Sequence[str], counts: Sequence[Sequence[int]]
) -> list[tuple[str, str, int]]:
  wrong = [
    (count, i, j)
    for i, row in enumerate(counts)
    for j, count in enumerate(row)
    if i != j and count
  ]
  wrong.sort(key=lambda entry: -entry[0])
  return [(names[i], names[j], count) for count, i, j in wrong[:MAX_MATRIX]]


def _translations(
  folder: pathlib.Path, ways: Mapping[str, Sequence[str]]
) -> Iterator[Html]:
  for way, columns in ways.items():
    yield element('h3', way)
    yield html.figure(
      _file(folder, f'translation_{way}', f'translations {way}'),
      f'From left to right: {" | ".join(columns)}; validation images.',
    )
