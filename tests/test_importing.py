"""What docs/importing.md says is true: it is called, traced or run."""

import importlib
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import errors, nnx
from numpy.testing import assert_allclose

from gan_jax import image_pool, metrics, models, ops, penalties
from tests import pages

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / 'docs/importing.md').read_text()
BLOCKS = pages.code_blocks(PAGE)
KEY = jax.random.key(0)


# The code: each block as a file of its own.


def numbers(text):
  return [float(x) for x in re.findall(r'-?\d+(?:\.\d+)?', text)]


def said(block):
  """The numbers in the comment behind each print, by its line."""
  return {
    number: numbers(line.partition('  # ')[2])
    for number, line in enumerate(block.splitlines(), start=1)
    if line.lstrip().startswith('print(')
  }


def printed(block):
  """The numbers that each print prints in the end, by its line."""
  out = {}

  def record(*values):
    line = sys._getframe(1).f_lineno
    out.setdefault(line, []).extend(numbers(' '.join(map(str, values))))

  exec(compile(block, 'docs/importing.md', 'exec'), {'print': record})
  return out


def check(word, **tolerance):
  (block,) = (block for block in BLOCKS if word in block)
  expected, actual = said(block), printed(block)
  assert expected
  assert actual.keys() == expected.keys()
  for line, values in expected.items():
    assert_allclose(actual[line], values, **tolerance)


def test_every_block_is_checked_and_short():
  words = 'DeconvGenerator', 'nn.compact', 'nnx', 'query_pool', 'frechet'
  for block in BLOCKS:
    assert sum(word in block for word in words) == 1
    assert len([line for line in block.splitlines() if line]) <= 60


def test_a_network_with_batch_norm():
  check('DeconvGenerator', rtol=0)


def test_measuring():
  check('frechet', rtol=1e-6)


@pytest.mark.systems
@pytest.mark.parametrize('word', ['nn.compact', 'nnx'])
def test_the_training_loops(word):
  # Other roundings move a distance that training has made small.
  check(word, rtol=0.3)


@pytest.mark.systems
def test_cyclegan():
  check('query_pool', rtol=0.1)


def test_a_penalty_of_a_module_that_changes_in_its_call():
  class Discriminator(nnx.Module):
    def __init__(self, rngs):
      self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
      return self.dropout(x).sum(axis=-1)

  d, x = Discriminator(nnx.Rngs(0)), np.ones((3, 4), np.float32)
  with pytest.raises(errors.TraceContextError):
    penalties.r1_penalty(d, x)
  # A unit that is kept has a slope of 2.
  penalty = penalties.r1_penalty(lambda x: nnx.clone(d)(x), x)
  kept = np.asarray(nnx.clone(d)(x)) / 2
  assert_allclose(penalty, 0.5 * 4 * kept, rtol=1e-6)


# The tables.

NETWORKS = pages.table(PAGE, 'network')


def shapes(cell):
  return [tuple(map(int, text.split(','))) for text in
          re.findall(r'`\[([^]]+)\]`', cell)]  # fmt: skip


def apply(network, variables, x, **options):
  shapes = jax.eval_shape(
    lambda v, x: network.apply(v, x, train=True, **options), variables, x
  )
  return [x.shape for x in jax.tree.leaves(shapes[0])]


@pytest.mark.parametrize('name', NETWORKS)
def test_a_network_is_as_its_row_says(name):
  _, _, example, given, output, besides = NETWORKS[name]
  assert example.strip('`').startswith(f'{name}(')
  network = eval(example.strip('`'), vars(models))
  (shape,) = shapes(given)
  x = jax.ShapeDtypeStruct(shape, np.float32)
  keys = {'params': KEY, 'noise': KEY}
  variables = jax.eval_shape(lambda x: network.init(keys, x, train=True), x)
  collections = set(variables) - {'params'}
  assert collections == set(re.findall('`(.*?)`', besides))
  options = {'mutable': ['batch_stats']}
  got = apply(network, variables, x, rngs={'noise': KEY}, **options)
  assert got == shapes(output)
  if 'noise' in besides:
    with pytest.raises(errors.InvalidRngError, match='noise'):
      apply(network, variables, x, **options)
  else:
    assert apply(network, variables, x, **options) == got


