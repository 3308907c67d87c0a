import hashlib
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gan_jax.core.errors import InputError
from gan_jax.evaluation.inception import InceptionV3
from gan_jax.evaluation.inception_weights import (
  InceptionWeights,
  convert,
  load,
  make_extract,
)
from tests.evaluation.test_inception import (
  VARIANTS,
  TorchInception,
  assert_close,
  by_loop,
  random_variables,
  shapes,
  torch_state,
)

ROOT = pathlib.Path(__file__).parents[2]
NUM_CLASSES = {'torchvision': 1000, 'fid': 1008}


def tree_of(variant):
  return shapes(InceptionV3(variant), 1, 299, 299, 3)[1]


@pytest.fixture(scope='module')
def torch():
  return pytest.importorskip('torch', reason='torch is not installed')


@pytest.fixture
def save(torch, tmp_path):
  """Writes arrays to a .pth file."""

  def write(state, name='weights.pth'):
    torch.save({k: torch.as_tensor(x) for k, x in state.items()}, path := (
      tmp_path / name
    ))  # fmt: skip
    return str(path)

  return write


@pytest.fixture
def zeros(torch):
  """Makes a state dict of views of a single zero, so that its file is small."""

  def make(variant):
    zero = np.zeros((), np.float32)
    arrays = jax.tree.map(
      lambda x: np.broadcast_to(zero, x.shape), tree_of(variant)
    )
    state = {
      name: torch.zeros(()).expand(x.shape)
      for name, x in torch_state(arrays).items()
    }
    state['fc.bias'] = torch.zeros(()).expand(NUM_CLASSES[variant])
    return state

  return make


def sha256_of(flat):
  """Hashes sorted names, types, shapes and bytes, as the reader does."""
  digest = hashlib.sha256()
  for name in sorted(flat):
    head = f'{name} <f4 {flat[name].shape}\n'
    digest.update(head.encode() + flat[name].tobytes())
  return digest.hexdigest()


@VARIANTS
def test_a_file_of_pytorch_is_converted_and_read(variant, save, tmp_path):
  variables = random_variables(tree_of(variant))
  state = torch_state(variables)
  state['Mixed_6a.branch3x3.bn.num_batches_tracked'] = np.array(7)
  if variant == 'fid':
    state['fc.bias'] = np.ones(1008, np.float32)
  else:
    state['AuxLogits.conv0.conv.weight'] = np.ones((128, 768, 1, 1))
  output = tmp_path / 'inception.npz'
  converted = convert(save(state), str(output))
  read = load(str(output))
  for weights in (converted, read):
    assert weights.variant == variant
    jax.tree.map(assert_array_equal, weights.variables, variables)
  assert converted.sha256 == read.sha256
  with np.load(output) as file:
    flat = {name: file[name] for name in file.files}
  assert flat.pop('version') == 1
  assert flat.pop('variant') == variant
  assert {x.dtype.str for x in flat.values()} == {'<f4'}
  assert read.sha256 == sha256_of(flat)
  flat['params/fc/kernel'][3, 5] += 1e-6
  assert read.sha256 != sha256_of(flat)
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    'inception.npz', 'weights.pth',
  ]  # fmt: skip


def without(state, name):
  return {k: x for k, x in state.items() if k != name}


CONV = 'Mixed_7c.branch3x3_2b.conv.weight'


@pytest.mark.parametrize(
  ('variant', 'change', 'message'),
  [
    ('fid', lambda s: without(s, CONV), f'lacks {CONV};'),
    ('torchvision', lambda s: without(s, 'fc.bias'), 'lacks fc.bias;'),
    ('fid', lambda s: without(s, 'fc.bias'), 'lacks fc.bias;'),
    ('fid', lambda s: without(s, 'fc.weight'), 'has no fc.weight;'),
    ('fid', lambda s: {**s, 'fc.scale': 1}, 'an unexpected fc.scale;'),
    (
      'fid',
      lambda s: {**s, CONV: s[CONV].transpose(2, 3)},
      rf'{CONV} is \[384, 384, 1, 3\], not \[384, 384, 3, 1\];',
    ),
    (
      'torchvision',
      lambda s: {**s, 'fc.weight': s['fc.weight'][:10]},
      'has 10 classes, not 1000 or 1008;',
    ),
  ],
)
def test_another_network_is_refused(
  variant, change, message, save, zeros, tmp_path
):
  source = save(change(zeros(variant)))
  with pytest.raises(InputError, match=message):
    convert(source, str(tmp_path / 'out.npz'))
  assert not (tmp_path / 'out.npz').exists()


@pytest.mark.parametrize('content', [b'', b'no weights', b'PK\x03\x04 torn'])
def test_a_broken_file_of_pytorch_is_refused(torch, content, tmp_path):
  source = tmp_path / 'weights.pth'
  source.write_bytes(content)
  with pytest.raises(InputError, match='not an intact file of PyTorch weights'):
    convert(str(source), str(tmp_path / 'out.npz'))


def test_what_is_no_state_dict_is_refused(torch, tmp_path):
  source = tmp_path / 'weights.pth'
  torch.save([torch.zeros(3)], source)
  with pytest.raises(InputError, match='not an intact file of PyTorch weights'):
    convert(str(source), str(tmp_path / 'out.npz'))


def test_code_in_a_file_of_pytorch_is_not_run(torch, tmp_path):
  class Code:
    def __reduce__(self):
      return pathlib.Path.touch, (tmp_path / 'was_run',)

  source = tmp_path / 'weights.pth'
  torch.save({'fc.weight': Code()}, source)
  with pytest.raises(InputError, match='not an intact file of PyTorch weights'):
    convert(str(source), str(tmp_path / 'out.npz'))
  assert not (tmp_path / 'was_run').exists()


