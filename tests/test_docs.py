"""Checks of docs/losses.md: its formulas, signatures, code and links."""

import contextlib
import functools
import inspect
import io
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gan_jax import augment, ema, losses, penalties
from gan_jax.config.table import all_rows
from gan_jax.models import batch_layers
from gan_jax.systems import SYSTEMS, options
from tests import pages
from tests.pages import public, without_annotations

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / 'docs/losses.md').read_text()
table = functools.partial(pages.table, PAGE)
PAIRS = [
  name.removesuffix('_generator_loss')
  for name in losses.__all__
  if name.endswith('_generator_loss')
]


def code(cell):
  """Returns the code at the start of a cell, or None."""
  match = re.match('`([^`]+)`', cell)
  return match and match[1]


# The names in the page's formulas: numpy's functions and a few simple ones.


def softplus(x):
  return np.log(1.0 + np.exp(x))


def softmax(x):
  return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def cosines(x):
  x = x / np.linalg.norm(x, axis=1, keepdims=True)
  return (x @ x.T)[~np.eye(len(x), dtype=bool)]


WEIGHT = np.array([[1.0, -0.5], [0.3, 0.7], [-0.2, 0.4]])


def d_fn(x):
  """Computes two logits per row, of numpy or JAX arrays."""
  return (x * x) @ WEIGHT


LANGUAGE = {
  name: getattr(np, name)
  for name in (
    'abs', 'argsort', 'exp', 'floor', 'log', 'maximum', 'mean', 'minimum',
    'sign', 'square', 'sum', 'swapaxes', 'where',
  )
} | {
  'softplus': softplus,
  'relu': lambda x: np.maximum(0.0, x),
  'logsumexp': lambda x: np.log(np.exp(x).sum(-1)),
  'softmax': softmax,
  'pick': lambda x, labels: x[np.arange(len(x)), labels],
  'cosines': cosines,
  'd_fn': d_fn,
  'slope': lambda x: 2.0 * x * WEIGHT.sum(axis=1),
  'norm': lambda x: np.sqrt((x * x).sum(-1)),
}  # fmt: skip


def evaluate(formula, **values):
  return eval(formula, {'__builtins__': {}} | LANGUAGE | values)


def same(actual, expected):
  """Allows for rounding of a few float64 operations on numbers near 1."""
  assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)


def normal(*shape, seed):
  return np.random.default_rng(seed).normal(size=shape)


# The adversarial losses.

ADVERSARIAL = table('name')


def players(stem):
  return [
    getattr(losses, f'{stem}_{player}_loss')
    for player in ('discriminator', 'generator')
  ]


def test_every_pair_has_its_row():
  assert set(ADVERSARIAL) == set(PAIRS)


@pytest.mark.parametrize('stem', PAIRS)
def test_the_formulas_are_the_functions(stem):
  r, f = 2.0 * normal(2, 7, seed=0)
  with jax.enable_x64(True):
    for loss, cell in zip(players(stem), ADVERSARIAL[stem][1:3], strict=True):
      smoothed = 'label_smoothing' in inspect.signature(loss).parameters
      for s in (0.0, 0.2) if smoothed else (0.0,):
        options = {'label_smoothing': s} if smoothed else {}
        same(loss(r, f, **options), evaluate(code(cell), r=r, f=f, s=s))


@pytest.mark.parametrize('stem', PAIRS)
def test_the_loss_at_zero_logits(stem):
  stated = code(ADVERSARIAL[stem][3])
  loss = players(stem)[0](np.zeros(2), np.zeros(2))
  decimals = len(stated.partition('.')[2])
  assert_allclose(loss, float(stated), rtol=0, atol=0.5 * 10**-decimals + 1e-7)


def mean_loss(loss, logits, p, q):
  """Returns D's mean loss for distributions p, q over points with `logits`."""
  num = len(logits)
  real = np.broadcast_to(logits[:, None], (num, num))
  return p @ loss(real, real.T) @ q


@pytest.mark.parametrize('s', [0.0, 0.2])
@pytest.mark.parametrize(
  'stem', [stem for stem in PAIRS if code(ADVERSARIAL[stem][4])]
)
def test_the_optimum_is_where_the_mean_loss_is_least(stem, s):
  def d_loss(r, f):
    return evaluate(code(ADVERSARIAL[stem][1]), r=r, f=f, s=s)

  p, q = np.random.default_rng(1).dirichlet(np.ones(5), size=2)
  best = evaluate(code(ADVERSARIAL[stem][4]), p=p, q=q, s=s)
  least = mean_loss(d_loss, best, p, q)
  for step in normal(200, 5, seed=2):
    assert mean_loss(d_loss, best + 1e-3 * step, p, q) > least - 1e-14
  moved = mean_loss(d_loss, best + 3.0, p, q)
  if 'plus any constant' in ADVERSARIAL[stem][4]:
    assert_allclose(moved, least, rtol=1e-14)
  else:
    assert moved > least + 0.1


