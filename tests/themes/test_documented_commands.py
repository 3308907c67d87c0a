"""Every command in the README and in docs/ does what it is shown for.

Each page's commands run in their order in a folder of their own, with what the
page takes for granted: folders of images, and runs that an earlier page has
trained. Configs are replaced by their smoke variants, and large numbers by
small ones. What needs another machine is listed below.
"""

import contextlib
import importlib
import io
import itertools
import pathlib
import re
import shlex
import tomllib

import numpy as np
import pytest
from PIL import Image

from gan_jax.__main__ import main
from gan_jax.commands import cli
from tests.conftest import ROOT

pytestmark = pytest.mark.systems

PAGES = (
  'README.md',
  *sorted(f'docs/{x.name}' for x in (ROOT / 'docs').glob('*.md')),
)
# What other lines begin with: other programs, other machines.
ELSEWHERE = (
  'pip ', 'python -m venv', 'python -c', 'python -m tests.', 'git ', 'export ',
  'gcloud ', 'srun ', '#', 'status=', '[ ', 'exit ', '.venv/bin/pip ',
)  # fmt: skip
# Needs several machines, a TPU's compiler, or weights that one must have, or
# takes its length from a file; each has tests of its own.
NOT_HERE = (
  '--coordinator_address', 'gan-jax compile', 'inception', '_search.toml',
)  # fmt: skip
SMALLER = {
  'num': 12, 'num_samples': 12, 'resize': 16, 'seeds': '0-2',
  'label_seeds': '0-1', 'interpolate': 2, 'config.train.num_steps': 540,
  'config.eval.num_samples': 12, 'config.eval.eval_every_steps': 8,
}  # fmt: skip
# What a page's runs were trained by, if the page does not say so itself.
BEFORE = {
  'docs/evaluation.md': [
    'gan-jax train --config=configs/digits_ssgan.py --workdir=runs/a',
    'gan-jax train --config=configs/digits_ssgan.py --workdir=runs/b',
  ],
  'docs/fine-tuning.md': [
    'gan-jax train --config=configs/fine_tuned_dcgan.py --workdir=runs/garments'
    ' --config.eval.metrics=kid --config.eval.extractor=random'
    ' --config.checkpoint.best_metric=validation_kid',
  ],
  'docs/translation.md': [
    'gan-jax train --config=configs/facades_cut.py --workdir=runs/cut',
  ],
}  # fmt: skip


def logical_lines(page):
  """The commands of a page's shell blocks, without comments."""
  text = (ROOT / page).read_text()
  for block in re.findall(r'```sh\n(.*?)```', text, re.DOTALL):
    block = re.sub(r"<<'EOF'.*?\nEOF\n", '\n', block, flags=re.DOTALL)
    for line in block.replace('\\\n', ' ').splitlines():
      if line.strip():
        yield re.sub(r'\s+#\s.*$', '', line.strip())


def commands(page):
  """The commands of ours that this machine can run."""
  return [
    line
    for line in logical_lines(page)
    if re.match(r'\S*gan-jax ', line) and not any(x in line for x in NOT_HERE)
  ]


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
  """A folder with configs, and images in the layouts that the pages name."""
  (tmp_path / 'configs').symlink_to(ROOT / 'configs')
  rng = np.random.default_rng(0)
  folders = {'PHOTOS': 60, 'CLASSES/cats': 45, 'CLASSES/dogs': 45}
  folders |= {f'DOMAINS/train{x}': 24 for x in 'AB'}
  folders |= {'FACADES/train': 12, 'FACADES/test': 6}
  for folder, num in folders.items():
    (tmp_path / folder).mkdir(parents=True)
    for i in range(num):
      size = (40 + 4 * (i % 3), 48, 3)
      image = Image.fromarray(rng.integers(0, 256, size, np.uint8))
      image.save(tmp_path / folder / f'{i}.png')
  monkeypatch.chdir(tmp_path)
  return tmp_path


def adapted(line):
  """The arguments of a command, for seconds instead of hours."""
  _, *words = shlex.split(line)
  arguments = []
  for word in words:
    flag, has_value, value = word.partition('=')
    name = flag.lstrip('-')
    if name == 'config' and value.endswith(('.py', ':cpu')):
      value = f'{value.removesuffix(":cpu")}:smoke'
    elif name == 'configs':
      value = ','.join(f'{x}:smoke' for x in value.split(','))
    value = str(SMALLER.get(name, value))
    arguments.append(flag + has_value + value)
  given = dict(x.partition('=')[::2] for x in arguments)
  if '--config' in given:  # the tests have two devices, which batches of 1 lack
    arguments.append('--config.parallel=jit')
  if '--sweep' in given:
    arguments.append('--seeds=0')
    arms = tomllib.loads(pathlib.Path(given['--sweep']).read_text()).get('arms')
    if arms:  # the others differ in settings only
      arguments.append(f'--vary=arm={next(iter(arms))}')
  if '--config.data.data_dir' in given:
    arguments += ['--config.data.made_up=False']
    arguments += ['--config.data.num_validation=4']  # as metrics need
  return arguments


def call(line):
  arguments = adapted(line)
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    status = main(arguments)
  assert status == 0, f'{arguments}\n{out.getvalue()}{err.getvalue()}'
  return out.getvalue()


def test_no_page_is_left_out():
  """The lines that are no commands of ours are those of other programs."""
  for page in PAGES:
    for line in logical_lines(page):
      if re.fullmatch(r'([A-Z]+=("[^"]*"|\S+)\s*)+', line):
        continue  # variables of a shell
      line = re.sub(r'^[A-Z_]+=\S+ ', '', line)
      ours = ('make ', 'python -m experiments.', 'python - ')
      ok = line.startswith((*ELSEWHERE, *ours)) or 'gan-jax ' in line
      assert ok, f'{page}: {line}'


def test_targets_of_make_exist():
  makefile = (ROOT / 'Makefile').read_text()
  lines = itertools.chain.from_iterable(map(logical_lines, PAGES))
  targets = {x.split()[1] for x in lines if x.startswith('make ')}
  assert {'demo', 'test'} <= targets
  for target in targets:
    assert re.search(
      rf'^({target}|[\w -]+ {target})[ :]', makefile, re.MULTILINE
    )


def test_flags_of_the_programs_that_take_too_long():
  lines = itertools.chain.from_iterable(map(logical_lines, PAGES))
  ours = [x for x in lines if x.startswith('python -m experiments.')]
  assert len(ours) > 3
  for line in ours:
    _, _, name, *arguments = shlex.split(line)
    if name == 'experiments.benchmark':
      name += '.__main__'
    values = cli.Flags(arguments)
    importlib.import_module(name).define(values)
    values(values.take_overrides())  # raises for unknown flags and values


@pytest.mark.parametrize('page', [x for x in PAGES if commands(x)])
def test_commands(page, sandbox):
  for line in [*BEFORE.get(page, []), *commands(page)]:
    call(line)
  if page == 'README.md':
    assert len([*(sandbox / 'samples').iterdir()]) == SMALLER['num']
    assert (sandbox / 'runs/photos/report.html').exists()