def test_a_file_must_have_the_sha256_of_its_name(save, zeros, tmp_path):
  state = without(zeros('fid'), 'fc.weight')
  source = pathlib.Path(save(state))
  digest = hashlib.sha256(source.read_bytes()).hexdigest()
  good = source.rename(tmp_path / f'a-2015-12-05-{digest[:8]}.pth')
  with pytest.raises(InputError, match=r'has no fc\.weight'):
    convert(str(good), str(tmp_path / 'out.npz'))
  other = f'{int(digest[:8], 16) ^ 1:08x}'
  bad = good.rename(tmp_path / f'a-2015-12-05-{other}.pth')
  with pytest.raises(
    InputError, match=f'its sha256 is {digest}, but .* {other}'
  ):
    convert(str(bad), str(tmp_path / 'out.npz'))


def test_absent_files_are_told_where_to_find(torch, tmp_path):
  where = r'pt_inception-2015-12-05-6726825d\.pth, from .*/pytorch-fid'
  with pytest.raises(InputError, match=rf'no file .*none\.pth; .*{where}'):
    convert(str(tmp_path / 'none.pth'), str(tmp_path / 'out.npz'))
  with pytest.raises(InputError, match=rf'convert_inception .*{where}'):
    load(str(tmp_path / 'none.npz'))


def test_the_output_is_an_npz_file(tmp_path):
  with pytest.raises(InputError, match=r'out\.pth: want a name .* in \.npz'):
    convert(str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth'))


def test_converting_without_pytorch_says_how_to_get_it(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(InputError, match='pip install torch'):
    convert(str(tmp_path / 'in.pth'), str(tmp_path / 'out.npz'))


MEAN = 'batch_stats/Conv2d_1a_3x3/bn/mean'


@pytest.mark.parametrize(
  ('arrays', 'message'),
  [
    ({'version': 2, 'variant': 'fid'}, "version 2 and variant 'fid', not"),
    ({'version': 1, 'variant': 'tf'}, "version 1 and variant 'tf', not"),
    ({'version': 1}, 'cannot read'),
    ({'version': 1, 'variant': 'fid'}, f'lacks {MEAN};'),
    (
      {'version': 1, 'variant': 'fid', MEAN: np.zeros(31)},
      rf'{MEAN} is \[31\], not \[32\];',
    ),
    ({'version': 1, 'variant': np.array([{}], object)}, 'cannot read'),
  ],
)
def test_another_npz_file_is_refused(arrays, message, tmp_path):
  path = tmp_path / 'weights.npz'
  np.savez(path, **arrays)
  with pytest.raises(InputError, match=message):
    load(str(path))


@pytest.mark.parametrize('content', [b'', b'no weights', b'PK\x03\x04 torn'])
def test_a_broken_npz_file_is_refused(content, tmp_path):
  path = tmp_path / 'weights.npz'
  path.write_bytes(content)
  with pytest.raises(InputError, match=r'cannot read .*convert_inception'):
    load(str(path))


@pytest.mark.parametrize('shape', [(2, 1, 7, 1), (1, 400, 300, 3)])
def test_images_of_any_size_are_taken(shape):
  variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), tree_of('fid'))
  extract = make_extract(InceptionWeights('fid', variables, ''))
  outputs = jax.eval_shape(extract, np.zeros(shape, np.uint8))
  assert [x.shape for x in outputs] == [(shape[0], 2048), (shape[0], 1008)]
  assert {x.dtype for x in outputs} == {np.dtype(np.float32)}


def test_what_is_no_batch_of_images_is_refused():
  extract = make_extract(InceptionWeights('fid', {}, ''))
  with pytest.raises(ValueError, match='uint8 images'):
    extract(np.zeros((1, 4, 4, 3), np.float32))


@pytest.mark.systems
def test_features_are_those_of_images_resized_as_for_fid():
  variables = random_variables(tree_of('fid'))
  extract = make_extract(InceptionWeights('fid', variables, ''))
  rng = np.random.default_rng(0)
  for shape in [(1, 5, 8, 3), (1, 1, 1, 1)]:
    images = rng.integers(0, 256, shape, np.uint8)
    resized = by_loop(np.broadcast_to(images[0], (*shape[1:3], 3)))
    scaled = ((resized[None] - 128) / 128).astype(np.float32)
    theirs = TorchInception(variables, 'fid')(scaled)
    ours = extract(images)
    assert [x.shape for x in ours] == [(1, 2048), (1, 1008)]
    for x, wanted in zip(ours, theirs, strict=True):
      assert_close(np.asarray(x), wanted)
    jax.tree.map(assert_array_equal, ours, extract(images))


@pytest.mark.systems
def test_the_command(save, tmp_path):
  variables = random_variables(tree_of('torchvision'))
  source, output = save(torch_state(variables)), tmp_path / 'inception.npz'

  def run(source):
    return subprocess.run(
      [sys.executable, '-m', 'experiments.convert_inception',
       f'--input={source}', f'--output={output}'],
      cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip

  done = run(tmp_path / 'none.pth')
  assert done.returncode == 2
  assert done.stderr.startswith('error: there is no file')
  done = run(source)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines() == [
    'variant: torchvision', 'parameters: 23,834,568',
    f'sha256: {load(str(output)).sha256}',
  ]  # fmt: skip