def test_only_two_optima_have_no_formula():
  assert {stem for stem in PAIRS if not code(ADVERSARIAL[stem][4])} == {
    'relativistic_average',
    'wasserstein',
  }


# Everything else.


IN_PAIRS = [
  f'{s}_{p}_loss' for s in PAIRS for p in ('discriminator', 'generator')
]
TABLES = {
  'function': (losses, sorted(set(losses.__all__) - set(IN_PAIRS))),
  '`gan_jax.penalties`': (penalties, public(penalties)),
  '`gan_jax.augment`': (augment, public(augment)),
  '`gan_jax.ema`': (ema, public(ema)),
  '`gan_jax.models.batch_layers`': (batch_layers, public(batch_layers)),
}


@pytest.mark.parametrize('header', TABLES)
def test_every_name_has_its_row_and_signature(header):
  module, names = TABLES[header]
  assert sorted(table(header)) == sorted(
    name + without_annotations(getattr(module, name)) for name in names
  )


def test_everything_is_a_config_option_or_library_only():
  rows = table('what')
  listed = [name for row in rows for name in re.findall(r'\w+', row)]
  for _, names in list(TABLES.values())[:-1]:
    for name in names:
      assert listed.count(name) == 1, name
  keys = {key.partition('.')[0] for s in SYSTEMS for key in options(s)}
  for _, cell in rows.values():
    stated = re.findall('`([^`]+)`', cell)
    assert (
      'library only: ' in cell
      or {x.partition('.')[0] for x in stated} <= keys | SYSTEMS.keys()
    )
    for key in stated:
      if '.' in key and key.partition('.')[0] in keys:
        assert any(
          k == key or k.startswith(f'{key}.')
          for s in SYSTEMS
          for k, *_ in all_rows(options(s))
        ), key


LOGITS = {
  'real_class_logits': normal(4, 3, seed=0),
  'fake_class_logits': normal(4, 3, seed=1),
}
LABELS = {
  'labels': np.array([2, 0, 1, 1]),
  'label_mask': np.array([1.0, 0.0, 1.0, 1.0]),
}
ROWS = normal(4, 3, seed=3)
OTHER_ROWS = normal(4, 3, seed=4)

EXAMPLES = {
  'gan_logits': {'class_logits': ROWS},
  'real_probability': {'class_logits': ROWS},
  'class_probabilities': {'class_logits': ROWS},
  'conditional_entropy': {'class_logits': ROWS},
  'supervised_loss': {'class_logits': ROWS, **LABELS},
  'unlabelled_loss': LOGITS,
  'semi_supervised_discriminator_loss': LOGITS | LABELS,
  'feature_matching_loss': {'real_features': ROWS, 'fake_features': OTHER_ROWS},
  'historical_averaging_loss': {'params': ROWS, 'average': OTHER_ROWS},
  'l1_loss': {'output': ROWS, 'target': OTHER_ROWS},
  'cycle_consistency_loss': {
    'a': ROWS, 'a2b2a': OTHER_ROWS, 'b': ROWS[:2], 'b2a2b': ROWS[1:3],
  },
  'identity_loss': {
    'a': ROWS, 'a_by_b2a': OTHER_ROWS, 'b': ROWS[:2], 'b_by_a2b': ROWS[1:3],
  },
  'patch_nce_loss': {
    'queries': ROWS[None], 'keys': OTHER_ROWS[None],
  },
  'pull_away_loss': {'features': ROWS},
  'low_density_loss': {'log_density': ROWS, 'threshold': 0.1},
  'top_k_mean': {
    'values': ROWS[:, 0], 'scores': np.array([0.0, 2.0, -1.0, 1.0]), 'k': 3,
  },
  'r1_penalty': {'d_fn': d_fn, 'real': ROWS},
  'r2_penalty': {'d_fn': d_fn, 'fake': ROWS},
  'gradient_penalty': {
    'd_fn': d_fn, 'real': ROWS, 'fake': OTHER_ROWS,
    'epsilon': np.array([0.1, 0.7, 0.5, 1.0]),
  },
  'dragan_penalty': {'d_fn': d_fn, 'real': ROWS, 'perturbation': OTHER_ROWS},
  'consistency_penalty': {
    'd_fn': d_fn, 'images': ROWS, 'augmented': OTHER_ROWS,
  },
  'lecam_penalty': {
    'real_logits': ROWS, 'fake_logits': OTHER_ROWS, 'real_average': 0.5,
    'fake_average': -0.2,
  },
  'debiased_share': {'step': 3, 'decay': 0.9},
  'warmup_share': {'step': 3, 'decay': 0.9},
  'half_life_share': {'step': 3, 'batch_size': 8, 'half_life': 20.0},
  'power_share': {'step': 3, 'gamma': 1.5},
}  # fmt: skip
FORMULAS = {
  row.partition('(')[0]: (module, code(cells[1]))
  for header, (module, _) in TABLES.items()
  for row, cells in table(header).items()
  if code(cells[1])
}