def test_every_network_is_on_the_page():
  named = set(re.findall(r'`(\w+)`', PAGE))
  assert named >= set(models.__all__) - {'ClassifierOutput'}
  assert set(NETWORKS) <= set(models.__all__)


@pytest.mark.parametrize(
  ('network', 'apart'),
  [
    (models.PatchDiscriminator(2, 16, 'instance'), True),
    (models.PatchDiscriminator(2, 16, 'batch'), False),
    (models.ConvDiscriminator(2, 2, 'spectral'), True),
    (models.ConvDiscriminator(2, 2, 'none'), True),
    (models.ConvDiscriminator(2, 2, 'batch'), False),
  ],
)
def test_the_penalties_go_with_these_discriminators(network, apart):
  x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)

  @jax.jit
  def of_first(second):
    variables = network.init(KEY, x, train=True)
    pair = jax.numpy.stack([x[0], second])
    logits, _ = network.apply(
      variables, pair, train=True, mutable=['batch_stats']
    )
    return logits[0]

  change = abs(of_first(x[1]) - of_first(-x[1])).max()
  assert change < 1e-6 if apart else change > 1e-3


def test_the_sizes_of_patchgan():
  header, row = re.search(
    r'\| `patch_size` \|(.*)\n.*\n(\| H.*)\n', PAGE
  ).groups()
  sides = numbers(row.partition('images |')[2])
  assert len(sides) == 6
  image = jax.ShapeDtypeStruct((1, 256, 256, 3), np.float32)
  for patch_size, side in zip(numbers(header), sides, strict=True):
    network = models.PatchDiscriminator(2, int(patch_size))
    logits, _ = jax.eval_shape(
      lambda x, network=network: network.init_with_output(KEY, x, train=True),
      image,
    )
    assert logits.shape == (1, side, side)


FUNCTIONS = {
  '`gan_jax.image_pool`': (image_pool, pages.public(image_pool)),
  '`gan_jax.metrics`': (metrics, metrics.__all__),
  '`gan_jax.ops`': (ops, ops.__all__),
}


@pytest.mark.parametrize('header', FUNCTIONS)
def test_every_function_has_its_row_and_signature(header):
  module, names = FUNCTIONS[header]
  states = 'ImagePool', 'Moments'
  results = {x for x in names if x[0].isupper() and x not in states}
  assert sorted(pages.table(PAGE, header)) == sorted(
    name + pages.without_annotations(getattr(module, name))
    for name in set(names) - results
  )
  for name in results:
    for field in getattr(module, name)._fields[:2]:
      assert f'`{field}`' in PAGE, (name, field)


def test_the_papers_are_those_of_the_docstrings():
  docs = {**vars(metrics), 'grid_artefact': metrics.grid_energy}
  num_links = 0
  for row, cells in pages.table(PAGE, '`gan_jax.metrics`').items():
    for link in re.findall(r'\]\((https://[^)]+)\)', cells[1]):
      num_links += 1
      assert link in docs[row.partition('(')[0]].__doc__, (row, link)
  assert num_links == 9


def test_what_an_import_brings():
  code = (
    'import sys, importlib, jax\n'
    'for name in sys.argv[1:]:\n'
    '  importlib.import_module(name)\n'
    '  found = {"flax", "optax", "scipy", "tqdm", "ml_collections", "orbax"}\n'
    '  print(name, *sorted(found & set(sys.modules)))\n'
  )
  names = ['losses', 'penalties', 'augment', 'ema', 'ops']
  names += ['metrics', 'image_pool', 'models']
  out = subprocess.run(
    [sys.executable, '-c', code, *(f'gan_jax.{name}' for name in names)],
    cwd=ROOT, check=True, capture_output=True, text=True,
  ).stdout.splitlines()  # fmt: skip
  brought = [line.split()[1:] for line in out]
  assert brought == [
    *[[]] * 5, ['scipy', 'tqdm'], *[['flax', 'scipy', 'tqdm']] * 2
  ]  # fmt: skip


def test_what_the_page_names_exists():
  links, headings = pages.links(PAGE)
  losses = (ROOT / 'docs/losses.md').read_text()
  for link in links:
    page, _, heading = link.partition('#')
    assert page == 'losses.md'
    assert not heading or heading in pages.anchors(losses)
  assert headings <= pages.anchors(PAGE)
  for name in re.findall(r'gan_jax(?:\.\w+)+', PAGE):
    importlib.import_module(name)