def test_every_formula_has_an_example():
  assert set(FORMULAS) == {*EXAMPLES, 'top_k_schedule'}


@pytest.mark.parametrize('name', EXAMPLES)
def test_the_other_formulas_are_the_functions(name):
  module, formula = FORMULAS[name]
  with jax.enable_x64(True):
    arguments = {
      name: jax.numpy.asarray(value) if isinstance(value, np.ndarray) else value
      for name, value in EXAMPLES[name].items()
    }
    same(
      getattr(module, name)(**arguments), evaluate(formula, **EXAMPLES[name])
    )


def test_the_formula_of_the_schedule():
  # Powers of a half, which are exact.
  options = {'batch_size': 50, 'decay': 0.5, 'minimum': 7, 'every_steps': 3}
  k_at = losses.top_k_schedule(**options)
  _, formula = FORMULAS['top_k_schedule']
  for step in range(12):
    assert k_at(step) == evaluate(formula, step=step, **options)


def documented():
  """Yields each row's text and the docstring of its function."""
  for stem, cells in ADVERSARIAL.items():
    yield ' '.join(cells), players(stem)[0].__doc__
  for header, (module, _) in TABLES.items():
    for row, cells in table(header).items():
      yield ' '.join(cells), getattr(module, row.partition('(')[0]).__doc__


def test_the_papers_are_those_of_the_docstrings():
  num_links = 0
  for text, docstring in documented():
    links = re.findall(r'\]\((https://[^)]+)\)', text)
    num_links += len(links)
    for link in links:
      assert link in docstring, f'{link} is not in: {docstring}'
  assert num_links >= len(PAIRS)


# The page's code and links.


@pytest.fixture(scope='module')
def ran():
  """The names that the page's Python code defines, and its output."""
  names, out = {}, io.StringIO()
  with contextlib.redirect_stdout(out):
    for block in pages.code_blocks(PAGE):
      exec(compile(block, 'docs/losses.md', 'exec'), names)
  return names, out.getvalue().splitlines()


def test_the_code_prints_what_the_page_says(ran):
  said = re.findall(r'^ *print\(.*\)\s+# (.*)$', PAGE, re.MULTILINE)
  assert len(said) == 2
  assert ran[1] == said


def test_the_recipe_gives_what_one_device_does(ran):
  names, _ = ran
  assert names['num_devices'] == 2
  value, gradient = names['on_one']
  for by in 'by_shard_map', 'by_pmap':
    values, gradients = names[by]
    assert values.shape == ((2,) if by == 'by_pmap' else ())
    # Eight rows are summed in another order.
    for actual in np.atleast_1d(values):
      assert_allclose(actual, value, rtol=1e-6)
    for actual in np.atleast_2d(gradients):
      assert_allclose(actual, gradient, rtol=1e-6, atol=1e-7)


def test_importing_the_losses_is_quick_beside_jax():
  (command,) = re.findall(r"^python -c '(.*)'$", PAGE, re.MULTILINE)
  out = subprocess.run(
    [sys.executable, '-c', command],
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
  ).stdout
  assert 0.0 < float(out) < 0.2  # about 0.01 on an idle machine


def test_what_the_page_names_exists():
  modules = re.findall(r'^python -m ([\w.]+)', PAGE, re.MULTILINE)
  assert sorted(modules) == ['experiments.plot_losses', 'tests.losses.accuracy']
  for module in modules:
    assert (ROOT / f'{module.replace(".", "/")}.py').is_file()
  links, headings = pages.links(PAGE)
  assert links == [
    '../experiments/ring.py', 'importing.md', 'losses.png'
  ]  # fmt: skip
  for link in links:
    assert (ROOT / 'docs' / link).is_file()
  assert headings == pages.anchors(PAGE)


def test_the_picture_is_small():
  assert (ROOT / 'docs/losses.png').stat().st_size < 250_000
